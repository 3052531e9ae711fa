"""A user's own file as a run: classes and features keep their names in everything that the run writes."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import pyro_vds as vds
from pyro_vds.cli import main as cli
from pyro_vds.pruning.export import METADATA
from pyro_vds.runs.classes import lines_by_class, with_class_names
from pyro_vds.runs.data import load_data
from tests.commands import FILES, fails, read_json

pytestmark = pytest.mark.usefixtures("float32")

NAMES = ("calm", "storm & rain", "wind")


def write(path) -> str:
    rng = np.random.default_rng(0)
    y = np.array(NAMES)[np.arange(90) % 3]
    sky = np.where(rng.random(90) < 0.8, np.array(["blue", "black", "grey"])[np.arange(90) % 3], "grey")
    pd.DataFrame({"sky": sky, "speed": rng.normal(size=90), "y": y}).to_csv(path, index=False)
    return str(path)


def test_a_table_is_fitted_from_the_command_line_with_names_everywhere(tmp_path, capsys):
    words = ["fit", "table", "--data-path", write(tmp_path / "my.csv"), "--target", "y", "--out", str(tmp_path / "run")]
    cli.main([*words, "--max-epochs", "2", "--max-depth", "1", "--width", "4", "--progress", "false"])
    printed = capsys.readouterr()
    assert "my.csv: 1 column of numbers, categories sky (3); y: 3 classes, calm, storm & rain, wind" in printed.err
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    run = vds.load_run(tmp_path / "run")
    assert read_json(tmp_path / "run" / "data.json")["class_names"] == list(NAMES)
    assert run.data_summary.feature_names == ("sky=black", "sky=blue", "sky=grey", "speed")
    x, y = run.data.test
    wrong = vds.predict_proba(run.model, run.guide, x).argmax(-1) != y
    by_class = run.metrics["by_class"]
    assert by_class["names"] == list(NAMES)
    assert by_class["points"] == [int((y == k).sum()) for k in range(3)]
    assert by_class["error"] == pytest.approx([float(wrong[y == k].double().mean()) for k in range(3)])
    assert vds.runs.evaluate(run)["by_class"] == by_class
    rows = [f"{name:12}{n:>10}{100 * e:>10.2f} %" for name, n, e in zip(*by_class.values(), strict=True)]
    assert all(row in run.summary for row in rows)
    assert all(row in printed.out for row in rows)
    observed, inputs = (run.datatree[group].dataset for group in ("observed_data", "constant_data"))
    assert observed["class"][observed["obs"]].values.tolist() == [NAMES[code] for code in y]
    assert inputs["feature_0"].values.tolist() == list(run.data_summary.feature_names)
    page = vds.runs.write_report(run).read_text()
    assert page.count("storm &amp; rain") == 2
    assert "sky=black, sky=blue, sky=grey, speed" in page
    vds.runs.export_network(run, vds.runs.prune_run(run), tmp_path / "small.pt2")
    files = {METADATA: ""}
    torch.export.load(tmp_path / "small.pt2", extra_files=files)
    metadata = json.loads(files[METADATA])["data"]
    assert metadata["class_names"] == list(NAMES)
    assert metadata["feature_names"] == list(run.data_summary.feature_names)
    assert metadata["mean"][:3] == [0.0, 0.0, 0.0]


def test_the_likelihood_says_what_a_column_is_and_ordered_classes_need_numbers(tmp_path):
    path = tmp_path / "my.csv"
    settings = vds.runs.Settings(data="table", data_path=write(path), target="y", likelihood="ordinal")
    with pytest.raises(
        ValueError, match="whole numbers as classes in their order for the likelihood ordinal, got .*calm"
    ):
        load_data(settings)
    frame = pd.read_csv(path)
    frame.assign(y=frame["y"].map(dict(zip(NAMES, (1, 20, 3), strict=True)))).to_csv(path, index=False)
    kinds = {"ordinal": "classes", "gaussian": "numbers", "poisson": "counts", None: "classes"}
    for likelihood, kind in kinds.items():
        data = load_data(replace(settings, likelihood=likelihood))
        assert (data.targets, data.class_names) == (kind, ("1", "3", "20") if kind == "classes" else None)
    brief = replace(settings, max_epochs=1, max_depth=1, width=4)
    tree = vds.runs.execute(brief, tmp_path / "run", progress=False).datatree
    assert tree["observed_data"]["class"].values.tolist() == ["1", "3", "20"]


def test_renamed_classes_or_columns_are_other_data(tmp_path):
    path = write(tmp_path / "my.csv")
    settings = vds.runs.Settings(data="table", data_path=path, target="y")
    summary = vds.runs.data.DataSummary.of(load_data(settings))
    for old, new in (("calm", "breeze"), ("speed", "pace")):
        text = (tmp_path / "my.csv").read_text()
        (tmp_path / "my.csv").write_text(text.replace(old, new))
        assert not vds.runs.data.DataSummary.of(load_data(settings)).agrees_with(summary)
        (tmp_path / "my.csv").write_text(text)
    assert vds.runs.data.DataSummary.of(load_data(settings)).agrees_with(summary)


def test_many_classes_show_those_with_the_largest_errors():
    errors = [k / 30 for k in range(29)]
    names = [f"species {k}" for k in range(30)]  # the last one has no test points
    metrics = with_class_names({"by_class": {"points": [2] * 29, "error": errors}}, names)
    lines = lines_by_class(metrics)
    assert [line.split()[1] for line in lines[2:-1]] == [str(k) for k in range(28, 8, -1)]
    assert lines[-1] == "(10 classes with smaller errors are not shown)"
    assert metrics["by_class"]["points"][-1] == 0
    assert lines_by_class({"by_class": {"points": [2], "error": [0.5]}}) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table"], "Expected --data-path FILE.csv for the data set table, got none"),
        (["table", "--data-path", "PATH"], "Expected --target COLUMN for the data set table, got none"),
        (
            ["table", "--data-path", "PATH", "--target", "Speedy"],
            "one of sky, speed, y, got 'Speedy'. Did you mean 'sp",
        ),
        (["npz", "--data-path", "PATH"], "is a table. Give its target: pyro-vds fit table --data-path"),
        (["npz", "--data-path", "PATH", "--target", "y"], "Expected no --target for npz"),
    ],
)
def test_own_data_without_what_they_need_are_refused(tmp_path, capsys, words, message):
    path = write(tmp_path / "my.csv")
    words = [path if word == "PATH" else word for word in words]
    code, error = fails(capsys, "fit", *words, "--out", tmp_path / "run")
    assert code == 1
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()
