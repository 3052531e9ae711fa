"""Moments and components of a regression against brute force over depths."""

import oracles
import pytest
import torch
from torch import nn

import pyro_vds as vds
from pyro_vds.metrics.intervals import interval_error

SCALE = 0.5


def problem(max_depth: int = 3, targets: int = 1) -> tuple[vds.VDSModel, vds.AutoCategorical, torch.Tensor]:
    net = vds.ResidualMLP(2, targets, width=5, max_depth=max_depth)
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(SCALE), num_data=12)
    guide, x = vds.AutoCategorical(model), torch.randn(12, 2)
    nn.init.normal_(guide.logits["depth"])
    net(x)  # running statistics away from their start
    return model, guide, x


def replicated() -> tuple[vds.VDSModel, vds.AutoCategorical, torch.Tensor]:
    net = vds.Replicated(vds.ResidualMLP(2, 1, width=5, max_depth=2), 3)
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(SCALE, learn_scale=True), num_data=12)
    guide = vds.AutoCategorical(model)
    nn.init.normal_(guide.logits["depth"])
    nn.init.normal_(model.likelihood.log_scale)
    return model, guide, torch.randn(12, 2)


@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize("depth", [None, 0, 2, 3])
def test_parts_equal_brute_force_and_sum_to_the_variance(depth, targets):
    model, guide, x = problem(targets=targets)
    outputs = oracles.outputs(model.backbone.eval(), x).detach()
    q = guide.probs()["depth"]
    if depth is not None:
        q = torch.cat([q[:depth], q[depth:].sum()[None]])
    mean, noise, disagreement = vds.predict_variance_parts(model, guide, x, depth=depth, batch_size=5)
    outputs = outputs if targets > 1 else outputs.squeeze(-1)
    expected = sum(q[i] * outputs[i] for i in range(len(q)))
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(noise, torch.full_like(mean, SCALE**2))
    torch.testing.assert_close(disagreement, sum(q[i] * (outputs[i] - expected) ** 2 for i in range(len(q))))
    torch.testing.assert_close((mean, noise + disagreement), vds.predict_moments(model, guide, x, depth=depth))


def test_parts_of_replicates_and_of_their_ensemble():
    model, guide, x = replicated()
    found = vds.predict_variance_parts(model, guide, x)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(tuple(p[r] for p in found), vds.predict_variance_parts(one, its_guide, x))
    mean, noise, disagreement = vds.predict_variance_parts(model, guide, x, ensemble=True)
    torch.testing.assert_close(noise, found[1].mean(0))
    torch.testing.assert_close((mean, noise + disagreement), vds.predict_moments(model, guide, x, ensemble=True))


def test_a_single_depth_does_not_disagree():
    model, guide, x = problem()
    assert vds.predict_variance_parts(model, guide, x, depth=0)[2].abs().max() == 0


@pytest.mark.parametrize("depth", [None, 1])
def test_components_make_the_log_predictive(depth):
    model, guide, x = problem()
    y = torch.randn(12)
    mixture = vds.predict(model, guide, x).cut(depth=depth)
    density = sum(w * torch.distributions.Normal(m, SCALE).log_prob(y).exp()
                  for w, m in zip(mixture.weights[0], mixture.components.mean.T, strict=True))  # fmt: skip
    torch.testing.assert_close(density.log(), vds.log_predictive(model, guide, x, y, depth=depth))


def test_components_of_replicates_have_a_weight_and_a_scale_each():
    model, guide, x = replicated()
    mixture = vds.predict(model, guide, x)
    assert (mixture.components.mean.shape, mixture.weights.shape) == ((3, 12, 3), (3, 1, 3))
    scales = model.likelihood.log_scale.detach().exp()
    torch.testing.assert_close(mixture.components.stddev, scales[..., None].expand(3, 12, 3))


@pytest.mark.parametrize("depth", [None, 1])
def test_components_are_those_of_the_mixture(depth):
    model, guide, x = problem()
    means, weights, scale = vds.predict_components(model, guide, x, depth=depth)
    mixture = vds.predict(model, guide, x).cut(depth=depth)
    torch.testing.assert_close(means, mixture.components.mean.T)
    torch.testing.assert_close(weights, mixture.weights[0])
    assert float(scale) == pytest.approx(SCALE)
    model, guide, x = replicated()
    means, weights, scale = vds.predict_components(model, guide, x)
    assert (means.shape, weights.shape, scale.shape) == ((3, 3, 12), (3, 3), (3, 1))


def test_a_plain_network_is_one_component():
    model = vds.VDSModel(
        vds.ResidualMLP(2, 1, 4, 2, readout="last"), likelihood=vds.likelihoods.Gaussian(SCALE), num_data=12
    )
    x, y = torch.randn(12, 2), torch.randn(12)
    mean, _ = vds.predict_moments(model, None, x)
    expected = torch.distributions.Normal(mean, SCALE).cdf(y)
    torch.testing.assert_close(torch.from_numpy(vds.predict_pit(model, None, x, y)), expected)


@pytest.mark.parametrize(("scale", "low", "high"), [(SCALE, 0.0, 0.02), (0.1, 0.2, 1.0), (2.0, 0.2, 1.0)])
def test_pit_of_targets_drawn_from_the_model_is_uniform_only_with_its_scale(scale, low, high):
    model, guide, _ = problem()
    x = torch.randn(5000, 2)
    y = vds.predict(model, guide, x).distribution.sample()
    model.likelihood = vds.likelihoods.Gaussian(scale)
    assert low <= interval_error(vds.predict_pit(model, guide, x, y)) < high


@pytest.mark.parametrize("call", [vds.predict_variance_parts, vds.predict_moments])
def test_a_classification_is_refused(call):
    model, guide, x, _ = oracles.problem(1)
    with pytest.raises(TypeError, match="Expected a likelihood of numbers, got Classification. Use predict_proba"):
        call(model, guide, x)


def test_pit_refuses_several_targets():
    model, guide, x = problem(targets=2)
    with pytest.raises(ValueError, match=r"Expected a model with one target, got targets of shape \(2,\)"):
        vds.predict_pit(model, guide, x, torch.zeros(12, 2))


def test_pit_of_replicates_is_that_of_each_alone():
    model, guide, x = replicated()
    y = torch.randn(12)
    found = vds.predict_pit(model, guide, x, y)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(found[r], vds.predict_pit(one, its_guide, x, y))
