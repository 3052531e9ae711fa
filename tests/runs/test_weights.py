"""A run keeps weights by name: stacked ones of its validation data, and the exact posterior."""

from dataclasses import replace

import pytest
import torch

import pyro_vds as vds
from pyro_vds.runs.report import render

pytestmark = pytest.mark.usefixtures("float32")

BRIEF = vds.runs.Settings(data="digits", train_size=120, max_depth=2, width=4, max_epochs=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> vds.runs.Run:
    return vds.runs.execute(BRIEF, tmp_path_factory.mktemp("runs") / "digits", progress=False)


def test_it_measures_stacked_weights_beside_the_others(run):
    assert list(run.metrics["test"]) == ["full", "pruned", "stacked"]
    x, y = run.data.test
    expected = vds.log_predictive(run.model, run.guide, x, y, weights="stacked").double().mean()
    assert run.metrics["test"]["stacked"]["log_likelihood"] == pytest.approx(float(expected), abs=1e-5)
    assert run.metrics["parameters"]["stacked"] == run.metrics["parameters"]["full"]
    assert "stacked" in run.summary
    assert "stacked" in render(run)
    again = vds.runs.evaluate(run)
    assert again["test"]["stacked"] == pytest.approx(run.metrics["test"]["stacked"])
    assert again["parameters"]["stacked"] == run.parameters


def test_the_weights_come_back_with_the_run(run):
    loaded = vds.load_run(run.folder)
    assert loaded.guide.available_weights == ("posterior", "uniform", "stacked", "exact")
    for name in loaded.guide.available_weights:
        torch.testing.assert_close(loaded.guide.log_weights(name), run.guide.log_weights(name))
    exact = vds.exact_posterior(loaded.model, loaded.data.train).log_joint_probs
    torch.testing.assert_close(loaded.guide.log_weights("exact").exp(), exact.exp().float(), atol=1e-4, rtol=0)
    stacked = vds.stacked_weights(loaded.model, loaded.data.validation).exp()
    torch.testing.assert_close(loaded.guide.log_weights("stacked").exp(), stacked.float(), atol=1e-3, rtol=0)


def test_new_statistics_of_batch_norm_have_their_own_weights(tmp_path):
    """Recalibration changes the network after training, and with it the densities of the validation data."""
    settings = replace(BRIEF, recalibrate=True, guide_update="closed_form", anneal_epochs=1)
    run = vds.runs.execute(settings, tmp_path / "run", progress=False)
    stacked = vds.stacked_weights(run.model, run.data.validation).exp()
    torch.testing.assert_close(run.guide.log_weights("stacked").exp(), stacked.float(), atol=1e-5, rtol=0)
    assert abs(run.metrics["posterior"]["evidence_gap"]) < 1e-3  # the guide, too
    again = vds.load_run(run.folder)
    torch.testing.assert_close(again.guide.log_weights("stacked"), run.guide.log_weights("stacked"))


def test_all_are_measured_in_one_pass_over_the_test_data(run, monkeypatch):
    points, outputs = [], type(run.model).outputs
    x, y = run.data.test
    monkeypatch.setattr(type(run.model), "outputs", lambda self, x: points.append(len(x)) or outputs(self, x))
    found = vds.runs.measures.evaluate_run(run.model, run.guide, (x, y), cut=run.cut)
    assert list(found) == ["full", "pruned", "stacked"]
    assert sum(points) <= len(x) + 2  # the check of the data runs a point or two
