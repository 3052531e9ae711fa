"""Uncertain and learnt parameters of priors, against closed forms and brute force."""

import math

import numpy as np
import oracles
import pytest
import torch

import pyro_vds as vds
from pyro_vds import priors

DECAY = priors.Hierarchical(priors.Geometric(), "decay", priors.Beta(3, 2))
RATE = priors.Hierarchical(priors.Poisson(1), "rate", priors.Gamma(2, 0.5))


def model_with(prior, max_depth=3, **how):
    torch.manual_seed(0)
    net = vds.ResidualMLP(2, 3, 5, max_depth)
    model = vds.VDSModel(net, priors=prior, num_data=12, **how)
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(12, 2, generator=generator), torch.randint(0, 3, (12,), generator=generator)
    return model, vds.AutoCategorical(model), x, y


@pytest.mark.parametrize(
    ("prior", "density"), [(DECAY, torch.distributions.Beta(3.0, 2.0)), (RATE, torch.distributions.Gamma(2.0, 0.5))]
)
def test_the_parameter_is_integrated_out(prior, density):
    """A fine grid of Simpson's kind as the oracle."""
    upper = 1.0 if prior is DECAY else 60.0
    grid = torch.linspace(1e-6, upper - 1e-6, 20001)
    weights = density.log_prob(grid).exp()
    family = type(prior.prior)
    entries = torch.stack([family(value).log_weights(4).softmax(0) for value in grid[::10].tolist()])
    expected = (weights[::10, None] * entries).sum(0) / weights[::10].sum()
    torch.testing.assert_close(prior(4).probs, expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("prior", "formula"),
    [
        # With rate ~ Gamma(1, 1), int rate^i e^-2rate / i! d rate; truncation hardly matters for 60 entries.
        (priors.Hierarchical(priors.Poisson(1), "rate", priors.Gamma(1, 1)), lambda i: 0.5 ** (i + 1)),
        # With decay ~ Beta(1, 20): E[(1 - decay) decay^i], of the geometric distribution itself.
        (
            priors.Hierarchical(priors.Geometric(), "decay", priors.Beta(1, 20)),
            lambda i: 20 * math.exp(math.lgamma(i + 1) + math.lgamma(21) - math.lgamma(i + 22)),
        ),
    ],
)
def test_tails_are_those_of_the_closed_form(prior, formula):
    found = prior(60).logits
    expected = torch.tensor([math.log(formula(i)) for i in range(25)])
    torch.testing.assert_close(found[:25], expected, atol=1e-3, rtol=1e-3)


def test_a_narrow_hyperprior_is_the_prior_itself():
    narrow = priors.Hierarchical(priors.Geometric(), "decay", priors.Beta(8.5e6, 1.5e6))
    torch.testing.assert_close(narrow(5).probs, priors.Geometric(0.85)(5).probs, rtol=1e-5, atol=1e-6)


def test_the_bound_is_tighter_than_with_a_factor_for_the_parameter():
    """Any q(d) q(eta) has ELBO ``-KL(q(d) q(eta) || p(d, eta))`` below ``-KL(q(d) || p(d))``."""
    q = torch.tensor([0.1, 0.5, 0.3, 0.1])
    given, (nodes, log_weights) = DECAY.given(4), DECAY.nodes
    for tilt in (torch.zeros(1024), nodes, given[:, 1]):
        posterior = (tilt + log_weights).softmax(0)
        joint = posterior[:, None] * q
        terms = joint * (joint.clamp_min(1e-300).log() - given - log_weights[:, None])
        factored = -terms.sum()
        collapsed = -(q * (q.log() - DECAY(4).probs.log())).sum()
        assert factored < collapsed


def test_draws_of_the_parameter_follow_its_posterior():
    """``p(eta | data) ∝ p(eta) sum_d p(d | eta) L(d)``, and the datatree has it."""
    model, guide, x, y = model_with(DECAY)
    guide.set_probs(vds.exact_posterior(model, (x, y)).probs)
    tree = vds.to_datatree(model, guide, x, y, draws=20000)
    log_likelihood = vds.exact_posterior(model, (x, y)).log_likelihood
    nodes, log_weights = DECAY.nodes
    weights = ((DECAY.given(4) + log_likelihood).logsumexp(1) + log_weights).softmax(0)
    expected = float((weights * nodes).sum())
    assert tree["posterior"]["depth_decay"].shape == (1, 20000)
    assert float(tree["posterior"]["depth_decay"].mean()) == pytest.approx(expected, abs=0.005)
    assert float(tree["prior"]["depth_decay"].mean()) == pytest.approx(0.6, abs=0.005)
    assert abs(expected - 0.6) > 0.01, "the control needs data that move the parameter"


def test_dirichlet_probabilities_are_conjugate():
    prior = priors.Dirichlet((1.0, 2.0, 3.0, 4.0))
    torch.testing.assert_close(prior(4).probs, torch.tensor([0.1, 0.2, 0.3, 0.4]))
    model, guide, x, y = model_with(prior)
    q = torch.tensor([0.0, 0.0, 1.0, 0.0])
    guide.set_probs({"depth": q})
    tree = vds.to_datatree(model, guide, x, y, draws=20000)
    probs = tree["posterior"]["depth_probs"]
    assert probs.shape == (1, 20000, 4)
    np.testing.assert_allclose(probs.mean(("chain", "draw")), np.array([1, 2, 4, 4]) / 11, atol=0.005)
    np.testing.assert_allclose(tree["prior"]["depth_probs"].mean(("chain", "draw")), [0.1, 0.2, 0.3, 0.4], atol=0.005)


def test_training_is_exact_with_a_hierarchical_prior():
    model, guide, x, y = model_with(RATE)
    vds.fit(model, guide, (x, y), max_epochs=20, progress=False)
    exact = vds.exact_posterior(model, (x, y))
    guide.set_probs(exact.probs)
    model.eval()
    loss = vds.enum_elbo(model, guide)(x, y)
    assert float(loss.detach()) == pytest.approx(-exact.log_evidence)


@pytest.mark.parametrize(
    ("prior", "best"),
    [
        (priors.Geometric(0.5), lambda q: priors.Geometric(0.5)),
        (priors.Weights((0.1, 0.2, 0.3, 0.4)), lambda q: priors.Weights(q)),
    ],
)
def test_a_learnt_prior_comes_nearest_to_the_guide(prior, best):
    """Empirical Bayes: what maximises the ELBO minimises KL(q || p)."""
    model, guide, *_ = model_with(prior, learn_prior=True)
    q = priors.Geometric(0.7)(4).probs
    guide.set_probs({"depth": q})
    guide.requires_grad_(False)
    optimizer = torch.optim.Adam([p for n, p in model.named_parameters() if "learnt" in n], lr=0.05)
    for _ in range(1500):
        optimizer.zero_grad()
        guide.kl(model).backward()
        optimizer.step()
    torch.testing.assert_close(model.prior("depth").probs.detach(), q, atol=1e-4, rtol=1e-3)
    fitted = model.fitted_prior("depth")
    torch.testing.assert_close(fitted(4).probs, q, atol=1e-4, rtol=1e-3)
    if isinstance(fitted, priors.Geometric):
        assert fitted.decay == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("compile", [False, True])
def test_fit_learns_the_prior_too(compile):
    model, guide, x, y = model_with(priors.Poisson(1.0), learn_prior=True)
    history = vds.fit(model, guide, (x, y), max_epochs=30, lr=0.05, weight_decay=0.5, compile=compile, progress=False)
    rate = model.fitted_prior("depth").rate
    assert rate != pytest.approx(1.0, abs=1e-3)
    before, *_ = model_with(priors.Poisson(1.0))
    assert float(guide.kl(model).detach()) < float(guide.kl(before).detach())
    assert torch.isfinite(history.elbo).all()
    again, *_ = model_with(priors.Poisson(1.0), learn_prior=True)
    again.load_state_dict(model.state_dict())
    assert again.fitted_prior("depth").rate == rate


def test_the_elbo_with_a_learnt_prior_is_that_of_the_prior_at_its_values():
    for prior in (priors.Geometric(0.7), priors.NegativeBinomial(3, 0.4), priors.Cost((0.0, 1.0, 2.0, 3.5), 0.5)):
        fixed, guide, x, y = model_with(prior)
        learnt, *_ = model_with(prior, learn_prior=True)
        losses = [vds.enum_elbo(model.eval(), guide)(x, y).detach() for model in (fixed, learnt)]
        torch.testing.assert_close(*losses)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: priors.Beta(0, 1), ValueError, "Expected a positive, finite a, got a=0"),
        (lambda: priors.Gamma(1, "x"), TypeError, "Expected a number as rate, got 'x'"),
        (
            lambda: priors.Hierarchical(priors.Geometric(), "rate", priors.Beta(1, 1)),
            ValueError,
            r"one of \['decay'\], got",
        ),
        (lambda: priors.Hierarchical(priors.Geometric(), "decay", priors.Gamma(9, 1)), ValueError, "0 < decay <= 1"),
        (lambda: priors.Hierarchical(priors.Geometric(), "decay", 0.5), TypeError, "Expected a prior and Beta"),
        (lambda: priors.Dirichlet(()), ValueError, "Expected a positive, finite concentration"),
        (lambda: priors.Dirichlet((1.0,))(2), ValueError, "Expected 2 concentration"),
        (
            lambda: model_with(priors.Uniform(), learn_prior=True),
            ValueError,
            "Expected a prior with a parameter to learn",
        ),
    ],
)
def test_bad_arguments_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_replicates_with_a_learnt_prior_are_refused():
    with pytest.raises(ValueError, match="Expected learn_prior=False for replicates"):
        vds.VDSModel(vds.Replicated(oracles.problem(1)[0].backbone, 2), num_data=3, learn_prior=True)
