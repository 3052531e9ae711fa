"""Likelihoods against closed forms."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

import pyro_vds as vds
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
        (
            torch.tensor([0.0, 1.0]),
            TypeError,
            "Expected integer labels, or soft labels .* got torch.float32 .* y.long",
        ),
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


def test_each_output_learns_a_scale_of_its_own():
    """The exact posterior of replicates, a state and a copy know the scales, too."""
    x, y = torch.randn(6, 2), torch.randn(6, 3)
    nets = vds.ResidualMLP(2, 3, width=4, max_depth=1), vds.Replicated(vds.ResidualMLP(2, 3, width=4, max_depth=1), 2)
    for net, shape in zip(nets, [(3,), (2, 1, 3)], strict=True):
        model = vds.VDSModel(net, likelihood=Gaussian(0.5, learn_scale=True), num_data=6)
        guide = vds.AutoCategorical(model)
        parameter = model.likelihood.log_scale
        optimiser = torch.optim.Adam(model.parameters())
        vds.exact_posterior(model, (x, y))
        vds.enum_elbo(model, guide)(model.shared(x), model.shared(y)).backward()
        optimiser.step()
        assert model.likelihood.log_scale is parameter
        assert model.likelihood.scale.shape == shape
        assert not torch.equal(parameter.detach(), torch.full(shape, 0.5).log())
    torch.testing.assert_close(Gaussian(learn_scale=True, outputs=3).scale, torch.ones(3), check_dtype=False)
    model.likelihood.log_scale.data = torch.tensor([[[0.0, 1.0, 2.0]], [[3.0, 4.0, 5.0]]])
    again = vds.VDSModel(nets[1], likelihood=Gaussian(learn_scale=True), num_data=6)
    again.load_state_dict(model.state_dict())
    found = vds.log_predictive(again, guide, x, y)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        means = vds.predict(one, its_guide, x).outputs
        density = torch.distributions.Normal(means, (3.0 * r + torch.arange(3)).exp()).log_prob(y).sum(-1)
        expected = (its_guide.log_probs()["depth"][:, None] + density).logsumexp(0)
        torch.testing.assert_close(found[r], expected.detach())


def test_a_fixed_scale_serves_all_outputs_and_another_number_is_refused():
    likelihood = Gaussian(0.5)
    likelihood.meet(3)
    assert likelihood.scale.shape == ()
    with pytest.raises(ValueError, match="Expected a network with 2 outputs, for which Gaussian has parameters, got 3"):
        Gaussian(learn_scale=True, outputs=2).meet(3)
    with pytest.raises(ValueError, match="positive number of outputs"):
        Gaussian(learn_scale=True, outputs=0)
