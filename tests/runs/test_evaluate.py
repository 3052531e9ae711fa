"""What is done with a finished run from Python: measured, cut, drawn, compared, and refused without a posterior."""

import shutil
from pathlib import Path

import pytest
import torch

import pyro_vds as vds
from pyro_vds.runs import choose_architecture, export_network
from tests.commands import FIGURES

pytestmark = pytest.mark.usefixtures("float32")

BRIEF = {"num_points": 60, "max_depth": 2, "width": 4, "max_epochs": 3}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    """Folders of three runs, in single precision."""
    folder = tmp_path_factory.mktemp("evaluated")
    kinds = {
        "depth": {},
        "widths": {"widths": (2, 4), "guide": "joint"},
        "plain": {"readout": "last"},
        "per input": {"guide": "per_input"},
    }
    for name, change in kinds.items():
        vds.runs.execute(vds.runs.Settings(**BRIEF | change), folder / name, progress=False)
    return {name: folder / name for name in kinds}


def test_measures_are_those_of_the_metrics_and_of_the_prediction(made):
    run = vds.load_run(made["depth"])
    found = vds.runs.evaluate(run)
    assert found["test"] == {case: pytest.approx(values) for case, values in run.metrics["test"].items()}
    assert (found["parameters"], found["test_size"]) == (run.metrics["parameters"], run.metrics["test_size"])
    assert found["depth"] == run.cut["depth"]
    x, y = run.data.test
    for depth in range(3):
        expected = float(vds.log_predictive(run.model, run.guide, x, y, depth=depth).mean())
        for cut in ({"depth": depth}, {"depth": str(depth)}):
            found = vds.runs.evaluate(run, cut)
            assert found["test"]["pruned"]["log_likelihood"] == pytest.approx(expected)
            assert found["depth"] == depth


@pytest.mark.parametrize("cut", [{}, {"depth": 1}, {"width": 2}, {"depth": 0, "width": 4}])
def test_the_rest_of_an_architecture_is_the_choice_of_the_run(made, cut):
    run = vds.load_run(made["widths"])
    chosen = choose_architecture(run, cut)
    assert chosen == run.cut | cut
    network, x = vds.runs.prune_run(run, cut), run.data.test[0]
    expected = vds.predict_proba(run.model, run.guide, x, **chosen)
    torch.testing.assert_close(network(x).double().exp(), expected)
    assert vds.runs.evaluate(run, cut)["parameters"]["pruned"] == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("rule", ["95", "argmax", "expected"])
def test_a_rule_chooses_what_is_not_given(made, rule):
    run = vds.load_run(made["depth"])
    assert choose_architecture(run, rule=rule) == {"depth": vds.choose_depth(run.guide.probs()["depth"], rule)}
    assert choose_architecture(run, {"depth": 2}, rule) == {"depth": 2}


@pytest.mark.parametrize(("kind", "held"), [("plain", "a plain network"), ("per input", "a depth for each input")])
def test_runs_without_one_posterior_are_measured_but_not_cut(made, kind, held):
    run = vds.load_run(made[kind])
    assert choose_architecture(run) == {}
    assert vds.runs.evaluate(run)["test"] == {c: pytest.approx(v) for c, v in run.metrics["test"].items()}
    for ask in (
        lambda: vds.runs.evaluate(run, {"depth": 1}),
        lambda: vds.runs.evaluate(run, rule="95"),
        lambda: vds.runs.prune_run(run),
        lambda: vds.runs.reweight_run(run, {"depth": vds.priors.Uniform()}),
    ):
        with pytest.raises(ValueError, match=f"Expected a run with one posterior for all inputs, but .* holds {held}"):
            ask()


def test_axes_and_labels_that_are_not_there_are_named(made):
    run = vds.load_run(made["depth"])
    with pytest.raises(ValueError, match=r"Expected a depth in 0\.\.2, got 3"):
        vds.runs.evaluate(run, {"depth": 3})
    with pytest.raises(ValueError, match="Expected a model with an axis 'width' to cut"):
        vds.runs.prune_run(run, {"width": 2})


def test_an_exported_network_has_the_numbers_of_the_run(made, tmp_path):
    run = vds.load_run(made["widths"])
    network = vds.runs.prune_run(run, {"depth": 1, "width": 2})
    export_network(run, network, tmp_path / "small.pt2")
    x = run.data.test[0]
    torch.testing.assert_close(torch.export.load(tmp_path / "small.pt2").module()(x), network(x))
    with pytest.raises(FileExistsError, match="Expected a new path"):
        export_network(run, network, tmp_path / "small.pt2")
    with pytest.raises(ValueError, match=r"Expected a file that ends in \.pt2 or \.onnx"):
        export_network(run, network, tmp_path / "small.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["small.pt2"]


def test_figures_and_page_are_made_again(made, tmp_path):
    run = vds.load_run(shutil.copytree(made["depth"], tmp_path / "run"))
    shutil.rmtree(run.folder / "figures")
    vds.runs.draw(run)
    assert {path.name for path in (run.folder / "figures").iterdir()} == FIGURES
    assert vds.runs.write_report(run) == run.folder / "report.html"
    assert (
        vds.runs.write_report(run, str(tmp_path / "page.html")).read_text() == (run.folder / "report.html").read_text()
    )


def test_the_posterior_under_the_priors_of_the_run_is_its_own(made):
    run = vds.load_run(made["widths"])
    found = vds.runs.reweight_run(run, {"depth": run.settings.prior, "width": run.settings.width_prior})
    for axis in ("depth", "width"):
        other, model = (found[name]["posterior"][axis]["probs"] for name in ("other", "model"))
        assert other == pytest.approx(model, rel=1e-5)
    assert found["other"]["log_evidence"] == pytest.approx(found["model"]["log_evidence"], rel=1e-5)
    assert found["other"]["chosen"] == found["model"]["chosen"] == run.cut
    assert found["model"]["log_evidence"] == pytest.approx(run.metrics["posterior"]["log_evidence"])
