"""Soft labels and class weights against sums over classes and points in plain torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.data import DataLoader, TensorDataset

import pyro_vds as vds
from pyro_vds.likelihoods import Classification
from tests import oracles


def soft_problem() -> tuple[vds.VDSModel, vds.AutoCategorical, torch.Tensor, torch.Tensor]:
    model, guide, x, y = oracles.problem(2)
    soft = torch.rand(12, 3, generator=torch.Generator().manual_seed(1)) ** 3
    soft[0] = F.one_hot(y[0], 3)
    return model, guide, x, soft / soft.sum(-1, keepdim=True)


def test_the_log_likelihood_of_a_soft_label_is_minus_the_cross_entropy():
    outputs, soft = 3 * torch.randn(2, 5, 4), torch.rand(5, 4).softmax(-1)
    expected = torch.stack([-F.cross_entropy(f, soft, reduction="none") for f in outputs])
    torch.testing.assert_close(Classification()(outputs).log_prob(soft), expected)
    y = torch.randint(0, 4, (5,))
    torch.testing.assert_close(
        Classification()(outputs).log_prob(F.one_hot(y, 4).to(outputs)), Classification()(outputs).log_prob(y)
    )


def test_a_class_that_is_ruled_out_costs_nothing():
    outputs = torch.tensor([[0.0, -torch.inf]], requires_grad=True)
    log_prob = Classification()(outputs).log_prob(torch.tensor([[1.0, 0.0]]))
    assert float(log_prob.detach()) == 0
    (gradient,) = torch.autograd.grad(log_prob.sum(), outputs)
    assert bool(gradient.isfinite().all())


def test_elbo_posterior_and_prediction_of_soft_labels_are_sums_over_classes():
    model, guide, x, soft = soft_problem()
    outputs = oracles.outputs(model.backbone.eval(), x).detach()
    by_depth = (soft * outputs.log_softmax(-1)).sum(-1)
    log_prior = oracles.prior(0.7, 3).log()
    log_q = guide.log_probs()["depth"]
    model.eval()
    torch.testing.assert_close(vds.enum_elbo(model, guide)(x, soft), -oracles.elbo(by_depth, log_q, log_prior, 12))
    exact = vds.exact_posterior(model, DataLoader(TensorDataset(x, soft), 5))
    torch.testing.assert_close(exact.probs["depth"], oracles.posterior(by_depth, log_prior))
    mixed = (soft * oracles.predictive(outputs, log_q.exp()).log()).sum(-1)
    torch.testing.assert_close(vds.log_predictive(model, guide, x, soft), mixed.detach())


def test_measures_of_soft_labels():
    model, guide, x, soft = soft_problem()
    ((measures,)) = vds.predict(model, guide, x, soft, want=["metrics"])
    p = vds.predict_proba(model, guide, x)
    torch.testing.assert_close(measures["brier"], (p - soft).square().sum(-1))
    torch.testing.assert_close(measures["error"], (p.argmax(-1) != soft.argmax(-1)).to(p))
    torch.testing.assert_close(measures["confidence"], p.amax(-1))


def test_stacked_weights_of_soft_labels_and_weights_are_those_of_annotators():
    """A label of 2 of 3 annotators is a point seen three times, and a weight of 2 is a point seen twice."""
    model, guide, x, _ = soft_problem()
    model.likelihood.eval()
    generator = torch.Generator().manual_seed(2)
    votes = torch.randint(0, 3, (12, 4), generator=generator)
    soft = F.one_hot(votes, 3).sum(1) / 4.0
    count = torch.arange(12) % 3
    copies = count.repeat_interleave(4)
    repeated = (x.repeat_interleave(4, 0).repeat_interleave(copies, 0), votes.flatten().repeat_interleave(copies))
    found = vds.stacked_weights(model, (x, soft, count.to(x)))
    torch.testing.assert_close(found.exp(), vds.stacked_weights(model, repeated).exp())
    assert guide.space.sizes == found.shape


@pytest.mark.parametrize("kind", ["labels", "soft"])
def test_class_weights_multiply_the_log_likelihood_and_leave_predictions_alone(kind):
    plain, guide, x, y = oracles.problem(1)
    weights = torch.tensor([0.5, 2.0, 1.0])
    model = vds.VDSModel(
        plain.backbone, priors=plain.priors, likelihood=Classification(class_weights=weights), num_data=12
    )
    target = F.one_hot(y, 3) * 0.9 + 0.1 / 3 if kind == "soft" else y
    dense = target if kind == "soft" else F.one_hot(y, 3)
    log_p = oracles.outputs(plain.backbone.eval(), x).detach().log_softmax(-1)
    expected = (dense * weights * log_p).sum((-1, -2))
    torch.testing.assert_close(vds.exact_posterior(model, (x, target)).log_likelihood, expected)
    by_torch = torch.stack([-F.cross_entropy(f, target, weights, reduction="sum") for f in log_p])
    torch.testing.assert_close(expected, by_torch)
    torch.testing.assert_close(vds.log_predictive(model, guide, x, target), vds.log_predictive(plain, guide, x, target))


def test_a_datatree_has_the_densities_of_predictions_and_the_posterior_with_class_weights():
    plain, guide, x, y = oracles.problem(2)
    likelihood = Classification(class_weights=[0.5, 2.0, 1.0])
    model = vds.VDSModel(plain.backbone, priors=plain.priors, likelihood=likelihood, num_data=12)
    tree, unweighted = (vds.to_datatree(m, guide, x, y, draws=20) for m in (model, plain))
    for group in ("log_likelihood", "architecture"):
        name = "obs" if group == "log_likelihood" else "log_likelihood"
        np.testing.assert_allclose(tree[group][name], unweighted[group][name], rtol=1e-12)
    weighted = vds.exact_posterior(model, (x, y)).log_joint_probs
    np.testing.assert_allclose(tree["architecture"]["log_exact_posterior"], weighted, rtol=1e-12)
    assert not np.allclose(unweighted["architecture"]["log_exact_posterior"], weighted)
    held_out = vds.comparison.held_out_elpd(tree)["mixture"].elpd
    np.testing.assert_allclose(held_out, vds.log_predictive(model, guide, x, y).sum().detach())
    np.testing.assert_allclose(
        vds.comparison.stacking_weights(tree), vds.stacked_weights(model, (x, y)).exp(), rtol=1e-6
    )
    with pytest.raises(ValueError, match="got one of a likelihood with class weights.* Compare on held-out data"):
        vds.comparison.loo_over_architectures(tree)
    assert np.isfinite(vds.comparison.loo_over_architectures(unweighted).elpd)


def test_class_weights_of_replicates_are_those_of_each():
    net = vds.Replicated(vds.ResidualMLP(2, 3, width=4, max_depth=1), 2)
    model = vds.VDSModel(net, likelihood=Classification([1.0, 2.0, 0.0]), num_data=12)
    guide = vds.AutoCategorical(model)
    _, _, x, y = oracles.problem(1)
    found = vds.exact_posterior(model, (x, y)).log_likelihood
    for r, (one, _) in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(found[r], vds.exact_posterior(one, (x, y)).log_likelihood)


def test_a_datatree_refuses_soft_labels():
    model, guide, x, soft = soft_problem()
    with pytest.raises(ValueError, match="got soft labels of shape .* which have no density. Pass labels"):
        vds.to_datatree(model, guide, x, soft)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (torch.tensor([0.2, 0.7]), TypeError, "For numbers, use likelihood=Gaussian"),
        (torch.tensor([0.0, 2.0]), TypeError, r"shape \(2,\). Convert whole numbers with y.long\(\)"),
        (torch.rand(2, 3), TypeError, r"soft labels of shape \(N, 4\) .* got torch.float32 of shape \(2, 3\)"),
        (torch.full((2, 4), 0.5), ValueError, "got 2 of 2 that do not; the first, at index 0, sums to 2"),
        (torch.tensor([[0.25] * 4, [1.5, -0.5, 0.0, 0.0]]), ValueError, "got 1 of 2 .* at index 1, sums to 1"),
        (torch.full((2, 4), torch.nan), ValueError, "soft labels in .* sums to nan"),
        (torch.tensor([[0], [1]]), ValueError, r"got \(2, 1\). Use y\[:, 0\]"),
        (torch.tensor([[0.0], [1.0]]), ValueError, r"got \(2, 1\). Use y\[:, 0\]"),
    ],
)
def test_bad_soft_labels_are_refused_without_an_advice_that_destroys_them(y, kind, message):
    with pytest.raises(kind, match=message) as caught:
        Classification().check_targets(y, torch.zeros(3, 1, 4))
    assert y.ndim == 1 or "long()" not in str(caught.value)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("weights", [[-1.0, 1.0], [torch.nan, 1.0], [0.0, 0.0], [[1.0, 1.0]], [torch.inf, 1.0]])
def test_bad_class_weights_are_refused(weights):
    with pytest.raises(ValueError, match="Expected class_weights as a finite number of at least 0 for each class"):
        Classification(class_weights=weights)


def test_class_weights_of_another_number_of_classes_are_refused():
    with pytest.raises(ValueError, match="Expected a class weight for each of 4 classes, got 2 weights"):
        Classification([1.0, 2.0]).check_targets(torch.tensor([0, 1]), torch.zeros(3, 1, 4))
