"""Random weights with an exact depth, against brute force and the closed form of a network linear in its weights."""

import pyro.distributions as dist
import torch
from pyro.infer.mcmc.util import initialize_model
from pyro.nn import PyroModule
from pyro.nn.module import PyroSample

import pyro_vds as vds

NOISE = 0.5


class Polynomial(PyroModule):
    """``f_d(x) = sum_{k <= d} w_k x**k`` with ``w_k ~ Normal(0, 1)``."""

    def __init__(self, degree):
        super().__init__()
        self.powers = torch.arange(degree + 1)
        self.space = vds.Space([vds.Axis("depth", tuple(range(degree + 1)), nested=True)])
        self.weight = PyroSample(dist.Normal(torch.zeros(degree + 1), 1.0).to_event(1))

    def forward(self, x):
        return (self.weight * x**self.powers).cumsum(-1).T[..., None]


def problem():
    torch.manual_seed(1)
    x = torch.linspace(-1.5, 1.5, 12)[:, None]
    y = 0.6 * x[:, 0] + 0.25 * x[:, 0] ** 2 + NOISE * torch.randn(12)
    likelihood = vds.likelihoods.Gaussian(NOISE)
    model = vds.VDSModel(Polynomial(2), priors=vds.priors.Geometric(0.7), likelihood=likelihood, num_data=12)
    return model, x, y


def log_joint(model, x, y, weight):
    """``log p(d) p(y | x, w, d)`` of each depth, by a loop."""
    log_prior = model.prior("depth").probs.log()
    means = [sum(weight[k] * x[:, 0] ** k for k in range(d + 1)) for d in range(3)]
    return torch.stack([log_prior[d] + dist.Normal(means[d], NOISE).log_prob(y).sum() for d in range(3)])


def test_the_potential_of_the_weights_sums_over_depths():
    model, x, y = problem()
    _, potential, _, _ = initialize_model(model, (x, y))
    for _ in range(3):
        weight = torch.randn(3, requires_grad=True)
        expected = -dist.Normal(0.0, 1.0).log_prob(weight).sum() - log_joint(model, x, y, weight).logsumexp(0)
        value = potential({"weight": weight})
        torch.testing.assert_close(value, expected)
        ours, theirs = (torch.autograd.grad(energy, weight)[0] for energy in (value, expected))
        torch.testing.assert_close(ours, theirs)


def test_the_potential_is_the_closed_form_of_weights_that_are_normal_given_the_depth():
    """``exp(-U(w)) = p(y) sum_d p(d | y) Normal(w; m_d, S_d)``: chains have the exact posterior."""
    model, x, y = problem()
    _, potential, _, _ = initialize_model(model, (x, y))
    log_evidence, posteriors = [], []
    for d in range(3):
        features = x ** torch.arange(3) * (torch.arange(3) <= d)  # the weights above keep their prior
        covariance = (torch.eye(3) + features.T @ features / NOISE**2).inverse()
        posteriors.append(dist.MultivariateNormal(covariance @ features.T @ y / NOISE**2, covariance))
        marginal = dist.MultivariateNormal(torch.zeros(12), features @ features.T + NOISE**2 * torch.eye(12))
        log_evidence.append(marginal.log_prob(y))
    log_joint_of_depth = model.prior("depth").probs.log() + torch.stack(log_evidence)
    assert log_joint_of_depth.softmax(0).max() < 0.6  # not decided: a wrong weight of a depth would show
    for _ in range(3):
        weight = torch.randn(3)
        expected = -(log_joint_of_depth + torch.stack([p.log_prob(weight) for p in posteriors])).logsumexp(0)
        torch.testing.assert_close(potential({"weight": weight}), expected)
