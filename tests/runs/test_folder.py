"""Run folders: whole or not at all, read back as they were written, damage reported; targets and their units."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pyro_vds import predict_moments, predict_proba
from pyro_vds.datasets.dataset import DataSet, split_and_normalise
from pyro_vds.likelihoods.gaussian import Gaussian
from pyro_vds.priors.families import Weights
from pyro_vds.runs import build, files
from pyro_vds.runs.config import write_config
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.folder import Run, load_run, save_weights
from pyro_vds.runs.measures import measure
from pyro_vds.runs.metrics import collect_metrics
from pyro_vds.runs.settings import Settings

SETTINGS = Settings(num_points=100, max_depth=2, width=4, max_epochs=3).resolved()
METRICS = {"parameters": {"full": 99}, "posterior": {"rule": "95", "chosen": {"depth": 1}}}


def write_run(folder: Path, settings: Settings = SETTINGS) -> Run:
    """Train a tiny run and write what load_run reads."""
    data = load_data(settings)
    summary = DataSummary.of(data)
    model, guide = build.build(settings, summary)
    history = build.train(settings, model, guide, data, progress=False)
    folder.mkdir(parents=True)
    write_config(folder / files.CONFIG, settings)
    files.write_json(folder / files.DATA, asdict(summary))
    files.write_json(folder / files.METRICS, METRICS)
    save_weights(folder, model, guide)
    history.save(folder / files.HISTORY)
    return Run(folder, settings, summary, model, guide, history, METRICS)


@pytest.fixture
def run(tmp_path) -> Run:
    return write_run(tmp_path / "run")


# Summaries


def test_summary_of_classes():
    data = load_data(SETTINGS)
    summary = DataSummary.of(data)
    assert (summary.input_shape, summary.outputs, summary.classes, summary.num_data) == ((2,), 2, 2, 10)
    assert summary.target_mean is summary.target_std is None
    assert summary.mean == tuple(data.mean.tolist())
    assert summary.std == tuple(data.std.tolist())


def regression(columns: int | None, scale: float = 1.0) -> DataSet:
    """Random targets, far from mean 0 and standard deviation 1, times a scale."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 4, generator=generator)
    y = x[:, :2].sin() * torch.tensor([2.0, 30.0]) + torch.tensor([500.0, -3.0])
    y = scale * (y[:, 0] if columns is None else y[:, :columns])
    return split_and_normalise((x[:40], y[:40]), (x[40:], y[40:]), classes=None, generator=generator)


@pytest.mark.parametrize(("columns", "outputs"), [(None, 1), (1, 1), (2, 2)])
def test_summary_of_targets_knows_their_number_and_units(columns, outputs):
    data = regression(columns)
    summary = DataSummary.of(data)
    assert summary.outputs == outputs
    assert data.target_mean is not None
    assert data.target_std is not None
    assert summary.target_mean == tuple(data.target_mean.tolist())
    assert summary.target_std == tuple(data.target_std.tolist())
    model, _ = build.build(SETTINGS, summary)
    assert isinstance(model.likelihood, Gaussian)
    assert model.likelihood.scale.unique().tolist() == [1]


# Measures in the units of the targets


@pytest.mark.parametrize("columns", [None, 2])
def test_regression_is_measured_in_the_units_of_the_targets(columns):
    """A plain network predicts ``Normal(target_mean + target_std * f(x), target_std * scale)``."""
    data = regression(columns)
    model, guide = build.build(replace(SETTINGS, readout="last"), DataSummary.of(data))
    assert data.target_mean is not None
    assert data.target_std is not None
    assert isinstance(model.likelihood, Gaussian)
    x, y = data.test[0], data.target_mean + data.target_std * data.test[1]
    outputs = model.eval().backbone(x).detach().reshape(y.shape)
    expected = torch.distributions.Normal(
        data.target_mean + data.target_std * outputs, data.target_std * model.likelihood.scale.detach()
    )
    found = measure(model, guide, data.test, target_std=data.target_std)
    assert found["rmse"] == pytest.approx(float((expected.mean - y).square().mean().sqrt()))
    assert found["log_likelihood"] == pytest.approx(float(expected.log_prob(y).sum()) / len(y))


def regression_metrics(scale: float) -> dict:
    data = regression(None, scale)
    model, guide = build.build(SETTINGS, DataSummary.of(data))
    build.train(SETTINGS, model, guide, data, progress=False)
    return collect_metrics(model, guide, data.train, data.test, rule="95", target_std=data.target_std)[0]


def test_targets_in_other_units_change_the_measures_by_the_units_alone():
    one, ten = regression_metrics(1), regression_metrics(10)
    for case in ("full", "pruned"):
        assert ten["test"][case]["rmse"] == pytest.approx(10 * one["test"][case]["rmse"])
        shift = ten["test"][case]["log_likelihood"] - one["test"][case]["log_likelihood"]
        assert shift == pytest.approx(-math.log(10))
    one, ten = one["posterior"], ten["posterior"]
    for name in ("elbo", "log_evidence"):
        assert ten[name] - one[name] == pytest.approx(-40 * math.log(10))
    by_depth = np.subtract(ten["train_log_likelihood"], one["train_log_likelihood"])
    np.testing.assert_allclose(by_depth, -math.log(10))
    assert ten["evidence_gap"] == pytest.approx(one["evidence_gap"])
    for name in ("q", "exact"):
        assert ten["axes"]["depth"][name] == pytest.approx(one["axes"]["depth"][name])


# Reading back


def test_loaded_run_predicts_the_same(run):
    x = load_data(SETTINGS).test[0]
    loaded = load_run(run.folder)
    assert not loaded.model.training
    assert torch.equal(predict_proba(loaded.model, loaded.guide, x), predict_proba(run.model, run.guide, x))
    assert torch.equal(loaded.history.elbo, run.history.elbo)
    assert (loaded.data_summary, loaded.parameters, loaded.cut) == (run.data_summary, 99, {"depth": 1})


def test_loaded_regression_run_predicts_the_same(tmp_path, float32):
    x = np.random.default_rng(0).normal(size=(50, 3))
    np.savez(tmp_path / "data.npz", x=x, y=np.sin(x).sum(1))
    settings = replace(SETTINGS, data="npz", data_path=str(tmp_path / "data.npz"))
    run = write_run(tmp_path / "run", settings)
    loaded = load_run(run.folder)
    test = load_data(settings).test[0]
    assert loaded.data_summary == run.data_summary
    found, expected = (predict_moments(r.model, r.guide, test) for r in (loaded, run))
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_loaded_plain_network_predicts_the_same(tmp_path):
    settings = replace(SETTINGS, readout="last")
    run = write_run(tmp_path / "run", settings)
    loaded = load_run(run.folder)
    x = load_data(settings).test[0]
    assert torch.equal(predict_proba(loaded.model, loaded.guide, x), predict_proba(run.model, run.guide, x))


def test_recalibration_is_part_of_training(tmp_path, run):
    recalibrated = write_run(tmp_path / "recalibrated", replace(SETTINGS, recalibrate=True))
    states = [r.model.state_dict() for r in (run, recalibrated)]
    changed = {name for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert changed
    assert all("running" in name or "num_batches" in name for name in changed)


def test_missing_folder_is_reported_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected a run folder at .*none, found none.*pyro-vds fit --out"):
        load_run(tmp_path / "none")


@pytest.mark.parametrize("name", [files.CONFIG, files.DATA, files.METRICS, files.WEIGHTS, files.HISTORY])
def test_missing_file_is_named(run, name):
    (run.folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"Expected the files of a run in .*, but {name} is missing"):
        load_run(run.folder)


@pytest.mark.parametrize("name", [files.DATA, files.METRICS, files.WEIGHTS, files.HISTORY])
@pytest.mark.parametrize("content", [b"", b"{ cut", b"\xff\xfe\x00"])
def test_damaged_file_is_reported_with_a_remedy(run, name, content):
    (run.folder / name).write_bytes(content)
    with pytest.raises(
        ValueError, match=f"Expected an intact run folder at .*{name} is damaged.*pyro-vds fit --config"
    ):
        load_run(run.folder)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"parameters": {}}, "no entry 'full'"),
        ({"parameters": 3}, "not subscriptable"),
        ({"posterior": {"rule": "95"}}, "no entry 'chosen'"),
        ({"posterior": {"chosen": {"width": 1}}}, "no entry 'depth'"),
        ({"posterior": {"chosen": {"depth": 3}}}, r"Expected a depth in 0\.\.2, got 3"),
        ({"posterior": {"chosen": {"depth": "one"}}}, r"Expected a depth in 0\.\.2, got one"),
    ],
)
def test_metrics_without_what_is_read_of_them_are_reported(run, change, cause):
    (run.folder / files.METRICS).write_text(json.dumps(METRICS | change))
    message = f"Expected an intact run folder at {run.folder}, but {files.METRICS} is damaged .*{cause}.* Train again: "
    with pytest.raises(ValueError, match=message):
        load_run(run.folder)


@pytest.mark.parametrize("name", [files.WEIGHTS, files.HISTORY])
def test_truncated_tensors_are_reported(run, name):
    content = (run.folder / name).read_bytes()
    (run.folder / name).write_bytes(content[:-8])
    with pytest.raises(ValueError, match="Expected an intact run folder"):
        load_run(run.folder)


@pytest.mark.parametrize("content", ["[]", "{}", '{"unknown": 1}'])
def test_data_summary_of_another_form_is_reported(run, content):
    (run.folder / files.DATA).write_text(content)
    with pytest.raises(ValueError, match="Expected an intact run folder"):
        load_run(run.folder)


def test_history_without_its_metadata_is_reported(run):
    save_file(load_file(run.folder / files.HISTORY), run.folder / files.HISTORY)
    with pytest.raises(ValueError, match="Expected an intact run folder"):
        load_run(run.folder)


@pytest.mark.parametrize("change", [{"width": 5}, {"max_depth": 3}, {"readout": "last"}])
def test_weights_of_another_network_are_reported(run, change):
    write_config(run.folder / files.CONFIG, replace(SETTINGS, **change))
    with pytest.raises(ValueError, match="does not fit the others: Error.* loading state_dict"):
        load_run(run.folder)


def test_prior_of_another_size_is_reported(run):
    write_config(run.folder / files.CONFIG, replace(SETTINGS, prior=Weights((0.5, 0.5))))
    with pytest.raises(ValueError, match="Expected an intact run folder.*Expected 3 probs"):
        load_run(run.folder)


def test_weights_are_kept_bit_for_bit(run):
    state = load_file(run.folder / files.WEIGHTS)
    expected = {f"model.{k}": v for k, v in run.model.state_dict().items()}
    expected |= {f"guide.{k}": v for k, v in run.guide.state_dict().items()}
    assert state.keys() == expected.keys()
    torch.testing.assert_close(state, expected, rtol=0, atol=0)
