"""Runs made and opened from Python: everything comes back as it was written, silently, for every kind of run."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
import xarray as xr

import pyro_vds as vds
from pyro_vds.cli import main as cli
from pyro_vds.runs.data import load_data
from tests.commands import FIGURES, FILES, SPIRALS, read_config

pytestmark = pytest.mark.usefixtures("float32")

BRIEF = vds.runs.Settings(num_points=60, max_depth=2, width=4, max_epochs=3)
KINDS = {
    "learnt depth": {},
    "plain": {"readout": "last"},
    "per input": {"guide": "per_input", "threshold": 0.4},
    "widths": {"widths": (2, 4), "guide": "joint", "width_prior": vds.priors.Geometric(0.5)},
    "regression": {"data": "diabetes", "batch_size": 128},
    "hierarchical": {"prior": vds.priors.Hierarchical(vds.priors.Geometric(), "decay", vds.priors.Beta(2.0, 3.0))},
    "learnt prior": {"learn_prior": True, "prior": vds.priors.Poisson(2.0)},
    "torchvision": {"data": "digits", "network": "vit", "channels": 16, "train_size": 40, "frozen": True},
}
WITH_POSTERIOR = set(KINDS) - {"plain", "per input"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, vds.runs.Run]:
    """One run of each kind, in single precision."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        name: vds.runs.execute(replace(BRIEF, **change), folder / name, progress=False)
        for name, change in KINDS.items()
    }


def predictions(run: vds.runs.Run, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    if run.data_summary.classes is None:
        return vds.predict_moments(run.model, run.guide, x)
    return (vds.predict_proba(run.model, run.guide, x),)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_run_is_the_run_that_was_made(runs, kind):
    made = runs[kind]
    loaded = vds.load_run(str(made.folder))
    assert loaded.folder == made.folder
    assert loaded.settings == made.settings == replace(BRIEF, **KINDS[kind]).resolved()
    assert loaded.data_summary == made.data_summary
    assert loaded.metrics == json.loads(json.dumps(made.metrics))
    assert (loaded.cut, loaded.parameters, loaded.summary) == (made.cut, made.parameters, made.summary)
    assert torch.equal(loaded.history.elbo, made.history.elbo)
    assert not loaded.model.training
    assert not made.model.training
    for found, expected in zip(
        predictions(loaded, made.data.test[0]), predictions(made, made.data.test[0]), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_has_its_data(runs, kind):
    loaded = vds.load_run(runs[kind].folder)
    expected = load_data(loaded.settings)
    for found, part in ((loaded.data.train, expected.train), (loaded.data.test, expected.test)):
        assert all(torch.equal(a, b) for a, b in zip(found, part, strict=True))
    assert loaded.data is loaded.data, "they are loaded once"


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_has_a_datatree_where_it_has_a_posterior(runs, kind):
    loaded = vds.load_run(runs[kind].folder)
    assert loaded.has_posterior is (kind in WITH_POSTERIOR)
    if kind in WITH_POSTERIOR:
        assert isinstance(loaded.datatree, xr.DataTree)
        assert loaded.datatree is loaded.datatree
        assert set(loaded.datatree["posterior"].data_vars) >= set(loaded.model.axes)
        assert set(loaded.cut) == set(loaded.model.axes)
        return
    assert loaded.cut == {}
    held = {"plain": "a plain network", "per input": "a depth for each input"}[kind]
    with pytest.raises(ValueError, match=f"Expected a run with one posterior for all inputs, but .* holds {held}"):
        _ = loaded.datatree


def test_a_missing_posterior_is_reported_when_it_is_asked_for(run):
    (run / "posterior.nc").unlink()
    loaded = vds.load_run(run)
    with pytest.raises(ValueError, match=r"Expected an intact run folder at .*, but posterior\.nc is missing"):
        _ = loaded.datatree


def test_a_run_from_python_is_the_one_of_the_command_line(tmp_path):
    cli.main([*SPIRALS, "--max-epochs", "3", "--out", str(tmp_path / "command")])
    lines = []
    made = vds.runs.execute(
        vds.runs.Settings(num_points=200, max_depth=2, max_epochs=3), str(tmp_path / "python"), progress=False,
        on_epoch=lines.append,
    )  # fmt: skip
    command, python = vds.load_run(tmp_path / "command"), vds.load_run(tmp_path / "python")
    for part in (command, python, made):
        assert part.metrics["training"].pop("seconds") > 0
    assert command.metrics == python.metrics == made.metrics
    assert read_config(command.folder) == read_config(python.folder)
    assert {path.name for path in made.folder.iterdir()} == FILES
    assert {path.name for path in (made.folder / "figures").iterdir()} == FIGURES
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (command.folder, python.folder)]
    assert weights[0] == weights[1]
    table = pd.read_csv(made.folder / "history.csv", index_col="epoch")
    pd.testing.assert_frame_equal(table, python.history.to_dataframe(), check_exact=True)
    assert len(lines) == 3


def test_nothing_is_printed_and_no_logger_is_set_up(tmp_path, capfd):
    handlers = list(logging.getLogger().handlers), list(logging.getLogger("pyro_vds").handlers)
    run = vds.runs.execute(BRIEF, tmp_path / "run", progress=False)
    vds.runs.evaluate(vds.load_run(run.folder))
    vds.runs.draw(run)
    vds.runs.write_report(run)
    assert capfd.readouterr() == ("", "")
    assert (list(logging.getLogger().handlers), list(logging.getLogger("pyro_vds").handlers)) == handlers


def test_random_state_is_left_alone(tmp_path):
    before = torch.get_rng_state()
    run = vds.runs.execute(BRIEF, tmp_path / "run", progress=False)
    vds.load_run(run.folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_path_a_new_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [vds.runs.execute(BRIEF, progress=False).folder for _ in range(2)]
    assert found == [Path("runs/spirals"), Path("runs/spirals-2")]
    assert vds.runs.execute(BRIEF, overwrite=True, progress=False).folder == Path("runs/spirals")


def test_a_folder_that_is_there_is_kept(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(FileExistsError, match="Expected a new path"):
        vds.runs.execute(BRIEF, tmp_path / "run", progress=False)
    assert list((tmp_path / "run").iterdir()) == []


def test_settings_that_do_not_fit_leave_nothing(tmp_path):
    with pytest.raises(ValueError, match="Expected 3 probs"):
        vds.runs.execute(replace(BRIEF, prior=vds.priors.Weights((0.5, 0.5))), tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="Expected --device auto, cpu or another device"):
        vds.runs.execute(replace(BRIEF, device="nowhere"), tmp_path / "run", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_data_are_looked_for_where_they_are_now(run, tmp_path):
    assert vds.load_run(run).settings.data_root == "data"
    assert vds.load_run(run, data_root=tmp_path).settings.data_root == str(tmp_path)


def test_loading_executes_no_code(run, tmp_path, monkeypatch):
    marker = tmp_path / "executed"
    (tmp_path / "malicious.py").write_text(f"open({str(marker)!r}, 'w')\nclass Prior: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    for value in (
        f'!!python/object/apply:os.system ["touch {marker}"]',
        "malicious.Prior",
        "{class_path: malicious.Prior}",
        "'{class_path: malicious.Prior}'",
        "{class_path: Hierarchical, init_args: {prior: malicious.Prior}}",
        "{class_path: Hierarchical, init_args: {prior: {class_path: malicious.Prior}}}",
    ):
        (run / "config.yaml").write_text(f"prior: {value}\n")
        with pytest.raises(ValueError, match=r"Expected an intact run folder at .*, but config\.yaml is damaged"):
            vds.load_run(run)
        assert not marker.exists()
    (tmp_path / "other").write_text("prior: malicious.Prior\n")
    (run / "config.yaml").write_text(f"config: {tmp_path / 'other'}\n")
    with pytest.raises(ValueError, match=r"Expected an intact run folder at .*, but config\.yaml is damaged"):
        vds.load_run(run)
    assert not marker.exists()


def test_a_run_in_closed_form_says_so_and_ends_at_the_exact_posterior(tmp_path):
    given = {"guide_update": "closed_form", "block_rate": "full", "weight_floor": 0.1, "tempered_num_data": 150.0}
    small = {"max_epochs": 6, "anneal_epochs": 2, "max_depth": 2, "num_points": 200, "train_fraction": 0.5}
    run = vds.runs.execute(vds.runs.Settings(data="spirals", **given, **small), tmp_path / "run", progress=False)
    again = vds.load_run(tmp_path / "run")
    line = "guide in closed form (annealed over 2 epochs, deep start, at most 150 points counted), blocks at full rate"
    assert f"{line}, weight floor 0.1" in again.summary
    assert again.settings == run.settings  # YAML and back
    assert abs(again.metrics["posterior"]["evidence_gap"]) < 1e-5
    torch.testing.assert_close(again.history.gap, run.history.gap)
    assert again.history.tempered_num_data.tolist() == run.history.tempered_num_data.tolist()
    assert set(again.history.to_dataset()) >= {"gap", "tempered_num_data"}


def test_a_run_in_the_paper_s_way_says_so(tmp_path):
    settings = vds.runs.Settings(preset="paper", data="spirals", max_epochs=2, max_depth=1)
    summary = vds.runs.execute(settings, tmp_path / "run", progress=False).summary
    assert "\npreset paper: guide by gradient steps, blocks at the paper's rate\n" in summary


def test_a_plain_network_says_its_preset_alone(tmp_path):
    settings = vds.runs.Settings(data="spirals", max_epochs=2, max_depth=1, readout="last")
    assert "\npreset recipe\n" in vds.runs.execute(settings, tmp_path / "run", progress=False).summary
