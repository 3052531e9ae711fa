"""Priors over the gates of a graph, against brute force over all patterns."""

import itertools
import math

import pytest
import torch
from torch.distributions import Beta

import pyro_vds as vds

PATTERNS = torch.tensor(list(itertools.product((0, 1), repeat=6)))


def test_a_price_is_the_difference_of_closed_and_open_in_nats():
    price = vds.priors.Price(20.0)
    logits = price(2).logits
    assert float(logits[0] - logits[1]) == pytest.approx(20.0)
    log_p = price.over_sites(6, 2).log_prob(PATTERNS)
    assert float(log_p.exp().sum()) == pytest.approx(1.0)
    torch.testing.assert_close(log_p[0] - log_p, 20.0 * PATTERNS.sum(1).double())
    costs = (0.5, 1.0, 1.5, 1.0, 2.0, 0.0)
    log_p = vds.priors.Price(3.0, costs=costs).over_sites(6, 2).log_prob(PATTERNS)
    torch.testing.assert_close(log_p[0] - log_p, 3.0 * PATTERNS.double() @ torch.tensor(costs).double())


def test_the_beta_is_integrated_out():
    """Against the integral over pi by a fine grid, and the sum over all patterns."""
    prior = vds.priors.Exchangeable(1.5, 4.0)
    log_p = prior.over_sites(6, 2).log_prob(PATTERNS)
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=1e-12)
    grid = (torch.arange(200_000, dtype=torch.double) + 0.5) / 200_000
    density = Beta(1.5, 4.0).log_prob(grid).exp()
    for opened in range(7):
        integral = float((density * grid**opened * (1 - grid) ** (6 - opened)).mean())
        found = log_p[PATTERNS.sum(1) == opened]
        assert float(found[0]) == pytest.approx(math.log(integral), abs=1e-4)
        assert torch.equal(found, found[:1].expand_as(found))


def test_the_expectation_by_the_number_of_open_gates_equals_brute_force():
    probs = torch.rand(6, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    q = torch.stack([1 - probs, probs], 1)
    weights = torch.where(PATTERNS == 1, probs, 1 - probs).prod(1)
    for prior in (vds.priors.Exchangeable(1.0, 9.0), vds.priors.Price(2.0), vds.priors.Price(2.0, (1, 2, 3, 4, 5, 6))):
        expected = float((weights * prior.over_sites(6, 2).log_prob(PATTERNS)).sum())
        assert float(prior.expected_log_prob(q)) == pytest.approx(expected, abs=1e-12)


def test_the_specification_s_number():
    """Beta(1, 9), six gates with the prototypes' probabilities half: its own closed form."""
    prior = vds.priors.Exchangeable(1.0, 9.0)
    q = torch.full((6, 2), 0.5, dtype=torch.double)
    expected = sum(
        math.comb(6, k) / 64 * (math.lgamma(1 + k) + math.lgamma(15 - k) - math.lgamma(16) + math.log(9))
        for k in range(7)
    )
    assert float(prior.expected_log_prob(q)) == pytest.approx(expected, abs=1e-12)


def test_draws_have_the_law_of_the_prior():
    torch.manual_seed(0)
    drawn = vds.priors.Exchangeable(1.0, 3.0).over_sites(5, 2).sample((20_000,))
    counts = torch.bincount(drawn.sum(1), minlength=6) / 20_000
    prior = vds.priors.Exchangeable(1.0, 3.0).over_sites(5, 2)
    expected = torch.tensor([math.comb(5, k) for k in range(6)]) * prior.log_prob_of_count(torch.arange(6)).exp()
    torch.testing.assert_close(counts.double(), expected, atol=0.015, rtol=0)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vds.priors.Price(float("inf")), "Expected a finite price and costs in nats"),
        (lambda: vds.priors.Price(1.0)(3), "Expected an axis with two entries, closed and open"),
        (lambda: vds.priors.Price(1.0, costs=(1.0,)).over_sites(2, 2), "Expected 2 costs"),
        (lambda: vds.priors.Exchangeable(0.0, 1.0), "Expected a positive, finite a"),
        (lambda: vds.priors.Exchangeable(1.0, 1.0).over_sites(2, 5), "Expected an axis with two entries"),
    ],
)
def test_wrong_priors_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "prior", [vds.priors.Price(20.0), vds.priors.Price(2.0, (1.0, 2.0)), vds.priors.Exchangeable(1.0, 9.0)]
)
def test_they_are_read_back(prior):
    assert vds.priors.parse(repr(prior)) == prior
