"""A run keeps weights by name: stacked ones of its validation data, and the exact posterior."""

import json
from dataclasses import replace

import oracles
import pytest
import torch

import pyro_vds as vds
from pyro_vds.cli import main as cli
from pyro_vds.runs.report import render
from pyro_vds.runs.summary import summary_text
from tests.commands import fails, table

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
    found = vds.runs.measures.measure_test(run.model, run.guide, (x, y), cut=run.cut)["test"]
    assert list(found) == ["full", "pruned", "stacked"]
    assert sum(points) <= len(x) + 2  # the check of the data runs a point or two


def squeezed(text):
    return " ".join(text.split())


def test_it_says_which_weights_each_prediction_used(run):
    assert run.metrics["weights"] == {"full": "posterior", "pruned": "posterior", "stacked": "stacked"}
    line = "weights: the posterior for full, pruned; stacked ones, chosen on the validation data, for stacked"
    assert line in run.summary.splitlines()
    assert line.capitalize() in squeezed(render(run))
    assert run.metrics == json.loads((run.folder / "metrics.json").read_text())


def test_the_stacked_weights_stand_beside_the_posterior(run):
    stacked = run.guide.log_weights("stacked").exp()
    entries = run.metrics["posterior"]["axes"]["depth"]
    torch.testing.assert_close(torch.tensor(entries["stacked"]), stacked)
    head = next(line for line in run.summary.splitlines() if line.startswith("depth "))
    assert head.split()[:4] == ["depth", "q(depth)", "exact", "stacked"]
    page = render(run)
    assert '<th scope="col">stacked</th>' in page
    for depth, (q, exact) in enumerate(zip(entries["q"], entries["exact"], strict=True)):
        numbers = [f"{q:.3f}", f"{exact:.3f}", f"{stacked[depth]:.3f}"]
        assert max(q, stacked[depth]) < 0.005 or any(
            line.split()[:4] == [str(depth), *numbers] for line in run.summary.splitlines()
        )
        assert "".join(f"<td>{number}</td>" for number in numbers) in page


def test_the_disagreement_is_that_of_the_test_data(run):
    x, _ = run.data.test
    with torch.inference_mode():
        outputs = run.model.eval().outputs(x).double()
    probs, q = outputs.softmax(-1), run.guide.probs()["depth"].double()
    mean = torch.einsum("a,anc->nc", q, probs)
    by_posterior = -(mean * mean.log()).sum(-1) + torch.einsum("a,anc->n", q, probs * probs.log())
    found = run.metrics["disagreement"]
    assert found["unit"] == "nats"
    assert found["mean"]["uniform"] == pytest.approx(float(oracles.disagreement(outputs).mean()), abs=1e-5)
    assert found["mean"]["posterior"] == pytest.approx(float(by_posterior.mean()), abs=1e-5)
    uniform, posterior = found["mean"].values()
    line = (
        f"mean disagreement of the architectures: {uniform:.4f} nats with uniform weights, "
        f"{posterior:.4f} with the posterior"
    )
    assert run.summary.splitlines()[-1] == line
    assert line.capitalize() in squeezed(render(run))


def test_a_run_that_has_its_posterior_only_has_the_summary_that_it_had(tmp_path):
    run = vds.runs.execute(
        vds.runs.Settings(num_points=60, max_depth=2, width=4, max_epochs=2), tmp_path / "run", progress=False
    )
    assert run.metrics["weights"] == {"full": "posterior", "pruned": "posterior"}
    assert "weights:" not in run.summary
    assert "stacked" not in run.summary
    assert "disagreement" not in run.summary
    assert "Mean disagreement of the architectures: " in squeezed(render(run))
    earlier = {name: value for name, value in run.metrics.items() if name not in ("weights", "disagreement")}
    assert summary_text(earlier) == summary_text(run.metrics)
    assert render(replace(run, metrics=earlier))


@pytest.mark.parametrize("name", ["uniform", "stacked", "exact"])
def test_it_is_measured_with_the_weights_that_are_named(run, name, capsys):
    x, y = run.data.test
    found = vds.runs.evaluate(run, {"depth": 1}, weights=name)
    cases = {"full": {}, "pruned": {"depth": 1}}
    for case, cut in cases.items():
        expected = float(vds.log_predictive(run.model, run.guide, x, y, weights=name, **cut).double().mean())
        assert found["test"][case]["log_likelihood"] == pytest.approx(expected, abs=1e-5)
        assert found["weights"][case] == name
    assert ("stacked" in found["test"]) == (name != "stacked")  # the same numbers once
    assert found["disagreement"]["mean"] == pytest.approx(run.metrics["disagreement"]["mean"])
    cli.main(["evaluate", str(run.folder), "--depth", "1", "--weights", name])
    assert table(capsys.readouterr().out)["full"][0] == pytest.approx(found["test"]["full"]["log_likelihood"], abs=1e-4)


@pytest.mark.parametrize("name", ["posterior", "uniform", "stacked", "exact"])
def test_it_is_pruned_with_the_weights_that_are_named(run, name, tmp_path):
    x, _ = run.data.test
    expected = vds.predict_proba(run.model, run.guide, x, weights=name, depth=1)
    network = vds.runs.prune_run(run, {"depth": 1}, weights=name, disagreement=True)
    torch.testing.assert_close(network(x).exp().double(), expected, rtol=1e-5, atol=1e-6)
    uniform = vds.predict_disagreement(run.model, run.guide, x, depth=1)
    torch.testing.assert_close(network.disagreement(x), uniform, atol=1e-5, rtol=1e-4)
    out = tmp_path / "small.pt2"
    cli.main(["prune", str(run.folder), "--depth", "1", "--weights", name, "--out", str(out)])
    torch.testing.assert_close(torch.export.load(out).module()(x).exp().double(), expected, rtol=1e-4, atol=1e-5)


def test_a_plain_network_and_one_for_each_input_have_the_weights_that_they_can(tmp_path):
    brief = vds.runs.Settings(num_points=60, max_depth=1, width=4, max_epochs=1)
    plain = vds.runs.execute(replace(brief, readout="last"), tmp_path / "plain", progress=False)
    assert not {"weights", "disagreement"} & set(plain.metrics)
    assert "disagreement" not in render(plain)
    found = vds.runs.evaluate(plain, weights="uniform")
    assert found["test"] == {"full": pytest.approx(plain.metrics["test"]["full"])}
    by_input = vds.runs.execute(replace(brief, guide="per_input"), tmp_path / "by_input", progress=False)
    x, y = by_input.data.test
    expected = float(vds.log_predictive(by_input.model, by_input.guide, x, y, weights="uniform").double().mean())
    found = vds.runs.evaluate(by_input, weights="uniform")
    assert found["test"]["full"]["log_likelihood"] == pytest.approx(expected, abs=1e-5)
    assert found["weights"] == {"full": "uniform", "adaptive": "uniform"}
    uniform = float(vds.predict_disagreement(by_input.model, by_input.guide, x).double().mean())
    assert found["disagreement"]["mean"]["uniform"] == pytest.approx(uniform)
    assert "Mean disagreement of the architectures" in squeezed(render(by_input))
    with pytest.raises(ValueError, match="'posterior' or 'uniform' for an architecture of its own for each input"):
        vds.runs.evaluate(by_input, weights="stacked")


def test_weights_that_a_run_has_not_are_reported(capsys, tmp_path):
    folder = tmp_path / "run"
    vds.runs.execute(vds.runs.Settings(num_points=60, max_depth=1, width=4, max_epochs=1), folder, progress=False)
    for command in ("evaluate", "prune"):
        code, message = fails(capsys, command, folder, "--weights", "stacked")
        assert code == 1
        assert "Expected a guide with stacked weights, got one that has none yet. Fit with validation data" in message
        code, message = fails(capsys, command, folder, "--weights", "flat")
        assert code == 2
        assert "flat" in message
    assert not (folder / "pruned.pt2").exists()


def test_other_data_are_detected_by_uniform_disagreement(run):
    other = run.data.test[0].flip(-1) + 0.5 * torch.randn(run.data.test[0].shape)
    scores = [oracles.disagreement(run.model.outputs(x).detach().double()) for x in (run.data.test[0], other)]
    expected = float((scores[1][:, None] > scores[0]).double().mean())
    assert vds.runs.detect_other_data(run, other).auroc == pytest.approx(expected, abs=1e-3)
    by_posterior = vds.runs.detect_other_data(run, other, weights="posterior")
    inside, outside = (
        vds.predict_disagreement(run.model, run.guide, x, weights="posterior") for x in (run.data.test[0], other)
    )
    assert by_posterior == vds.uncertainty.detect_outside(inside, outside)
    cut = vds.runs.detect_other_data(run, other, {"depth": "1"})
    scores = [oracles.disagreement(run.model.outputs(x).detach().double(), 1) for x in (run.data.test[0], other)]
    assert cut.auroc == pytest.approx(float((scores[1][:, None] > scores[0]).double().mean()), abs=1e-3)


def test_widths_have_stacked_weights_in_their_tables(tmp_path):
    settings = replace(BRIEF, widths=(2, 4), channels=4, guide="joint")
    run = vds.runs.execute(settings, tmp_path / "run", progress=False)
    stacked = run.guide.log_weights("stacked").exp()
    assert stacked.shape == run.model.sizes
    axes = run.metrics["posterior"]["axes"]
    torch.testing.assert_close(torch.tensor(axes["depth"]["stacked"]), stacked.sum(1))
    torch.testing.assert_close(torch.tensor(axes["width"]["stacked"]), stacked.sum(0))
    assert ["stacked", *(f"{w:.3f}" for w in axes["width"]["stacked"])] in [s.split() for s in run.summary.splitlines()]
    assert '<th scope="col">stacked</th>' in render(run)
