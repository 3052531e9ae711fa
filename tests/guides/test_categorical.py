"""The guide's probabilities and KL."""

import oracles
import pytest
import torch
from pyro.infer import TraceEnum_ELBO
from torch import nn

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


GUIDES = [vds.AutoCategorical, vds.AutoConditionalCategorical, vds.AutoJointCategorical]
DEPENDENT = GUIDES[1:]


class Table(torch.nn.Module):
    """A backbone of two axes whose outputs are a table of weights, the same for every input."""

    space = vds.Space([vds.Axis("depth", (0, 1, 2), nested=True), vds.Axis("width", (0, 1, 2, 3))])

    def __init__(self, table):
        super().__init__()
        self.table = torch.nn.Parameter(table)

    def reset_parameters(self):
        torch.nn.init.normal_(self.table)

    def forward(self, x):
        return self.table[:, :, None].expand(-1, -1, len(x), -1) * x.abs().mean(-1, keepdim=True)


def two_axes(kind, replicates=None):
    torch.manual_seed(0)
    backbone = Table(torch.randn(3, 4, 2))
    if replicates:
        backbone = vds.Replicated(backbone, replicates)
    priors = {"depth": vds.priors.Geometric(0.6), "width": vds.priors.Poisson(2)}
    model = vds.VDSModel(backbone, priors=priors, num_data=20)
    guide = kind(model)
    for logits in guide.logits.values():
        torch.nn.init.normal_(logits)
    return model, guide, torch.randn(8, 2), torch.arange(8) % 2


def brute_force(model, guide, x, y):
    log_probs = model.backbone(x).log_softmax(-1)[:, :, range(8), y]
    total = torch.zeros(())
    log_q, log_p = guide.joint_probs(), model.log_prior()
    for i in range(3):
        for j in range(4):
            q = log_q[i, j]
            total = total + q * (log_probs[i, j].sum() * 20 / 8 + log_p[i, j] - q.log())
    return total


@pytest.mark.parametrize("kind", GUIDES)
def test_elbo_over_two_axes_is_the_sum_over_their_product(kind):
    model, guide, x, y = two_axes(kind)
    elbo = vds.enum_elbo(model, guide)
    torch.testing.assert_close(-elbo(x, y), brute_force(model, guide, x, y))
    theirs = TraceEnum_ELBO(max_plate_nesting=1).differentiable_loss(model, guide, x, y)
    torch.testing.assert_close(elbo(x, y), theirs)
    parameters = [*guide.parameters(), *model.parameters()]
    found, expected = (torch.autograd.grad(loss, parameters) for loss in (elbo(x, y), theirs))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kind", GUIDES)
def test_tables_of_probabilities_agree(kind):
    model, guide, *_ = two_axes(kind)
    joint = guide.joint_probs()
    torch.testing.assert_close(joint.sum(), torch.ones(()))
    torch.testing.assert_close(guide.probs(), {"depth": joint.sum(1), "width": joint.sum(0)})
    expected = (joint * (joint.log() - model.log_prior())).sum()
    torch.testing.assert_close(guide.kl(model).detach(), expected)
    draws = torch.stack([torch.stack(list(guide().values())) for _ in range(4000)])
    counts = torch.zeros(3, 4).index_put_(tuple(draws.T), torch.ones(4000), accumulate=True)
    assert float((counts / 4000 - joint).abs().max()) < 0.03


@pytest.mark.parametrize("kind", GUIDES)
def test_two_axes_in_replicates_are_each_its_own(kind):
    model, guide, x, y = two_axes(kind, replicates=3)
    losses = vds.enum_elbo(model, guide).losses(x.expand(3, -1, -1), y.expand(3, -1))
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(losses[r], -brute_force(one, its_guide, x, y))
        torch.testing.assert_close(guide.kl(model)[r], its_guide.kl(one))


@pytest.mark.parametrize("kind", DEPENDENT)
def test_at_the_exact_posterior_the_bound_is_tight(kind):
    model, guide, x, y = two_axes(kind)
    model.num_data = 8
    exact = vds.exact_posterior(model, (x, y))
    guide.set_joint_probs(exact.log_joint_probs.exp())
    torch.testing.assert_close(guide.joint_probs(), exact.log_joint_probs.exp())
    loss = vds.enum_elbo(model, guide)(x, y)
    assert float(loss.detach()) == pytest.approx(-exact.log_evidence)
    assert exact.gap(guide) == pytest.approx(0, abs=1e-10)
    gradients = torch.autograd.grad(loss, list(guide.parameters()))
    assert all(float(g.abs().max()) < 1e-9 for g in gradients)


def test_where_depth_and_width_trade_off_the_joint_guide_is_tighter():
    """Deep and narrow or shallow and wide: independent axes cannot say so, a table can."""
    table = torch.full((3, 4, 2), -2.0)
    for i, j in ((0, 3), (2, 0)):
        table[i, j] = 2.0
    table[..., 1] = 0
    x, y = torch.ones(8, 2), torch.zeros(8, dtype=torch.long)
    found = {}
    for kind in GUIDES:
        model = vds.VDSModel(Table(table.clone()), priors=vds.priors.Uniform(), num_data=8)
        model.backbone.requires_grad_(False)
        guide = kind(model)
        torch.manual_seed(1)
        for logits in guide.logits.values():
            torch.nn.init.normal_(logits, std=0.1)
        optimizer = torch.optim.Adam(guide.parameters(), lr=0.1)
        elbo = vds.enum_elbo(model, guide)
        for _ in range(1500):
            optimizer.zero_grad()
            elbo(x, y).backward()
            optimizer.step()
        found[kind] = vds.exact_posterior(model, (x, y)).gap(guide)
    independent, conditional, joint = found.values()
    assert independent > 0.5 > 1e-3 > max(conditional, joint)


def test_one_axis_makes_all_guides_alike():
    model, *_ = oracles.problem(3)
    q = torch.tensor([0.1, 0.2, 0.3, 0.4])
    for kind in DEPENDENT:
        guide = kind(model)
        guide.set_joint_probs(q)
        torch.testing.assert_close(guide.probs(), {"depth": q})
        torch.testing.assert_close(guide.conditionals()[0].detach().exp(), q)


@pytest.mark.parametrize("kind", DEPENDENT)
def test_tables_that_do_not_fit_are_refused(kind):
    _, guide, *_ = two_axes(kind)
    with pytest.raises(ValueError, match=r"Expected probabilities of shape \(3, 4\)"):
        guide.set_joint_probs(torch.ones(4, 3) / 12)
    with pytest.raises(ValueError, match="Expected probabilities that sum to one"):
        guide.set_joint_probs(torch.ones(3, 4))


def test_guides_of_axes_in_another_order_are_refused():
    """Their tables have the same sizes, and would give wrong numbers."""

    class Switches(nn.Linear):
        def __init__(self, *names):
            super().__init__(2, 12)
            self.space = vds.Space(vds.Axis(name, (0, 1)) for name in names)

        def forward(self, input):
            return super().forward(input).unflatten(-1, (2, 2, 3)).movedim(0, 2)

    x, y = torch.randn(5, 2), torch.randint(0, 3, (5,))
    model = vds.VDSModel(Switches("a", "b"), num_data=5)
    other = vds.AutoCategorical(vds.VDSModel(Switches("b", "a"), num_data=5))
    exact = vds.exact_posterior(model, (x, y))
    assert exact.gap(vds.AutoCategorical(model)) >= 0
    for use in (
        lambda: exact.gap(other),
        lambda: other.kl(model),
        lambda: vds.predict_proba(model, other, x),
        lambda: vds.to_datatree(model, other, x, y),
        lambda: vds.choose(model, other, torch.ones(2, 2)),
        lambda: vds.BoundGap(model, other, (x, y)),
    ):
        with pytest.raises(ValueError, match=r"Expected a guide for axes \[a \(0, 1\), b \(0, 1\)\], got one for"):
            use()


def test_a_guide_without_replicates_is_refused_for_them():
    _, guide, *_ = oracles.problem(2)
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 3, 4, 2), 2), num_data=5)
    with pytest.raises(ValueError, match=r"Expected a guide for the model's batch_shape \(2,\), got a guide for \(\)"):
        vds.replicates(model, guide)
