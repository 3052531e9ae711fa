"""Runs with counts and ordered classes: made, opened, measured and pruned; and refused where the targets do not fit."""

import numpy as np
import pytest
import torch

import pyro_vds as vds
from pyro_vds.cli import main as cli
from pyro_vds.runs.build import build
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.likelihoods import LIKELIHOODS

pytestmark = pytest.mark.usefixtures("float32")

BRIEF = {"data": "npz", "max_depth": 1, "width": 4, "max_epochs": 2, "batch_size": 20}


def write(folder, y) -> str:
    x = np.random.default_rng(0).normal(size=(len(y), 2))
    np.savez(folder / "data.npz", x=x, y=y)
    return str(folder / "data.npz")


TARGETS = {
    "poisson": np.random.default_rng(1).poisson(30, 60),
    "negative_binomial": np.random.default_rng(1).poisson(3, (60, 2)).astype(float),
    "ordinal": np.arange(60) % 3,
    "classification": (np.arange(60) % 3).astype(float)[:, None],
    "gaussian": np.arange(60)[:, None],
}
MEASURES = {
    "poisson": {"log_likelihood", "rmse", "interval_error"},
    "negative_binomial": {"log_likelihood", "rmse"},
    "ordinal": {"log_likelihood", "error", "ece", "brier", "ranked_score"},
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_run_is_made_opened_measured_and_pruned(tmp_path, name):
    settings = vds.runs.Settings(**BRIEF, likelihood=name, data_path=write(tmp_path, TARGETS[name]))
    made = vds.runs.execute(settings, tmp_path / "run", progress=False)
    run = vds.load_run(tmp_path / "run")
    assert type(run.model.likelihood) is type(LIKELIHOODS[name].make(run.data_summary))
    assert set(run.metrics["test"]["full"]) == MEASURES[name]
    assert vds.runs.evaluate(run)["test"]["full"] == pytest.approx(made.metrics["test"]["full"])
    x, y = run.data.test
    density = vds.log_predictive(run.model, run.guide, x, y)
    assert run.metrics["test"]["full"]["log_likelihood"] == pytest.approx(float(density.mean()), rel=1e-5)
    found = vds.runs.prune_run(run, {"depth": 1})(x)
    if name == "ordinal":
        assert found.shape == (len(x), 3)
    else:
        assert run.data.target_std is None
        assert set(y.flatten().tolist()) <= set(TARGETS[name].flatten().tolist())  # as they are in the file
        torch.testing.assert_close(found[0], vds.predict_moments(run.model, run.guide, x, depth=1)[0])
    page = vds.runs.write_report(run).read_text()
    assert {"ordinal": "2, 3 ordered classes"}.get(name, "2, counts") in page


def test_the_network_starts_at_the_mean_count(tmp_path):
    settings = vds.runs.Settings(**BRIEF, likelihood="poisson", data_path=write(tmp_path, TARGETS["poisson"]))
    data = load_data(settings)
    model, _ = build(settings, DataSummary.of(data))
    assert float(model.likelihood(torch.zeros(1, 1)).mean) == pytest.approx(float(data.train[1].mean()), rel=1e-5)
    assert (settings.resolved().lr, settings.resolved().clip_norm) == (0.01, 1.0)


@pytest.mark.parametrize("name", ["classification", "gaussian"])
def test_the_likelihood_says_what_numbers_in_a_file_are(tmp_path, name):
    data = load_data(vds.runs.Settings(**BRIEF, likelihood=name, data_path=write(tmp_path, TARGETS[name])))
    assert data.targets == LIKELIHOODS[name].targets
    assert data.train[1].ndim == 1
    assert data.classes == (3 if name == "classification" else None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["spirals", "--likelihood", "poisson"], "Expected the likelihood classification or ordinal for spirals"),
        (
            ["diabetes", "--likelihood", "ordinal"],
            "Expected the likelihood gaussian for diabetes, whose targets",
        ),
        (["npz", "--likelihood", "negative_binomial"], "whole numbers of at least 0, for counts, got -0.5"),
        (["npz", "--likelihood", "ordinal"], "whole numbers, for classes, got -0.5"),
    ],
)
def test_targets_that_do_not_fit_are_refused(tmp_path, capsys, words, message):
    path = write(tmp_path, np.linspace(-0.5, 3.5, 60))
    with pytest.raises(SystemExit):
        cli.main(["fit", *words, "--data-path", path, "--out", str(tmp_path / "run")])
    error = capsys.readouterr().err
    assert message in error
    assert error.splitlines()[-1].startswith("pyro-vds: Expected ")
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()
