"""The commands on a finished run: numbers, files, and errors that help."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import xarray as xr
import yaml

import pyro_vds as vds
from pyro_vds import load_run, predict_proba, prune
from pyro_vds.cli import main as cli
from pyro_vds.priors.families import Geometric
from pyro_vds.runs import files
from pyro_vds.runs.lesions import lesions_text
from pyro_vds.runs.reweighting import POWERS
from tests.commands import BRIEF, FIGURES, FILES, expected_table, fails, read_config, read_json, table

pytestmark = pytest.mark.usefixtures("float32")


def test_evaluate_prints_the_numbers_of_the_metrics(capsys, finished):
    cli.main(["evaluate", str(finished[0])])
    text = capsys.readouterr().out
    assert "pruned to depth 1" in text
    assert table(text) == expected_table(read_json(finished[0] / "metrics.json"))
    assert table(text) == table(finished[1])


def test_evaluate_measures_the_depth_asked_for(capsys, finished, tmp_path):
    cli.main(["evaluate", str(finished[0]), "--depth", "0", "--out", str(tmp_path / "zero.json")])
    assert "pruned to depth 0" in capsys.readouterr().out
    found, old = read_json(tmp_path / "zero.json"), read_json(finished[0] / "metrics.json")
    assert found["depth"] == 0
    assert found["test"]["full"] == old["test"]["full"]
    run = load_run(finished[0])
    x, y = run.data.test
    wrong = predict_proba(run.model, run.guide, x, depth=0).argmax(1) != y
    assert found["test"]["pruned"]["error"] == pytest.approx(float(wrong.double().mean()))
    assert found["parameters"]["pruned"] == sum(p.numel() for p in prune(run.model, run.guide, depth=0).parameters())


def test_evaluate_follows_another_rule(capsys, finished):
    cli.main(["evaluate", str(finished[0]), "--rule", "argmax"])
    argmax = read_json(finished[0] / "metrics.json")["posterior"]["axes"]["depth"]["chosen"]["argmax"]
    assert argmax != 1
    assert f"pruned to depth {argmax}" in capsys.readouterr().out


def test_evaluate_does_not_replace_a_file_unasked(capsys, finished, tmp_path):
    (tmp_path / "old.json").write_text("old")
    code, message = fails(capsys, "evaluate", finished[0], "--out", tmp_path / "old.json")
    assert code == 1
    assert "Expected a new path" in message
    assert (tmp_path / "old.json").read_text() == "old"
    cli.main(["evaluate", "--overwrite", str(finished[0]), "--out", str(tmp_path / "old.json")])
    assert read_json(tmp_path / "old.json")["depth"] == 1


@pytest.mark.parametrize("words", [["--depth", "0"], ["--cut", "depth=0"], ["--cut=depth=0"]])
def test_an_architecture_is_given_by_its_axes(capsys, finished, tmp_path, words):
    cli.main(["evaluate", str(finished[0]), *words, "--out", str(tmp_path / "found.json")])
    assert "pruned to depth 0" in capsys.readouterr().out
    expected = vds.runs.evaluate(load_run(finished[0]), {"depth": 0})
    assert read_json(tmp_path / "found.json") == expected


@pytest.mark.parametrize("command", ["evaluate", "prune"])
@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ("depth=3", "Expected a depth in 0..2, got 3."),
        ("depth=deep", "Expected a depth in 0..2, got deep."),
        ("width=2", "Expected a model with an axis 'width' to cut, got axes ['depth']."),
        ("colour=red,depth=1", "Expected a model with an axis 'colour' to cut, got axes ['depth']."),
        ("depth", "Expected different axes with labels, such as depth=3,width=16, got 'depth'."),
    ],
)
def test_a_cut_that_does_not_fit_is_reported(capsys, run, command, cut, expected):
    code, message = fails(capsys, command, run, "--cut", cut)
    assert (code, message) == (1, f"pyro-vds: {expected}\n")
    assert {path.name for path in run.iterdir()} == FILES


@pytest.mark.parametrize("command", ["evaluate", "prune"])
@pytest.mark.parametrize("depth", [3, -1])
def test_depth_out_of_range_is_reported(capsys, run, command, depth):
    code, message = fails(capsys, command, run, "--depth", depth)
    assert code == 1
    assert message == f"pyro-vds: Expected a depth in 0..2, got {depth}.\n"
    assert {path.name for path in run.iterdir()} == FILES


def pruned_log_proba(folder: Path, depth: int, x: torch.Tensor) -> torch.Tensor:
    run = load_run(folder)
    return predict_proba(run.model, run.guide, x, depth=depth).log().to(x.dtype)


@pytest.mark.parametrize(("words", "depth"), [([], 1), (["--depth", "0"], 0), (["--depth", "2"], 2)])
def test_pruned_export_has_the_numbers_of_the_pruned_prediction(capsys, run, words, depth):
    cli.main(["prune", str(run), *words])
    assert f"depth {depth}, " in capsys.readouterr().out
    x = torch.randn(7, 2)
    network = torch.export.load(run / "pruned.pt2").module()
    torch.testing.assert_close(network(x), pruned_log_proba(run, depth, x), atol=1e-6, rtol=1e-5)


def test_pruned_onnx_has_the_numbers_of_the_pruned_prediction(finished, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    out = tmp_path / "deep" / "pruned.onnx"
    cli.main(["prune", str(finished[0]), "--out", str(out)])
    assert [path.name for path in out.parent.iterdir()] == ["pruned.onnx"]
    session = runtime.InferenceSession(out)
    x = torch.randn(7, 2)
    found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    torch.testing.assert_close(found, pruned_log_proba(finished[0], 1, x), atol=1e-5, rtol=1e-4)
    metadata = json.loads(session.get_modelmeta().custom_metadata_map["pyro_vds.json"])
    assert metadata["data"] == json.loads((finished[0] / "data.json").read_text())
    assert metadata["settings"] == yaml.safe_load((finished[0] / "config.yaml").read_text())
    assert metadata["normalised"]


def test_prune_refuses_an_unknown_kind_of_file(capsys, finished, tmp_path):
    code, message = fails(capsys, "prune", finished[0], "--out", tmp_path / "pruned.pth")
    assert code == 1
    assert "Expected a file that ends in .pt2 or .onnx" in message
    assert list(tmp_path.iterdir()) == []


def test_prune_does_not_replace_a_file_unasked(capsys, run):
    (run / "pruned.pt2").write_text("old")
    code, message = fails(capsys, "prune", run)
    assert code == 1
    assert "Expected a new path" in message
    assert (run / "pruned.pt2").read_text() == "old"


def test_plot_draws_all_figures_again(capsys, run):
    shutil.rmtree(run / "figures")
    cli.main(["plot", str(run)])
    assert {path.name for path in (run / "figures").iterdir()} == FIGURES
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (run / "figures").iterdir())
    assert f"figures: {run / 'figures'}" in capsys.readouterr().out


def test_lesion_prints_the_table_of_its_file(capsys, run):
    cli.main(["lesion", str(run), "--draws", "3", "--seed", "1"])
    text = capsys.readouterr().out
    with xr.open_dataset(run / "lesions.nc", engine="h5netcdf") as study:
        assert lesions_text(study) in text
        assert (study.attrs["draws"], study.attrs["seed"]) == (3, 1)
    assert f"{run / 'lesions.nc'}, {run / 'figures' / 'lesions.png'}" in text
    code, message = fails(capsys, "lesion", run)
    assert (code, "Expected a run without a study of lesions" in message) == (1, True)
    cli.main(["lesion", str(run), "--overwrite"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--widths", "[2, 4]"],
            "Expected a PerDepth network, whose blocks can be deleted one by one, got WithWidths.",
        ),
        (["--max-depth", "0"], "Expected a network with at least one block to delete, got none."),
    ],
)
def test_a_run_without_blocks_is_refused_in_one_line(capsys, tmp_path, words, expected):
    cli.main([*BRIEF, *words, "--out", str(tmp_path / "run")])
    code, message = fails(capsys, "lesion", tmp_path / "run")
    assert code == 1
    assert message.startswith(f"pyro-vds: {expected}")
    assert message.count("\n") == 1
    assert not (tmp_path / "run" / "lesions.nc").exists()


@pytest.mark.parametrize("words", [["--readout", "last"], ["--guide", "per_input"]])
def test_other_runs_have_lesions_too(capsys, tmp_path, words):
    cli.main([*BRIEF, *words, "--out", str(tmp_path / "run")])
    cli.main(["lesion", str(tmp_path / "run"), "--draws", "2"])
    assert "without block 2" in capsys.readouterr().out


def test_data_that_moved_are_found_by_data_root(capsys, run, tmp_path):
    config = read_config(run) | {"data": "mnist", "data_root": str(tmp_path / "old")}
    (run / files.CONFIG).write_text(yaml.safe_dump(config))
    (tmp_path / "new").write_text("a file, so that nothing can be downloaded to it")
    code, message = fails(capsys, "evaluate", run, "--data-root", tmp_path / "new")
    assert code == 1
    assert f"Expected the files {tmp_path / 'new'}/MNIST/raw" in message


def test_another_prior_is_compared_without_training(capsys, finished, tmp_path):
    folder, out = finished[0], tmp_path / "comparison.json"
    cli.main(["reweight", str(folder), "--prior", "Weights", "--prior.probs", "[0.7, 0.2, 0.1]", "--out", str(out)])
    text, found = capsys.readouterr().out, read_json(out)
    metrics = read_json(folder / "metrics.json")["posterior"]
    assert found["model"]["posterior"]["depth"]["probs"] == pytest.approx(metrics["axes"]["depth"]["exact"])
    assert found["model"]["log_evidence"] == pytest.approx(metrics["log_evidence"])
    likelihood = torch.tensor(metrics["train_log_likelihood"]).double() * 20
    log_joint = torch.tensor([0.7, 0.2, 0.1]).double().log() + likelihood
    assert found["other"]["posterior"]["depth"]["probs"] == pytest.approx(log_joint.softmax(0).tolist(), abs=1e-6)
    assert found["other"]["log_evidence"] == pytest.approx(float(log_joint.logsumexp(0)), abs=1e-4)
    # The measures are those of the mixture weighted by that posterior.
    loaded = load_run(folder)
    guide = vds.AutoCategorical(loaded.model)
    guide.set_probs({"depth": log_joint.softmax(0)})
    x, y = loaded.data.test
    expected = float(vds.log_predictive(loaded.model, guide, x, y).mean())
    assert found["other"]["test"]["full"]["log_likelihood"] == pytest.approx(expected, abs=1e-5)
    prior = Geometric(0.85)(3).logits
    for part, scaled in (
        ("prior", [a * prior + likelihood for a in POWERS]),
        ("likelihood", [prior + a * likelihood for a in POWERS]),
    ):
        assert found["power"][part]["depth"] == [vds.choose_depth(s.double().softmax(0), "expected") for s in scaled]
    assert "other prior: depth Weights(probs=(0.7, 0.2, 0.1)); chosen depth " in text
    code, message = fails(capsys, "reweight", folder, "--prior", "Weights", "--prior.probs", "[0.5, 0.5]")
    assert (code, "Expected" in message) == (1, True)
    code, message = fails(capsys, "reweight", folder)
    assert (code, "prior" in message) == (2, True)


def test_comparison_is_in_the_units_of_the_data_and_of_the_learnt_prior(capsys, tmp_path):
    run, out = tmp_path / "run", tmp_path / "other.json"
    words = ["fit", "diabetes", "--max-depth", "2", "--max-epochs", "2", "--progress", "false", "--learn-prior"]
    cli.main([*words, "--out", str(run)])
    cli.main(["reweight", str(run), "--prior", "Uniform", "--out", str(out)])
    metrics, found = read_json(run / "metrics.json"), read_json(out)["model"]
    assert found["log_evidence"] == pytest.approx(metrics["posterior"]["log_evidence"])
    assert found["posterior"]["depth"]["probs"] == pytest.approx(metrics["posterior"]["axes"]["depth"]["exact"])
    assert found["priors"]["depth"] != "Geometric(decay=0.85)"


def test_priors_of_depth_and_width_are_compared(capsys, tmp_path):
    run = tmp_path / "run"
    cli.main([*BRIEF, "--widths", "[2, 4]", "--out", str(run)])
    cli.main(["reweight", str(run), "--prior", "Uniform", "--width-prior", "Geometric"])
    assert "width Geometric(decay=0.85); chosen depth" in capsys.readouterr().out
