"""``pyro-vds fit``: files, numbers, repeats, and folders that are whole or stay aside."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from pyro_vds.cli import main as cli
from tests.commands import BRIEF, FIGURES, FILES, SPIRALS, expected_table, fails, read_config, read_json, table

pytestmark = pytest.mark.usefixtures("float32")


def test_fit_writes_the_files_of_a_run(finished):
    assert {path.name for path in finished[0].iterdir()} == FILES
    assert {path.name for path in (finished[0] / "figures").iterdir()} == FIGURES


def test_fit_leaves_no_partial_folder(finished):
    assert [path.name for path in finished[0].parent.iterdir()] == ["run"]


def test_fit_prints_the_chosen_depth_and_where_the_files_are(finished):
    out, text = finished
    posterior = read_json(out / "metrics.json")["posterior"]
    chosen = posterior["axes"]["depth"]["chosen"]["expected"]
    assert f"chosen depth: {chosen} of 0..2 (guide, rule expected;" in text
    assert f"ELBO {posterior['elbo']:.2f} nats, log evidence {posterior['log_evidence']:.2f}" in text
    assert f"figures and files: {out}" in text


def test_summary_file_holds_what_fit_prints_of_the_result(finished):
    out, text = finished
    summary = (out / "summary.txt").read_text()
    assert text.startswith(summary)
    assert table(summary) == table(text)


def test_fit_prints_the_test_table_of_full_and_pruned(finished):
    out, text = finished
    metrics = read_json(out / "metrics.json")
    assert list(metrics["test"]) == ["full", "pruned"]
    assert table(text) == expected_table(metrics)
    assert "test (180 points)" in text


def test_metrics_are_consistent(finished):
    metrics = read_json(finished[0] / "metrics.json")
    posterior = metrics["posterior"]
    assert (metrics["train_size"], metrics["test_size"], metrics["training"]["epochs"]) == (20, 180, 20)
    depth = posterior["axes"]["depth"]
    assert depth["labels"] == [0, 1, 2]
    assert sum(depth["q"]) == pytest.approx(1)
    assert posterior["evidence_gap"] == pytest.approx(posterior["log_evidence"] - posterior["elbo"], abs=1e-3)
    assert depth["chosen"]["expected"] == round(sum(d * q for d, q in enumerate(depth["q"])))
    assert metrics["parameters"]["pruned"] < metrics["parameters"]["full"]


def test_config_alone_repeats_the_run_exactly(finished, tmp_path):
    out = finished[0]
    cli.main(["fit", "--config", str(out / "config.yaml"), "--progress", "false", "--out", str(tmp_path / "again")])
    first, again = (read_json(folder / "metrics.json") for folder in (out, tmp_path / "again"))
    assert first["training"].pop("seconds") > 0
    assert again["training"].pop("seconds") > 0
    assert again == first
    assert read_config(tmp_path / "again") == read_config(out)
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (out / "weights.safetensors").read_bytes()


def test_existing_folder_is_refused_and_kept(capsys, run):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    code, message = fails(capsys, *BRIEF, "--out", run)
    assert code == 1
    assert f"Expected a new path, but {run} exists. Choose another one with --out, or replace it" in message
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.parametrize("flag", [["--overwrite"], ["--overwrite", "true"], ["--overwrite=true"]])
def test_overwrite_replaces_the_run(run, flag):
    (run / "leftover").write_text("old")
    cli.main([*BRIEF, *flag, "--out", str(run)])
    assert {path.name for path in run.iterdir()} == FILES
    assert read_config(run)["max_epochs"] == 1


def test_without_out_a_new_folder_is_found_each_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        cli.main(BRIEF)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["spirals", "spirals-2"]


def test_overwrite_replaces_the_usual_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for options in ([], ["--overwrite"]):
        cli.main([*map(str, BRIEF), *options])
    assert [path.name for path in Path("runs").iterdir()] == ["spirals"]


def test_failure_in_training_leaves_no_run_folder(capsys, tmp_path):
    code, message = fails(capsys, *BRIEF, "--batch-size", "1", "--out", tmp_path / "run")
    assert code == 1
    assert "Expected at least 2 points in each batch" in message
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith("run.partial-")
    assert f"The files written before the error are in {partial}." in message


def test_run_that_diverges_keeps_weights_and_history_aside(capsys, tmp_path):
    code, message = fails(capsys, *SPIRALS, "--max-epochs", "5", "--lr", "1e30", "--out", tmp_path / "run")
    assert code == 1
    assert "Expected a finite ELBO, got nan" in message
    (partial,) = tmp_path.iterdir()
    assert partial.name.startswith("run.partial-")
    assert {"weights.safetensors", "history.safetensors", "history.csv"} <= {p.name for p in partial.iterdir()}


def test_interruption_after_training_says_where_the_files_are(capsys, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("pyro_vds.runs.execute"), "collect_metrics", interrupt)
    code, message = fails(capsys, *BRIEF, "--out", tmp_path / "run")
    (partial,) = tmp_path.iterdir()
    assert code == 130
    assert message == f"pyro-vds: Interrupted. The files written before the error are in {partial}.\n"


def test_npz_that_is_not_there_is_reported(capsys, tmp_path):
    code, message = fails(capsys, "fit", "npz", "--data-path", tmp_path / "none.npz", "--out", tmp_path / "run")
    assert code == 1
    assert f"Expected an npz file with arrays x and y at {tmp_path / 'none.npz'}, found none" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (np.ones((20, 2), dtype=int), "Expected x_test and y_test in"),
        (np.where(np.arange(20) == 3, np.nan, 1.0), "Expected finite targets, got NaN"),
    ],
)
def test_test_data_are_checked_before_training(capsys, tmp_path, targets, expected):
    x = np.random.default_rng(0).normal(size=(20, 3))
    y = np.arange(20).astype(targets.dtype) % 2
    np.savez(tmp_path / "data.npz", x=x, y=y, x_test=x, y_test=targets)
    code, message = fails(capsys, "fit", "npz", "--data-path", tmp_path / "data.npz", "--out", tmp_path / "run")
    assert code == 1
    assert message.startswith(f"pyro-vds: {expected}")
    assert [path.name for path in tmp_path.iterdir()] == ["data.npz"]
