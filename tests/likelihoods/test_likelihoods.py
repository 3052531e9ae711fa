"""Likelihoods against closed forms."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from pyro_vds.likelihoods.classification import Classification
from pyro_vds.likelihoods.gaussian import Gaussian


def test_classification_log_prob_is_the_negative_cross_entropy():
    outputs, y = torch.randn(3, 5, 4), torch.randint(0, 4, (5,))
    expected = torch.stack([-F.cross_entropy(f, y, reduction="none") for f in outputs])
    torch.testing.assert_close(Classification()(outputs).log_prob(y), expected)


def test_classification_marginal_averages_probabilities_not_logits():
    outputs, q = 3 * torch.randn(3, 5, 4), torch.tensor([0.2, 0.3, 0.5])
    expected = torch.einsum("d,dnc->nc", q, outputs.softmax(-1))
    torch.testing.assert_close(Classification().mixture(outputs, q.log()[:, None]).probs, expected)
    averaged_logits = torch.einsum("d,dnc->nc", q, outputs).softmax(-1)
    assert (averaged_logits - expected).abs().max() > 0.01


def test_gaussian_log_prob_with_one_and_several_targets():
    outputs, y = torch.randn(3, 5, 1), torch.randn(5)
    normal = torch.distributions.Normal(outputs.squeeze(-1), 0.5)
    torch.testing.assert_close(Gaussian(0.5)(outputs).log_prob(y), normal.log_prob(y))
    outputs, y = torch.randn(3, 5, 2), torch.randn(5, 2)
    expected = torch.distributions.Normal(outputs, 0.5).log_prob(y).sum(-1)
    torch.testing.assert_close(Gaussian(0.5)(outputs).log_prob(y), expected)


def test_gaussian_marginal_has_the_moments_of_the_mixture():
    outputs, q = torch.randn(3, 4, 1), torch.tensor([0.2, 0.3, 0.5])
    mean, variance = Gaussian(0.5).prediction(Gaussian(0.5).mixture(outputs, q.log()[:, None]))
    draws = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(q), torch.distributions.Normal(outputs.squeeze(-1).T, 0.5)
    )
    torch.testing.assert_close(mean, draws.mean)
    torch.testing.assert_close(variance, draws.variance)


def test_scale_is_learnt_or_fixed():
    assert [name for name, _ in Gaussian(2.0, learn_scale=True).named_parameters()] == ["log_scale"]
    assert not list(Gaussian(2.0).parameters())
    torch.testing.assert_close(Gaussian(2.0).scale, torch.tensor(2.0))


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (torch.tensor([0.0, 1.0]), TypeError, "Expected integer labels, or soft labels .* got torch.float32 of shape .* y.long"),
        (torch.tensor([True, False]), TypeError, "Expected integer labels, got torch.bool"),
        (torch.tensor([[0, 1]]), ValueError, r"Expected labels of shape \(N,\), got \(1, 2\)"),
        (torch.tensor([0, 4]), ValueError, r"Expected labels in 0\.\.3 for a network with 4 outputs, got 0\.\.4"),
        (torch.tensor([-1, 2]), ValueError, r"got -1\.\.2\. Renumber the labels"),
    ],
)
def test_bad_labels_are_refused(y, kind, message):
    with pytest.raises(kind, match=message):
        Classification().check_targets(y, torch.zeros(3, 1, 4))


@pytest.mark.parametrize(
    ("y", "features", "kind", "message"),
    [
        (torch.tensor([1, 2]), 1, TypeError, "Expected floating-point targets, got torch.int64"),
        (torch.zeros(2, 1), 1, ValueError, r"Expected targets of shape \(2,\) for a network with 1 output"),
        (torch.zeros(2), 3, ValueError, r"Expected targets of shape \(2, 3\)"),
        (torch.tensor([0.0, torch.nan]), 1, ValueError, "Expected finite targets"),
    ],
)
def test_bad_targets_are_refused(y, features, kind, message):
    with pytest.raises(kind, match=message):
        Gaussian().check_targets(y, torch.zeros(3, 1, features))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_bad_scales_are_refused(scale):
    with pytest.raises(ValueError, match="Expected a positive, finite scale"):
        Gaussian(scale)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_of_any_whole_type_are_measured_alike(dtype):
    outputs, y = torch.randn(3, 5, 4), torch.randint(0, 4, (5,))
    mixture = Classification().mixture(outputs, torch.zeros(3, 1).log_softmax(0))
    expected = Classification().metrics(mixture, y)
    for name, values in Classification().metrics(mixture, y.to(dtype)).items():
        torch.testing.assert_close(values, expected[name])
