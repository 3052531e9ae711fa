"""Distribution functions of counts against scipy, and transforms that are uniform only where the model is right."""

import numpy as np
import pyro.distributions as dist
import pytest
import scipy.stats
import torch

from pyro_vds.ops.distribution_function import cdf, pit


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (dist.Poisson(torch.tensor(3.5)), scipy.stats.poisson(3.5)),
        (dist.NegativeBinomial(4, logits=torch.tensor(0.3)), scipy.stats.nbinom(4, 1 - 1 / (1 + np.exp(-0.3)))),
        (dist.Binomial(6, torch.tensor(0.3)), scipy.stats.binom(6, 0.3)),
        (dist.Normal(torch.tensor(1.0), 2.0), scipy.stats.norm(1, 2)),
    ],
)
def test_distribution_function_equals_scipy(ours, theirs):
    y = torch.arange(6.0)
    np.testing.assert_allclose(cdf(ours.expand((6,)), y), theirs.cdf(y.numpy()), rtol=1e-6)


def test_a_mixture_of_counts_is_the_mixture_of_their_functions():
    weights, rates = torch.tensor([0.3, 0.7]), torch.tensor([1.0, 6.0])
    mixture = dist.MixtureSameFamily(dist.Categorical(weights.expand(9, 2)), dist.Poisson(rates.expand(9, 2)))
    y = torch.arange(9.0)
    expected = 0.3 * scipy.stats.poisson(1).cdf(y) + 0.7 * scipy.stats.poisson(6).cdf(y)
    np.testing.assert_allclose(cdf(mixture, y), expected)


@pytest.mark.parametrize(("rate", "low", "high"), [(4.0, 0, 0.03), (8.0, 0.2, 1), (2.0, 0.2, 1)])
def test_transform_of_counts_is_uniform_only_for_the_right_rate(rate, low, high):
    y = torch.poisson(torch.full((5000,), 4.0), generator=generator())
    values = pit(dist.Poisson(rate).expand((5000,)), y, generator())
    assert low <= scipy.stats.kstest(values.numpy(), "uniform").statistic < high


def test_the_same_generator_gives_the_same_transform():
    y, counts = torch.tensor([0.0, 3.0]), dist.Poisson(torch.tensor([1.0, 2.0]))
    assert torch.equal(pit(counts, y, generator(1)), pit(counts, y, generator(1)))
    assert not torch.equal(pit(counts, y, generator(1)), pit(counts, y, generator(2)))


def test_what_has_no_distribution_function_is_refused():
    with pytest.raises(TypeError, match="Expected a distribution with a cdf, or of counts, to measure intervals"):
        cdf(dist.StudentT(3.0).expand((2,)), torch.zeros(2))
