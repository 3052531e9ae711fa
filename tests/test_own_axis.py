"""An axis that the package has never heard of goes the whole way: trained, cut, chosen, pruned, stored, measured."""

import itertools

import oracles
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import pyro_vds as vds
from pyro_vds.diagnostics import load_datatree, save_datatree
from pyro_vds.runs import choose_architecture
from pyro_vds.runs.cuts import parse_cut
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.files import FIGURES, POSTERIOR
from pyro_vds.runs.folder import Run
from pyro_vds.runs.metrics import choose_cut, collect_metrics, costs_to_choose_by
from pyro_vds.runs.reweighting import comparison_text
from pyro_vds.runs.summary import summary_text

COLOURS = ("red", "green", "blue")


class Painted(nn.Module):
    """A network for each colour, of different widths; the colours are not nested."""

    def __init__(self, colours=COLOURS, widths=(4, 8, 2)):
        super().__init__()
        self.colours = colours
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(2, w), nn.Tanh(), nn.Linear(w, 3)) for w in widths[: len(colours)]
        )

    @property
    def space(self):
        return vds.Space([vds.Axis("colour", self.colours)] if len(self.colours) > 1 else [])

    def forward(self, x):
        outputs = torch.stack([network(x) for network in self.networks])
        return outputs if len(self.colours) > 1 else outputs[0]

    def restrict(self, **cut):
        kept = Painted((cut["colour"],)) if cut else Painted(self.colours)
        kept.colours = (cut["colour"],) if cut else self.colours
        kept.networks = nn.ModuleList([self.networks[self.colours.index(c)] for c in kept.colours])
        return kept


class Counted(Painted):
    """Counts the points that pass."""

    points = 0

    def forward(self, x):
        Counted.points += len(x)
        return super().forward(x)


@pytest.fixture
def trained():
    torch.manual_seed(0)
    x = torch.randn(60, 2)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    model = vds.VDSModel(Painted(), priors=vds.priors.Weights([0.2, 0.3, 0.5]), num_data=60)
    guide = vds.AutoCategorical(model)
    history = vds.fit(model, guide, (x, y), max_epochs=30, lr=0.3, validation=(x, y), progress=False)
    assert history.elbo[-1] > history.elbo[0]
    return model, guide, x, y


def test_predictions_equal_brute_force(trained):
    model, guide, x, y = trained
    q = guide.probs()["colour"]
    softmax = torch.stack([network(x).softmax(-1) for network in model.backbone.networks]).detach()
    expected = torch.einsum("i,inc->nc", q, softmax)
    torch.testing.assert_close(vds.predict_proba(model, guide, x), expected)
    for colour, probs in zip(COLOURS, softmax, strict=True):
        torch.testing.assert_close(vds.predict_proba(model, guide, x, colour=colour), probs)
        torch.testing.assert_close(vds.predict(model, guide, x).cut(colour=colour).probs, probs)
        log_prob = -F.cross_entropy(probs.log(), y, reduction="none")
        torch.testing.assert_close(vds.log_predictive(model, guide, x, y, colour=colour), log_prob)
    exact = vds.exact_posterior(model, (x, y))
    log_p = softmax.log().gather(-1, y.expand(3, -1)[..., None])[..., 0]
    log_prior = torch.tensor([0.2, 0.3, 0.5]).log()
    torch.testing.assert_close(exact.probs["colour"], oracles.posterior(log_p, log_prior))


def test_it_is_chosen_by_cost_and_pruned(trained):
    model, guide, x, _ = trained
    costs = vds.multiply_adds(model.backbone, x)
    assert costs.tolist() == [5 * w for w in (4, 8, 2)]
    guide.set_probs({"colour": torch.tensor([0.4, 0.41, 0.19])})
    assert vds.choose(model, guide, costs) == {"colour": "red"}
    assert vds.choose(model, guide, costs, share=1.0) == {"colour": "green"}
    assert choose_cut(model, guide, "95", costs_to_choose_by(model, x)) == {"colour": "red"}
    small = vds.prune(model, guide, colour="red")
    torch.testing.assert_close(small(x).exp(), vds.predict_proba(model, guide, x, colour="red"))
    assert sum(p.numel() for p in small.parameters()) == 2 * 4 + 4 + 4 * 3 + 3
    with pytest.raises(ValueError, match=r"Expected a nested axis.*got the axes \['colour'\], of which none is nested"):
        vds.prune(model, guide, disagreement=True, colour="red")


def test_it_is_stored_drawn_and_measured(trained, tmp_path):
    model, guide, x, y = trained
    tree = vds.to_datatree(model, guide, x, y, draws=50)
    assert set(tree["posterior"]["colour"].values.ravel()) <= set(COLOURS)
    save_datatree(tree, tmp_path / "tree.nc")
    again = load_datatree(tmp_path / "tree.nc")
    assert again["architecture"]["colour"].values.tolist() == list(COLOURS)
    assert again["architecture"]["colour"].attrs["nested"] == 0
    assert vds.plots.plot_posterior(again, chosen="green") is not None
    assert vds.plots.plot_log_likelihood(again) is not None
    assert "mode" in vds.diagnostics.summary(again)
    assert set(vds.comparison.held_out_elpd(again)) >= {"colour red", "mixture"}
    metrics, _ = collect_metrics(model, guide, (x, y), (x, y), rule="95")
    text = summary_text(metrics)
    assert f"colour: {metrics['posterior']['chosen']['colour']} of red, green, blue" in text
    error = (vds.predict_proba(model, guide, x).argmax(-1) != y).double().mean()
    assert metrics["test"]["full"]["error"] == pytest.approx(float(error))


@pytest.mark.parametrize("regression", [False, True])
def test_measuring_takes_one_pass_over_each_part(regression):
    """Counted on the network, besides the single points that are looked at."""
    x, y = torch.randn(50, 2), torch.randn(50) if regression else torch.randint(0, 3, (50,))
    likelihood = vds.likelihoods.Gaussian() if regression else vds.likelihoods.Classification()
    network = Counted()
    if regression:
        for one in network.networks:
            one[-1] = nn.Linear(one[-1].in_features, 1)
    model = vds.VDSModel(network, likelihood=likelihood, num_data=40, priors=vds.priors.Uniform())
    Counted.points = 0
    collect_metrics(model, vds.AutoCategorical(model), (x[:40], y[:40]), (x, y), rule="95")
    looked_at = Counted.points - 40 - 50
    assert 0 <= looked_at <= 2  # a probe of each part; costs and pruned networks are of other classes


def test_two_own_axes_fold_as_they_should():
    space = vds.Space([vds.Axis("colour", COLOURS), vds.Axis("step", (0, 10, 20), nested=True)])
    log_q = torch.randn(3, 3).flatten().log_softmax(0).view(3, 3)
    q = log_q.exp()
    folded = space.fold(log_q, {"colour": "green", "step": 10}).exp()
    torch.testing.assert_close(folded, torch.stack([q.sum(0)[0], q.sum(0)[1:].sum()])[None])
    assert space.kept({"colour": "green", "step": 10}).tolist() == [3, 4]
    assert space.kept({"step": 10}).tolist() == [0, 1, 3, 4, 6, 7]
    assert list(space.architectures()) == [{"colour": c, "step": s} for c, s in itertools.product(COLOURS, (0, 10, 20))]


def test_a_run_of_it_is_measured_cut_drawn_and_reweighted(tmp_path):
    """What the commands do with a run, with the label as text where a command line would have it."""
    settings = vds.runs.Settings(num_points=60).resolved()
    data = load_data(settings)
    model = vds.VDSModel(Painted(), priors=vds.priors.Uniform(), num_data=len(data.train[0])).to(data.train[0].dtype)
    guide = vds.AutoCategorical(model)
    history = vds.fit(model, guide, data.train, max_epochs=5, progress=False)
    metrics, exact = collect_metrics(model, guide, data.train, data.test, rule="95")
    save_datatree(vds.to_datatree(model, guide, *data.test, posterior=exact, draws=20), tmp_path / POSTERIOR)
    run = Run(tmp_path, settings, DataSummary.of(data), model, guide, history, metrics)
    x, y = data.test
    for colour in COLOURS:
        cut = parse_cut(f"colour={colour}")
        assert choose_architecture(run, cut) == {"colour": colour}
        expected = float(vds.log_predictive(model, guide, x, y, colour=colour).mean())
        found = vds.runs.evaluate(run, cut)
        assert (found["colour"], found["test"]["pruned"]["log_likelihood"]) == (colour, pytest.approx(expected))
        network = vds.runs.prune_run(run, cut)
        torch.testing.assert_close(network(x).exp(), vds.predict_proba(model, guide, x, colour=colour))
    assert choose_architecture(run, rule="argmax") == {"colour": COLOURS[int(guide.probs()["colour"].argmax())]}
    with pytest.raises(ValueError, match="Expected a colour in"):
        vds.runs.evaluate(run, {"colour": "pink"})
    vds.runs.draw(run, data)
    assert {path.name for path in (tmp_path / FIGURES).iterdir()} >= {"history.png", "posterior.png", "functions.png"}
    compared = vds.runs.reweight_run(run, {"colour": vds.priors.Weights([1e-200, 1e-200, 1.0])})
    assert compared["other"]["chosen"] == {"colour": "blue"}
    assert "chosen colour" in comparison_text(compared)


class Stepped(nn.Module):
    """An own nested axis with labels that are not its positions, alone or behind a switch that is not nested."""

    def __init__(self, steps=(0, 10, 20), switches=(False, True)):
        super().__init__()
        self.steps, self.switches = steps, switches
        self.layers = nn.ModuleList(nn.ModuleList(nn.Linear(2, 3) for _ in steps) for _ in switches)

    @property
    def space(self):
        switch = [vds.Axis("switch", self.switches)] if len(self.switches) > 1 else []
        return vds.Space([*switch, vds.Axis("step", self.steps, nested=True)])

    def forward(self, x):
        rows = [torch.stack([layer(x) for layer in row]).cumsum(0) for row in self.layers]
        return torch.stack(rows) if len(rows) > 1 else rows[0]

    def restrict(self, **cut):
        steps = self.steps[: self.steps.index(cut.get("step", self.steps[-1])) + 1]
        kept = [cut["switch"]] if "switch" in cut else list(self.switches)
        network = Stepped(steps, tuple(kept))
        rows = [self.layers[self.switches.index(one)] for one in kept]
        network.layers = nn.ModuleList(nn.ModuleList(list(row)[: len(steps)]) for row in rows)
        return network


@pytest.mark.parametrize("switches", [(True,), (False, True)])
def test_a_nested_axis_of_any_name_is_chosen_cut_and_pruned(switches):
    torch.manual_seed(1)
    x, y = torch.randn(40, 2), torch.randint(0, 3, (40,))
    model = vds.VDSModel(Stepped(switches=switches), num_data=40, priors=vds.priors.Uniform())
    guide = vds.AutoJointCategorical(model)
    nn.init.normal_(guide.logits["joint"])
    q = guide.joint_probs().reshape(len(switches), 3)
    outputs = model.backbone(x).detach().softmax(-1).reshape(len(switches), 3, 40, 3)
    cuts = [{"step": s} for s in (0, 10, 20)]
    cuts += [{"switch": w, "step": s} for w in switches for s in (0, 10, 20)] if len(switches) > 1 else []
    for cut in cuts:
        expected = torch.zeros(40, 3)
        for i, k in itertools.product(range(len(switches)), range(3)):  # where the probability of each entry goes
            row = switches.index(cut["switch"]) if "switch" in cut else i
            expected += q[i, k] * outputs[row, min(k, (0, 10, 20).index(cut["step"]))]
        torch.testing.assert_close(vds.predict_proba(model, guide, x, **cut), expected)
        small = vds.prune(model, guide, disagreement=True, **cut)
        torch.testing.assert_close(small(x).exp(), expected)
        rows = [switches.index(cut["switch"])] if "switch" in cut else list(range(len(switches)))
        kept = outputs[rows, : (0, 10, 20).index(cut["step"]) + 1].flatten(0, 1)
        torch.testing.assert_close(small.disagreement(x).detach(), oracles.disagreement(kept.log()))
    metrics, _ = collect_metrics(model, guide, (x, y), (x, y), rule="argmax")
    chosen = metrics["posterior"]["chosen"]
    assert chosen["step"] in (0, 10, 20)
    assert (costs_to_choose_by(model, x) is None) == (len(switches) == 1)  # the order of a nested axis is enough
    flat = int(q.argmax())
    assert chosen == ({"switch": switches[flat // 3]} if len(switches) > 1 else {}) | {"step": 10 * (flat % 3)}
    assert metrics["posterior"]["axes"]["step"]["chosen"]["argmax"] == 10 * int(q.sum(0).argmax())
    assert "step" in summary_text(metrics)
