"""Fits to a table: known optima, bounds, and the targets on the real tables."""

import itertools
import math

import pytest
import torch

import pyro_vds as vds
from pyro_vds import dependence
from pyro_vds.guides.mixtures import GeneratedMixture, ProductMixture
from pyro_vds.infer.tables import divergence, fit_mean_field, fit_table


def tied(options=2):
    """Two sites that always have the same option: no product is close."""
    return torch.eye(options).div(options).log()


def test_the_divergence_is_a_sum_over_architectures():
    torch.manual_seed(3)
    table, q = torch.randn(2, 2, 2), ProductMixture(3, 2, 2)
    p = table.flatten().softmax(0).view(2, 2, 2)
    total = 0.0
    for a in itertools.product(range(2), repeat=3):
        log_q = float(q.log_prob(torch.tensor([a])).detach())
        total += math.exp(log_q) * (log_q - math.log(float(p[a])))
    assert float(divergence(q, table).detach()) == pytest.approx(total)


def test_log_evidence_minus_elbo_is_the_divergence():
    torch.manual_seed(4)
    log_joint, q = 10 * torch.randn(3, 3, 3), ProductMixture(3, 3, 4)
    log_q = q.joint_log_probs()
    elbo = (log_q.exp() * (log_joint.flatten() - log_q)).sum()
    expected = log_joint.logsumexp((0, 1, 2)) - elbo
    torch.testing.assert_close(divergence(q, log_joint), expected, atol=1e-9, rtol=0)


def test_a_product_is_found_by_both():
    torch.manual_seed(5)
    parts = [torch.randn(3).log_softmax(0) for _ in range(3)]
    table = parts[0][:, None, None] + parts[1][:, None] + parts[2] + 7.0
    found = fit_mean_field(table, starts=3)
    assert found.divergence == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(found.probs, torch.stack(parts).exp())
    divergences = fit_table(ProductMixture(3, 3, 1, spread=0.01), table, steps=500)
    assert float(divergences[-1]) == pytest.approx(0, abs=1e-6)
    assert len(divergences) == 501


def test_a_mixture_of_point_masses_reaches_any_table():
    torch.manual_seed(6)
    table = 2 * torch.randn(4, 4)
    assert float(fit_table(ProductMixture(2, 4, 16), table, steps=1500)[-1]) < 1e-3


def test_mean_field_of_tied_sites_takes_one_of_them():
    """One of two options costs log 2; the uniform start is a stationary point, with mass on what cannot be."""
    found = fit_mean_field(tied(), starts=2)
    assert found.divergence == pytest.approx(math.log(2))
    assert sorted(found.probs[0].tolist()) == pytest.approx([0, 1])
    assert fit_mean_field(tied(), starts=0).divergence > 1e20


def test_coordinate_ascent_ends_where_no_gradient_is():
    """Each site is the best given the others, and more sweeps or starts are never worse."""
    torch.manual_seed(7)
    table = 3 * torch.randn(3, 3, 3)
    found = fit_mean_field(table, starts=10)
    one = ProductMixture(3, 3, 1)
    with torch.no_grad():
        one.logits.copy_(found.probs.log()[None])
    loss = divergence(one, table)
    assert float(loss.detach()) == pytest.approx(found.divergence)
    loss.backward()
    assert one.logits.grad is not None
    assert float(one.logits.grad.abs().max()) < 1e-8
    rows = [fit_mean_field(table, starts=10, sweeps=k).divergence for k in (1, 2, 5, 100)]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(rows))
    assert found.divergence <= fit_mean_field(table, starts=0).divergence


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (torch.zeros(2, 3), r"a dimension of equal size for each site, got shape \(2, 3\)"),
        (torch.zeros(()), "a dimension of equal size for each site"),
        (torch.full((2, 2), torch.nan), "got NaN or infinity"),
        (torch.full((2, 2), -torch.inf), "got NaN or infinity"),
    ],
)
def test_other_tables_are_refused(table, message):
    for fit in (fit_mean_field, lambda t: fit_table(ProductMixture(2, 2, 1), t)):
        with pytest.raises(ValueError, match=message):
            fit(table)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"a table of shape \(3, 3\), got \(2, 2\)"):
        fit_table(ProductMixture(2, 3, 1), torch.zeros(2, 2))
    for how in ({"steps": 0}, {"lr": 0.0}):
        with pytest.raises(ValueError, match="at least one step and a positive lr"):
            fit_table(ProductMixture(2, 2, 1), torch.zeros(2, 2), **how)
    for how in ({"starts": -1}, {"sweeps": 0}):
        with pytest.raises(ValueError, match="Expected starts of at least 0 and at least one sweep"):
            fit_mean_field(torch.zeros(2, 2), **how)


@pytest.fixture
def log_posterior(shared_data):
    accuracy = vds.datasets.nas_bench_201(shared_data / "nas" / "nas-bench-201_200epochs.npz").accuracy["cifar10"]
    return vds.accuracy_log_likelihood(accuracy, 100, 10).flatten().log_softmax(0).view_as(accuracy)


def test_cells_of_nas_bench_201_depend_on_each_other(log_posterior):
    """The targets of the specification at n = 100."""
    p = log_posterior.exp()
    assert dependence.entropy(p) == pytest.approx(5.99, abs=0.005)
    assert dependence.total_correlation(p) == pytest.approx(0.662, abs=5e-4)
    found = fit_mean_field(log_posterior)
    assert 0.661 <= found.divergence <= 0.668
    torch.manual_seed(0)
    one = fit_table(GeneratedMixture(6, 5, 1), log_posterior, lr=0.02)[-1]
    assert float(one) == pytest.approx(found.divergence, abs=0.01)


def test_several_inputs_make_edges_dependent(log_posterior):
    torch.manual_seed(0)
    made = GeneratedMixture(6, 5, 16)
    assert float(fit_table(made, log_posterior, lr=0.02)[-1]) < 0.20
    q = made.joint_log_probs().exp().view((5,) * 6)
    assert dependence.total_correlation(q) > 0.3
    assert float(fit_table(ProductMixture(6, 5, 16), log_posterior)[-1]) < 0.26
