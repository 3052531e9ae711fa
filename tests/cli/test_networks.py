"""All commands on other data and networks: plain, convolutional, torchvision's, widths, a depth for each input."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import pyro_vds as vds
from pyro_vds import load_run
from pyro_vds.cli import main as cli
from pyro_vds.diagnostics.files import load_datatree
from tests.commands import BRIEF, FILES, SPIRALS, expected_table, fails, read_config, read_json, table

pytestmark = pytest.mark.usefixtures("float32")


def test_plain_network_is_fitted_evaluated_and_plotted_but_not_pruned(capsys, tmp_path):
    out = tmp_path / "run"
    cli.main([*BRIEF, "--readout", "last", "--out", str(out)])
    metrics = read_json(out / "metrics.json")
    assert "posterior" not in metrics
    assert list(metrics["test"]) == list(metrics["parameters"]) == ["full"]
    assert {path.name for path in out.iterdir()} == FILES - {"posterior.nc"}
    capsys.readouterr()
    cli.main(["evaluate", str(out)])
    assert table(capsys.readouterr().out) == expected_table(metrics)
    shutil.rmtree(out / "figures")
    cli.main(["plot", str(out)])
    assert {path.name for path in (out / "figures").iterdir()} == {"history.png", "reliability.png"}
    code, message = fails(capsys, "prune", out)
    assert code == 1
    assert "Expected a run with one posterior for all inputs" in message


def test_digits_run_through_the_convolutional_network(capsys, tmp_path):
    out = tmp_path / "run"
    words = "--max-epochs 1 --max-depth 1 --channels 4 --bottleneck 2 --train-size 100 --progress false --out"
    cli.main(["fit", "digits", *words.split(), str(out)])
    text = capsys.readouterr().out
    metrics = read_json(out / "metrics.json")
    assert (metrics["train_size"], metrics["test_size"]) == (90, 449)
    assert table(text) == expected_table(metrics)
    assert read_json(out / "data.json")["input_shape"] == [1, 8, 8]
    cli.main(["prune", str(out), "--depth", "0"])
    network = torch.export.load(out / "pruned.pt2").module()
    torch.testing.assert_close(network(torch.randn(5, 1, 8, 8)).exp().sum(1), torch.ones(5))


def write_npz(folder: Path, *, classes: bool) -> Path:
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    y = x.sum(1)
    np.savez(folder / "data.npz", x=x, y=(y > 0).astype(int) if classes else y)
    return folder / "data.npz"


@pytest.mark.parametrize("classes", [True, False])
def test_npz_is_fitted_evaluated_pruned_and_plotted(capsys, tmp_path, classes):
    out, data = tmp_path / "run", write_npz(tmp_path, classes=classes)
    words = "--max-epochs 3 --max-depth 1 --width 4 --validation-fraction 0.2 --lr 0.01 --progress false --out"
    cli.main(["fit", "npz", "--data-path", str(data), *words.split(), str(out)])
    metrics = read_json(out / "metrics.json")
    names = ["log_likelihood", "error", "ece", "brier"] if classes else ["log_likelihood", "rmse", "interval_error"]
    assert list(metrics["test"]["full"]) == list(metrics["test"]["pruned"]) == names
    assert metrics["train_size"] == 38
    cli.main(["evaluate", str(out), "--out", str(tmp_path / "again.json")])
    found = read_json(tmp_path / "again.json")["test"]
    assert {case: pytest.approx(values) for case, values in found.items()} == metrics["test"]
    cli.main(["plot", str(out)])
    assert {p.name for p in (out / "figures").iterdir()} == {"history.png", "posterior.png"} | (
        {"reliability.png"} if classes else {"intervals.png"}
    )
    cli.main(["prune", str(out)])
    network = torch.export.load(out / "pruned.pt2").module()
    found = network(torch.randn(4, 3))
    assert found.shape == (4, 2) if classes else [part.shape for part in found] == [(4,), (4,)]
    assert f"figures: {out / 'figures'}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["diabetes", "gap_1d"])
def test_embedded_regression_is_fitted_and_drawn(capsys, tmp_path, name):
    words = "--max-epochs 3 --max-depth 1 --width 4 --progress false --out"
    cli.main(["fit", name, *words.split(), str(tmp_path / "run")])
    printed = capsys.readouterr().out
    assert all(measure in printed for measure in ("log-likelihood", "rmse", "interval-error"))
    figures = {p.name for p in (tmp_path / "run" / "figures").iterdir()}
    assert figures == {"history.png", "posterior.png", "intervals.png"} | ({"band.png"} if name == "gap_1d" else set())


def test_uci_is_fitted_in_a_standard_split(tmp_path, shared_data):
    words = "--max-epochs 3 --max-depth 1 --width 4 --progress false --uci-name yacht --split 7 --data-root"
    cli.main(["fit", "uci", *words.split(), str(shared_data), "--out", str(tmp_path / "run")])
    metrics = read_json(tmp_path / "run" / "metrics.json")
    assert (metrics["train_size"], metrics["test_size"]) == (249, 31)
    assert read_config(tmp_path / "run")["split"] == 7


def test_regression_is_reported_in_the_units_of_the_data(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    found = []
    for scale in (1, 10):
        np.savez(tmp_path / f"{scale}.npz", x=x, y=scale * (7 + 3 * x.sum(1)))
        out = tmp_path / f"run-{scale}"
        words = "--max-epochs 3 --max-depth 1 --width 4 --lr 0.01 --progress false --data-path"
        cli.main(["fit", "npz", *words.split(), str(tmp_path / f"{scale}.npz"), "--out", str(out)])
        cli.main(["evaluate", str(out), "--out", str(out / "again.json")])
        assert read_json(out / "again.json")["test"] == read_json(out / "metrics.json")["test"]
        found.append(read_json(out / "metrics.json"))
    one, ten = (metrics["test"]["full"] for metrics in found)
    assert ten["rmse"] == pytest.approx(10 * one["rmse"], rel=1e-4)
    assert ten["log_likelihood"] == pytest.approx(one["log_likelihood"] - math.log(10), abs=1e-4)
    summary = read_json(out / "data.json")
    attributes = load_datatree(out / "posterior.nc").attrs
    assert (attributes["target_mean"], attributes["target_std"]) == (
        summary["target_mean"][0],
        summary["target_std"][0],
    )


def test_width_is_learnt_with_the_depth(capsys, tmp_path):
    """One run with every step after it, on two axes."""
    run = tmp_path / "run"
    cli.main([*BRIEF, "--widths", "[2, 4]", "--guide", "joint", "--width-prior", "Geometric", "--out", str(run)])
    text = capsys.readouterr().out
    posterior = read_json(run / "metrics.json")["posterior"]
    assert set(posterior["chosen"]) == {"depth", "width"}
    assert f"width: {posterior['chosen']['width']} of 2, 4 (rule 95; " in text
    assert "q(width)" in text
    assert np.sum(posterior["q_joint"]) == pytest.approx(1)
    assert read_config(run)["widths"] == [2, 4]
    assert load_datatree(run / "posterior.nc")["architecture"]["width"].values.tolist() == [2, 4]
    cli.main(["evaluate", str(run), "--cut", "depth=1,width=2"])
    assert "pruned to depth 1, width 2" in capsys.readouterr().out
    cli.main(["prune", str(run), "--rule", "argmax"])
    assert (run / "pruned.pt2").exists()
    cli.main(["plot", str(run)])
    code, message = fails(capsys, "evaluate", run, "--cut", "width=3")
    assert (code, "Expected a width in [2, 4], got 3" in message) == (1, True)
    for options, expected in (
        (["--rule", "expected"], "Expected the rule '95' or 'argmax' with widths"),
        (["--readout", "last"], "Expected readout 'all' to learn the width"),
        (["--widths", "[4, 2]"], "Expected increasing widths"),
    ):
        code, message = fails(capsys, *BRIEF, "--widths", "[2, 4]", *options, "--out", tmp_path / "other")
        assert (code, expected in message) == (1, True)


def test_depth_for_each_input_is_learnt_evaluated_and_reported(capsys, tmp_path):
    run, again = tmp_path / "run", tmp_path / "again.json"
    cli.main([*SPIRALS, "--max-epochs", "200", "--guide", "per_input", "--threshold", "0.35", "--out", str(run)])
    text, metrics = capsys.readouterr().out, read_json(run / "metrics.json")
    assert "a depth for each input: " in text
    assert "(threshold 0.35)" in text
    assert metrics.keys() >= {"per_input", "test"}
    assert "posterior" not in metrics
    saving = metrics["per_input"]
    assert sum(saving["stops"]) == metrics["test_size"]
    assert saving["mean"] == pytest.approx(np.dot(saving["stops"], range(3)) / metrics["test_size"])
    assert sum(saving["q"]) == pytest.approx(1)
    cli.main(["evaluate", str(run), "--out", str(again)])
    cli.main(["fit", "--config", str(run / "config.yaml"), "--progress", "false", "--out", str(tmp_path / "twin")])
    for case in ("full", "adaptive"):
        assert read_json(tmp_path / "twin" / "metrics.json")["test"][case] == metrics["test"][case]
        assert read_json(again)["test"][case] == pytest.approx(metrics["test"][case])
    assert read_json(again)["parameters"] == metrics["parameters"]
    # The adaptive measures are those of the adaptive network.
    loaded = load_run(run)
    x, y = loaded.data.test
    assert isinstance(loaded.guide, vds.AutoPerInput)
    log_probs, stops = vds.AdaptiveNetwork(loaded.model, loaded.guide, 0.35)(x)
    assert torch.bincount(stops, minlength=3).tolist() == saving["stops"]
    assert len(stops.unique()) > 1
    log_density = log_probs[torch.arange(len(y)), y].mean()
    assert float(log_density) == pytest.approx(metrics["test"]["adaptive"]["log_likelihood"], abs=1e-5)
    assert metrics["test"]["adaptive"] != metrics["test"]["full"]
    own = 2 * 32 + 32 * 3
    costs = vds.multiply_adds(loaded.model.backbone, x).double()
    assert saving["multiply_adds"] == pytest.approx(float((costs[stops].mean() + own) / costs[-1]))
    cli.main(["report", str(run)])
    assert "spirals: a depth for each input" in (run / "report.html").read_text()
    capsys.readouterr()
    for words in (["prune", run], ["evaluate", run, "--depth", "1"], ["reweight", run, "--prior", "Uniform"]):
        code, message = fails(capsys, *words)
        assert (code, f"{run} holds a depth for each input" in message) == (1, True)
    for words, expected in (
        (["--guide", "per_input", "--widths", "[2, 4]"], "no widths for the guide per_input"),
        (["--threshold", "1"], "Expected a threshold in [0, 1), got 1.0"),
    ):
        code, message = fails(capsys, *BRIEF, *words, "--out", tmp_path / "other")
        assert (code, expected in message) == (1, True)


def test_depth_for_each_input_of_a_regression(tmp_path):
    words = ["fit", "diabetes", "--max-depth", "2", "--max-epochs", "2", "--progress", "false", "--guide", "per_input"]
    cli.main([*words, "--out", str(tmp_path / "run")])
    metrics = read_json(tmp_path / "run" / "metrics.json")["test"]
    assert metrics["adaptive"].keys() == metrics["full"].keys() == {"log_likelihood", "rmse", "interval_error"}


@pytest.mark.parametrize("name", ["resnet18", "vit", "timm:test_resnet.r160_in1k"])
def test_named_network_is_fitted_and_pruned(capsys, tmp_path, name):
    small = ["--max-depth", "2", "--channels", "16"] if name == "vit" else []
    words = [
        "fit",
        "digits",
        "--network",
        name,
        *small,
        "--train-size",
        "40",
        "--max-epochs",
        "1",
        "--progress",
        "false",
    ]
    run = tmp_path / "run"
    cli.main([*words, "--frozen", "--progress", "false", "--out", str(run)])
    depths = {"vit": 3, "resnet18": 9}.get(name, 5)
    assert len(read_json(run / "metrics.json")["posterior"]["axes"]["depth"]["q"]) == depths
    assert read_config(run)["network"] == name
    cli.main(["prune", str(run), "--depth", "1"])
    exported = torch.export.load(run / "pruned.pt2").module()
    assert exported(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    for options, expected in (
        (["--widths", "[8, 16]"], f"Expected the network residual for widths or shared head statistics, got {name}"),
        (["--network", "residual"], "Expected a network of torchvision or timm, such as resnet18"),
    ):
        code, message = fails(capsys, *words, "--frozen", *options, "--out", tmp_path / "other")
        assert (code, expected in message) == (1, True)
