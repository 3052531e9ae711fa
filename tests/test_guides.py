"""The guide's probabilities and KL."""

import oracles
import pytest
import torch

import pyro_vds as vds


def test_starts_uniform():
    model, *_ = oracles.problem(4)
    probs = vds.AutoCategorical(model).probs()
    assert list(probs) == ["depth"]
    torch.testing.assert_close(probs["depth"], torch.full((5,), 0.2))


def test_probs_are_the_softmax_of_the_logits():
    _, guide, *_ = oracles.problem(4)
    torch.testing.assert_close(guide.probs()["depth"], guide.logits["depth"].softmax(0).detach())
    torch.testing.assert_close(guide.joint_probs(), guide.probs()["depth"])
    assert not guide.joint_probs().requires_grad
    assert guide.joint_log_probs().requires_grad


def test_kl_is_the_sum_over_depths():
    model, guide, *_ = oracles.problem(4)
    q, p = guide.probs()["depth"], oracles.prior(0.7, 5)
    torch.testing.assert_close(guide.kl(model).detach(), (q * (q / p).log()).sum())


def test_kl_vanishes_at_the_prior():
    model, guide, *_ = oracles.problem(4)
    guide.set_probs({"depth": oracles.prior(0.7, 5)})
    torch.testing.assert_close(guide.kl(model).detach(), torch.zeros(()))


def test_a_model_without_axes_has_an_empty_guide():
    model = vds.VDSModel(vds.ResidualMLP(2, 2, 4, 1, readout="last"), num_data=3)
    guide = vds.AutoCategorical(model)
    assert (guide.probs(), list(guide.parameters())) == ({}, [])
    assert float(guide.joint_log_probs()) == 0
    assert float(guide.kl(model)) == 0


def test_parameters_have_the_model_s_dtype():
    model, *_ = oracles.problem(1)
    assert vds.AutoCategorical(model.float()).logits["depth"].dtype == torch.float32


@pytest.mark.parametrize("probs", [{}, {"width": torch.ones(5) / 5}, {"depth": torch.ones(4) / 4}])
def test_probabilities_that_do_not_fit_are_refused(probs):
    _, guide, *_ = oracles.problem(4)
    with pytest.raises(ValueError, match=r"Expected probabilities for the axes and shapes"):
        guide.set_probs(probs)


def test_a_probability_of_zero_stays_finite():
    model, guide, x, y = oracles.problem(2)
    guide.set_probs({"depth": torch.tensor([0.0, 1.0, 1e-320])})
    assert torch.isfinite(guide.logits["depth"]).all()
    torch.testing.assert_close(guide.probs()["depth"], torch.tensor([0.0, 1.0, 0.0]))
    gradients = torch.autograd.grad(vds.enum_elbo(model, guide)(x, y), list(guide.parameters()))
    assert all(torch.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("probs", [[-0.5, 1.0, 0.5], [torch.nan, 0.5, 0.5], [0.5, 0.2, 0.2]])
def test_what_are_no_probabilities_is_refused(probs):
    _, guide, *_ = oracles.problem(2)
    before = guide.logits["depth"].detach().clone()
    with pytest.raises(ValueError, match="Expected probabilities of 'depth' that sum to one"):
        guide.set_probs({"depth": torch.tensor(probs)})
    assert torch.equal(guide.logits["depth"], before)
