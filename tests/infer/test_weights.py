"""Predictions with weights by name equal their formulas, from one pass."""

import oracles
import pytest
import torch
from torch import nn

import pyro_vds as vds

NAMES = ("posterior", "uniform", "stacked", "exact")


def with_weights(model, guide):
    """Keep some weights of each name; return the weights of every name."""
    shape = (*model.batch_shape, *model.sizes)
    for name in ("stacked", "exact"):
        guide.keep_weights(name, torch.randn(shape).log_softmax(-1))
    return {name: guide.log_weights(name).detach().exp() for name in NAMES}


@pytest.fixture
def classes():
    model, guide, x, y = oracles.problem(3)
    return model.eval(), guide, x, y, with_weights(model, guide)


@pytest.fixture
def numbers():
    x, y = torch.randn(15, 2), torch.randn(15)
    model = vds.VDSModel(vds.ResidualMLP(2, 1, 4, 3), likelihood=vds.likelihoods.Gaussian(), num_data=15).eval()
    guide = vds.AutoCategorical(model)
    return model, guide, x, y, with_weights(model, guide)


@pytest.mark.parametrize("name", NAMES)
def test_classes(classes, name):
    model, guide, x, y, weights = classes
    by_depth = model.outputs(x).detach().softmax(-1)
    probs = torch.einsum("a,anc->nc", weights[name], by_depth)
    torch.testing.assert_close(vds.predict_proba(model, guide, x, weights=name), probs)
    expected = probs[torch.arange(len(y)), y].log()
    torch.testing.assert_close(vds.log_predictive(model, guide, x, y, weights=name), expected)
    split = vds.predict_entropy(model, guide, x, weights=name)
    total, each = -(probs * probs.log()).sum(-1), -(by_depth * by_depth.log()).sum(-1)
    torch.testing.assert_close(split.total, total)
    information = total - torch.einsum("a,an->n", weights[name], each)
    torch.testing.assert_close(vds.predict_disagreement(model, guide, x, weights=name), information)


@pytest.mark.parametrize("depth", [None, 0, 2])
def test_uniform_disagreement_is_that_of_a_loop_over_depths(classes, depth):
    model, guide, x, *_ = classes
    expected = oracles.disagreement(oracles.outputs(model.backbone, x), depth).detach()
    torch.testing.assert_close(vds.predict_disagreement(model, guide, x, depth=depth), expected)


@pytest.mark.parametrize("name", NAMES)
def test_numbers(numbers, name):
    model, guide, x, y, weights = numbers
    each = model.outputs(x).detach()[..., 0]
    expected = torch.einsum("a,an->n", weights[name], each)
    between = torch.einsum("a,an->n", weights[name], (each - expected) ** 2)
    mean, noise, disagreement = vds.predict_variance_parts(model, guide, x, weights=name)
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(disagreement, between)
    torch.testing.assert_close(vds.predict_disagreement(model, guide, x, weights=name), between)
    torch.testing.assert_close(vds.predict_moments(model, guide, x, weights=name), (mean, noise + between))
    means, parts, scale = vds.predict_components(model, guide, x, weights=name)
    torch.testing.assert_close(means, each)
    torch.testing.assert_close(parts, weights[name])
    pit = torch.einsum("a,an->n", weights[name], torch.distributions.Normal(each, scale).cdf(y))
    torch.testing.assert_close(torch.as_tensor(vds.predict_pit(model, guide, x, y, weights=name)), pit)


def test_disagreement_is_uniform_by_default_and_a_mean_over_targets():
    x = torch.randn(6, 2)
    model = vds.VDSModel(vds.ResidualMLP(2, 3, 4, 2), likelihood=vds.likelihoods.Gaussian(), num_data=6).eval()
    guide = vds.AutoCategorical(model)
    guide.set_probs({"depth": torch.tensor([0.0, 0.0, 1.0])})
    expected = model.outputs(x).detach().var(0, correction=0).mean(-1)
    torch.testing.assert_close(vds.predict_disagreement(model, guide, x), expected)
    torch.testing.assert_close(vds.predict_disagreement(model, guide, x, weights="posterior"), torch.zeros(6))


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_moves_weights_but_uniform_ones(classes, name):
    model, guide, x, _, weights = classes
    w = weights[name]
    kept = torch.full((2,), 0.5) if name == "uniform" else torch.stack([w[0], w[1:].sum()])
    probs = torch.einsum("a,anc->nc", kept, model.outputs(x).detach().softmax(-1)[:2])
    torch.testing.assert_close(vds.predict_proba(model, guide, x, weights=name, depth=1), probs)
    torch.testing.assert_close(vds.prune(model, guide, weights=name, depth=1)(x).exp(), probs)


def test_all_weights_and_cuts_come_from_one_pass(classes, monkeypatch):
    model, guide, x, *_ = classes
    cases = [vds.Case(name, cut) for name in NAMES for cut in ({}, {"depth": 1})]
    separate = [
        vds.predict_proba(model, guide, x, weights=case.weights, **case.cut)  # pyright: ignore
        for case in cases
    ]
    passes, forward = [], type(model).outputs
    monkeypatch.setattr(type(model), "outputs", lambda self, x: passes.append(len(x)) or forward(self, x))
    found = vds.predict(model, guide, x, cuts=cases, want=["probs"])
    mixture = vds.predict(model, guide, x)
    assert passes == [len(x)] * 2
    for case, one, expected in zip(cases, found, separate, strict=True):
        torch.testing.assert_close(one["probs"], expected)
        torch.testing.assert_close(mixture.with_weights(case.weights).cut(**case.cut).probs, expected)
        torch.testing.assert_close(mixture.cut(**case.cut).with_weights(case.weights).probs, expected)


def test_replicates():
    x = torch.randn(7, 2)
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 3, 4, 2), 2), num_data=7)
    guide = vds.AutoCategorical(model)
    with_weights(model, guide)
    for name in NAMES:
        together = vds.predict_proba(model, guide, x, weights=name)
        score = vds.predict_disagreement(model, guide, x, weights=name)
        for r, pair in enumerate(vds.replicates(model, guide)):
            torch.testing.assert_close(together[r], vds.predict_proba(*pair, x, weights=name))
            torch.testing.assert_close(score[r], vds.predict_disagreement(*pair, x, weights=name))


def test_an_architecture_for_each_input_has_uniform_weights_too():
    x = torch.randn(6, 2)
    model = vds.VDSModel(vds.ResidualMLP(2, 3, width=4, max_depth=2), num_data=6, plate=vds.DATA).eval()
    guide = vds.AutoPerInput(model, nn.Linear(2, 3))
    expected = model.outputs(x).detach().softmax(-1).mean(0)
    torch.testing.assert_close(vds.predict_proba(model, guide, x, weights="uniform"), expected)
    with pytest.raises(ValueError, match="'posterior' or 'uniform'"):
        vds.predict_proba(model, guide, x, weights="stacked")


def test_a_plain_network_has_one_weight():
    x = torch.randn(6, 2)
    model = vds.VDSModel(vds.ResidualMLP(2, 3, 4, 1, readout="last"), num_data=6)
    torch.testing.assert_close(vds.predict_proba(model, None, x, weights="uniform"), vds.predict_proba(model, None, x))
    torch.testing.assert_close(vds.predict_disagreement(model, None, x), torch.zeros(6))
