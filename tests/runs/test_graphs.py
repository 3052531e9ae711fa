"""Runs of graphs: made, opened, measured, pruned, drawn and reported, exactly or from draws."""

import shutil
from dataclasses import replace

import pytest
import torch

import pyro_vds as vds
from pyro_vds.runs.build import build
from pyro_vds.runs.data import DataSummary
from pyro_vds.runs.settings import Settings
from pyro_vds.training.optim import spelled

pytestmark = pytest.mark.usefixtures("float32")

DENSE = Settings(network="connectivity", num_points=60, layers=1, width=4, max_epochs=3)
IMAGES = Settings(data="digits", network="connectivity", layers=2, channels=2, train_size=60, max_epochs=2)
THREE = ("none", "skip_connect", "nor_conv_1x1")
KINDS = {
    "dense": DENSE,
    "images": IMAGES,
    "pooled": replace(IMAGES, pool=(1,), merge="max", prior=vds.priors.Exchangeable()),
    "cell": Settings(data="digits", network="cell", channels=2, operations=THREE, train_size=60, max_epochs=2),
    "mixture": replace(DENSE, guide="mixture", components=2),
    "generator": replace(DENSE, guide="generator"),
    "samples": replace(DENSE, samples=2),
    "regression": Settings(data="gap_1d", network="connectivity", layers=1, width=4, max_epochs=2),
    "many": replace(DENSE, layers=5, samples=2),
    "many images": replace(IMAGES, layers=5, samples=2),
    "many of a regression": Settings(
        data="gap_1d", network="connectivity", layers=5, width=4, max_epochs=2, samples=2, guide="mixture"
    ),
}
MANY = {kind for kind in KINDS if kind.startswith("many")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, vds.runs.Run]:
    """One run of each kind, in single precision."""
    folder = tmp_path_factory.mktemp("runs")
    torch.set_default_dtype(torch.float32)
    return {
        name: vds.runs.execute(settings, folder / name.replace(" ", "-"), progress=False)
        for name, settings in KINDS.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_run_is_the_run_that_was_made(runs, kind):
    made = runs[kind]
    loaded = vds.load_run(made.folder)
    expected = KINDS[kind].resolved()
    for found in (loaded.settings, made.settings):
        words = spelled(found.optimizer)  # read back, an optimiser has all of its own defaults
        assert (words["class_path"], words["init_args"]["lr"]) == ("torch.optim.adam.Adam", 0.01)
        assert replace(found, optimizer=None) == replace(expected, optimizer=None)
    assert (loaded.cut, loaded.parameters, loaded.summary) == (made.cut, made.parameters, made.summary)
    ((axis, probs),) = loaded.guide.probs().items()
    assert torch.equal(probs, made.guide.probs()[axis])
    assert loaded.cut == loaded.guide.mode() == vds.choose_architecture(loaded.guide)
    again = vds.runs.evaluate(loaded)
    for case, values in made.metrics["test"].items():
        assert again["test"][case] == pytest.approx(values, abs=1e-6)
    assert again["parameters"] == made.metrics["parameters"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_pruned_network_is_the_chosen_one_alone(runs, kind):
    run = runs[kind]
    ((name, axis),) = run.model.space.items()
    entries = torch.tensor([axis.choices(run.cut[name])])
    x, y = run.data.test
    with torch.no_grad():
        alone = run.model.backbone.at(x, {name: entries})[0]
        pruned = vds.runs.prune_run(run)(x)
    if run.data_summary.classes is None:
        torch.testing.assert_close(pruned[0], alone.squeeze(-1), atol=1e-6, rtol=1e-5)
        return
    torch.testing.assert_close(pruned, alone.log_softmax(-1), atol=1e-6, rtol=1e-5)
    error = float((alone.argmax(-1) != y).double().mean())
    assert run.metrics["test"]["pruned"]["error"] == pytest.approx(error)


@pytest.mark.parametrize("kind", KINDS)
def test_the_posterior_says_if_it_is_exact(runs, kind):
    run = runs[kind]
    posterior, exact = run.metrics["posterior"], run.datatree["architecture"].attrs["exact"]
    ((name, axis),) = posterior["axes"].items()
    sites = run.model.space[name].sites
    assert len(axis["sites"]) == len(axis["q"]) == len(posterior["chosen"][name]) == sites
    assert exact == (kind not in MANY)
    if kind in MANY:
        assert "exact" not in axis
        assert f" nats, log evidence {posterior['log_evidence']:.1f}" in run.summary
        assert "(estimate: 40 of 2,097,152 architectures)" in run.summary
        assert "full is the mean of 40 drawn architectures, an estimate" in run.summary
        assert posterior["elbo_se"] > 0
        return
    found = vds.exact_posterior(run.model, run.data.train)
    torch.testing.assert_close(torch.tensor(axis["exact"]), found.probs[name].float(), atol=1e-5, rtol=0)
    assert posterior["evidence_gap"] == pytest.approx(found.gap(run.guide), abs=1e-3)
    if run.data_summary.classes is not None:  # densities of a regression are in other units
        assert posterior["elbo"] == pytest.approx(found.elbo(run.guide), abs=1e-3)
    assert f"ELBO {posterior['elbo']:.2f} nats, log evidence" in run.summary


@pytest.mark.parametrize("kind", KINDS)
def test_figures_and_report_are_there(runs, kind, tmp_path):
    run = runs[kind]
    figures = {path.name for path in (run.folder / "figures").iterdir()}
    of_data = {"reliability.png"} if run.data_summary.classes else {"intervals.png", "band.png"}
    assert figures == {"history.png", "choices.png", "graph.png"} | of_data
    text = vds.runs.write_report(run, tmp_path / "report.html").read_text()
    ((name, axis),) = run.metrics["posterior"]["axes"].items()
    assert f"Posterior over {name}" in text
    assert all(site.replace(">", "&gt;") in text for site in axis["sites"])
    assert ("drawn architectures, an estimate" in text) is (kind in MANY)


def test_the_summary_has_a_row_for_each_edge(runs):
    posterior = runs["images"].metrics["posterior"]
    lines = runs["images"].summary.splitlines()
    (head,) = [i for i, line in enumerate(lines) if line.startswith("edge")]
    assert lines[head].split() == ["edge", "q(open)", "exact", "stacked"]
    gate = posterior["axes"]["gate"]
    for line, site, q, exact in zip(lines[head + 1 :], gate["sites"], gate["q"], gate["exact"], strict=False):
        assert line.split()[:3] == [site, f"{q[1]:.3f}", f"{exact[1]:.3f}"]
    opened = sum(posterior["chosen"]["gate"])
    assert f", {opened} of 6 open (guide, rule argmax)" in runs["images"].summary
    assert "(6 others with a smaller q(open) are not shown)" in runs["many"].summary
    (head,) = [line.split() for line in runs["cell"].summary.splitlines() if line.startswith("edge")]
    assert head[:3] == ["edge", "op", "q"]


def test_the_recipe_of_a_graph_is_a_closed_form_where_there_is_a_table(runs):
    dense, many = runs["dense"].settings, runs["many"].settings
    assert (dense.guide_update, dense.block_rate, dense.weight_floor) == ("closed_form", "paper", 0.0)
    assert (many.guide_update, many.weight_floor, many.samples) == ("gradient", 0.0, 2)
    assert dense.optimizer.func is many.optimizer.func is torch.optim.Adam
    assert (dense.prior, runs["cell"].settings.prior) == (vds.priors.Price(20.0), vds.priors.Uniform())
    assert runs["dense"].metrics["posterior"]["evidence_gap"] == pytest.approx(0, abs=1e-4)
    assert Settings(network="connectivity", guide="mixture").resolved().guide_update == "gradient"
    cell = Settings(data="digits", network="cell").resolved()
    assert (cell.samples, cell.guide_from, cell.max_epochs) == (4, 18, 60)
    assert Settings(data="digits", network="cell", guide_update="closed_form").resolved().samples is None
    assert Settings(network="connectivity", optimizer=torch.optim.SGD).resolved().optimizer is torch.optim.SGD
    assert "blocks" not in runs["dense"].summary


def test_another_prior_is_that_of_a_new_model(runs):
    run = runs["dense"]
    found = vds.runs.reweight_run(run, {"gate": vds.priors.Price(-3.0)})
    exact = vds.reweight(vds.exact_posterior(run.model, run.data.train), vds.priors.Price(-3.0))
    assert found["other"]["log_evidence"] == pytest.approx(exact.log_evidence)
    assert found["other"]["posterior"]["gate"]["probs"] == exact.probs["gate"].tolist()
    assert found["other"]["chosen"] == run.model.space.architecture(int(exact.log_joint_probs.argmax()))
    assert found["power"]["prior"]["gate"][2] == "".join("01"[label] for label in found["model"]["chosen"]["gate"])
    with pytest.raises(ValueError, match="Expected at most 65,536 architectures to weigh again, got 2,097,152. Train"):
        vds.runs.reweight_run(runs["many"], {"gate": vds.priors.Price(1.0)})


def test_draws_have_the_weights_of_the_posterior_only(runs):
    with pytest.raises(ValueError, match="Expected at most 65,536 architectures for uniform weights, got 2,097,152"):
        vds.runs.evaluate(runs["many"], weights="uniform")
    with pytest.raises(ValueError, match="Expected the rule 'argmax' for gate, got '95'"):
        vds.runs.evaluate(runs["many"], rule="95")


def test_a_posterior_of_another_graph_is_refused(runs, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(runs["dense"].folder, folder)
    shutil.copy(runs["images"].folder / "posterior.nc", folder / "posterior.nc")
    with pytest.raises(ValueError, match=r"log_q_gate is of \[6, 2\] entries, the network has \[3, 2\]"):
        vds.runs.draw(vds.load_run(folder))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"max_depth": 3}, "Expected max_depth None for the graph connectivity, got 3. Leave it out. Its size is"),
        ({"widths": (2, 4)}, "Expected widths None for the graph connectivity"),
        ({"readout": "last"}, "Expected readout all for the graph connectivity, got last"),
        ({"learn_prior": True}, "Expected learn_prior False for the graph connectivity, got True"),
        ({"recalibrate": True}, "Expected recalibrate False"),
        ({"frozen": True}, "Expected frozen False"),
        ({"guide": "per_input"}, "Expected a guide of independent, mixture, generator for the graph connectivity, got"),
        ({"guide": "joint"}, "Expected a guide of independent, mixture, generator"),
        ({"guide": "mixture", "guide_update": "closed_form"}, "Expected guide_update gradient for the guide mixture"),
        ({"components": 3}, "Expected the guide mixture or generator for components, got independent"),
        ({"rule": "95"}, "Expected the rule argmax for the graph connectivity, got 95"),
        ({"prior": vds.priors.Dirichlet((1.0, 2.0))}, "and without uncertain parameters for a graph"),
        ({"prior": vds.priors.Geometric(0.5)}, "Expected a prior over choices without an order"),
        ({"operations": ("none", "skip_connect")}, "Expected the network cell for operations, got connectivity"),
        ({"layers": 0}, "Expected a positive, finite layers, got 0"),
        ({"samples": 2, "guide_update": "closed_form"}, "Expected at least 2 samples, guide_update='gradient'"),
        ({"network": "cell"}, "Expected the network connectivity for layers, got cell"),
        ({"network": "cell", "layers": None, "prior": vds.priors.Price(1.0)}, "Expected the network connectivity for"),
        ({"network": "residual"}, "Expected the network connectivity for layers, got residual"),
        (
            {"network": "residual", "layers": None, "samples": 4},
            "Expected the network connectivity or cell for samples",
        ),
        (
            {"network": "residual", "layers": None, "guide": "generator"},
            "Expected the network connectivity or cell for",
        ),
        ({"network": "residual", "layers": None, "prior": vds.priors.Price(2.0)}, "over edges that are open or closed"),
        (
            {"network": "resnet18", "layers": None, "prior": vds.priors.Exchangeable()},
            "Take another prior, such as Uni",
        ),
    ],
)
def test_what_cannot_work_is_refused_at_once(change, expected):
    with pytest.raises(ValueError, match=expected.replace("(", r"\(")):
        replace(DENSE, **change)


def test_what_does_not_fit_the_data_is_refused_before_a_folder_is_made(tmp_path):
    for settings, expected in (
        (
            replace(DENSE, layers=5),
            "Expected at most 65,536 architectures to sum over in each step, got 2,097,152. Draw",
        ),
        (Settings(network="cell"), r"Expected images for the graph cell, got inputs of shape \(2,\). Use connectivity"),
        (replace(DENSE, pool=(1,)), "Expected no pooling of dense layers"),
        (replace(DENSE, prior=vds.priors.Weights((0.2, 0.3, 0.5))), "Expected 2 probs"),
        (replace(DENSE, prior=vds.priors.Price(1.0, (1.0, 2.0))), "Expected 3 costs"),
    ):
        with pytest.raises(ValueError, match=expected):
            vds.runs.execute(settings, tmp_path / "run", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_graphs_have_no_replicates():
    summary = DataSummary((2,), 2, 2, 6, (0.0, 0.0), (1.0, 1.0), None, None)
    with pytest.raises(ValueError, match="Expected a network of blocks to train repeats, got the graph connectivity"):
        build(DENSE, summary, repeats=2)
