"""Likelihoods of counts against scipy and sums over all counts."""

import numpy as np
import pytest
import scipy.stats
import torch

import pyro_vds as vds
from pyro_vds.likelihoods import NegativeBinomial, Poisson
from pyro_vds.metrics import intervals

MEAN, SPREAD = 3.0, 0.4


def oracle(outputs: torch.Tensor, spread: float | None):
    """The distributions in scipy; NB2 by its mean ``m`` and variance ``m + spread m**2``."""
    mean = MEAN * outputs.detach().exp().numpy()
    if spread is None:
        return scipy.stats.poisson(mean)
    return scipy.stats.nbinom(1 / spread, 1 / (1 + spread * mean))


CASES = [(lambda: Poisson(MEAN), None), (lambda: NegativeBinomial(MEAN, overdispersion=SPREAD), SPREAD)]


@pytest.mark.parametrize(("make", "spread"), CASES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float64])
def test_the_log_probability_is_that_of_scipy(make, spread, dtype):
    outputs, y = torch.randn(3, 5, 1), torch.tensor([0, 1, 4, 30, 255])
    expected = oracle(outputs[..., 0], spread).logpmf(y.numpy())
    np.testing.assert_allclose(make()(outputs).log_prob(y.to(dtype)).detach(), expected, rtol=1e-9)


@pytest.mark.parametrize(("make", "spread"), CASES)
def test_a_mixture_has_the_moments_and_the_transform_of_a_sum_over_counts(make, spread):
    torch.manual_seed(0)
    model = vds.VDSModel(vds.ResidualMLP(2, 1, width=4, max_depth=2), likelihood=make(), num_data=20)
    guide = vds.AutoCategorical(model)
    x, y = torch.randn(20, 2), torch.arange(20) // 4
    with torch.no_grad():
        distributions = oracle(model.eval().backbone(x)[..., 0], spread)
    q, counts = guide.probs()["depth"].detach().numpy(), np.arange(2000)[:, None, None]
    pmf = np.einsum("d,cdn->cn", q, distributions.pmf(counts))
    mean = (counts[:, 0] * pmf).sum(0)
    variance = (counts[:, 0] ** 2 * pmf).sum(0) - mean**2
    for found in (vds.predict_moments(model, guide, x), vds.prune(model, guide, depth=2)(x)):
        np.testing.assert_allclose(found[0].detach(), mean, rtol=1e-6)
        np.testing.assert_allclose(found[1].detach(), variance, rtol=1e-6)
    at_y = pmf[y.numpy(), np.arange(20)]
    np.testing.assert_allclose(vds.log_predictive(model, guide, x, y), np.log(at_y))
    upper = pmf.cumsum(0)[y.numpy(), np.arange(20)]
    pit = vds.predict_pit(model, guide, x, y)
    assert bool(((pit <= upper + 1e-9) & (pit >= upper - at_y - 1e-9)).all())
    means = distributions.mean()
    spread_of_means = np.einsum("dn->n", (means - means.mean(0)) ** 2) / 3
    np.testing.assert_allclose(vds.predict_disagreement(model, guide, x).numpy(), spread_of_means, rtol=1e-6)


def test_single_precision_is_exact_where_the_overdispersion_vanishes():
    outputs, y = torch.zeros(1, 6, 1), torch.tensor([0, 1, 2, 3, 5, 9])
    found = NegativeBinomial(MEAN, overdispersion=1e-6).float()(outputs.float()).log_prob(y)
    expected = scipy.stats.poisson(MEAN).logpmf(y.numpy())
    np.testing.assert_allclose(found.detach()[0], expected, rtol=1e-4)


def test_the_overdispersion_of_each_output_is_learnt():
    generator = np.random.default_rng(0)
    mean, spread = 5.0, np.array([0.1, 1.0])
    y = torch.from_numpy(generator.negative_binomial(1 / spread, 1 / (1 + spread * mean), (3000, 2)))
    x = torch.zeros(3000, 1)
    torch.manual_seed(0)
    likelihood = NegativeBinomial(mean)
    model = vds.VDSModel(vds.ResidualMLP(1, 2, width=2, max_depth=1), likelihood=likelihood, num_data=3000)
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, (x, y), optimizer=torch.optim.Adam, lr=0.1, batch_size=3000, max_epochs=80, progress=False)
    np.testing.assert_allclose(likelihood.overdispersion.detach(), spread, rtol=0.15)
    measured = vds.predict(model, guide, x[:5], y[:5], want=["metrics"])[0]
    assert measured["squared_error"].shape == (5, 2)


def test_intervals_are_calibrated_for_the_right_counts_only():
    torch.manual_seed(0)
    model = vds.VDSModel(vds.ResidualMLP(1, 1, width=2, max_depth=1), likelihood=Poisson(4.0), num_data=4000)
    guide, x = vds.AutoCategorical(model), torch.randn(4000, 1)
    y = vds.predict(model, guide, x).distribution.sample()
    assert intervals.interval_error(vds.predict_pit(model, guide, x, y)) < 0.03
    assert intervals.interval_error(vds.predict_pit(model, guide, x, 2 * y)) > 0.1


@pytest.mark.parametrize("make", [Poisson, NegativeBinomial])
def test_replicates_are_those_of_each(make):
    net = vds.Replicated(vds.ResidualMLP(2, 2, width=4, max_depth=1), 2)
    model = vds.VDSModel(net, likelihood=make(MEAN), num_data=6)
    x, y = torch.randn(6, 2), torch.randint(0, 9, (6, 2))
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, (x, y), max_epochs=2, lr=0.01, progress=False)
    found = vds.log_predictive(model, guide, x, y)
    for r, pair in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(found[r], vds.log_predictive(*pair, x, y))


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (
            torch.tensor([0.5, 1.0]),
            ValueError,
            "whole numbers of at least 0, got 1 others, such as 0.5. Do not",
        ),
        (torch.tensor([-1, 3]), ValueError, "got 1 others, such as -1"),
        (torch.tensor([torch.nan, 1.0]), ValueError, "Expected finite targets"),
        (torch.tensor([[1], [2]]), ValueError, r"Expected targets of shape \(2,\) .* Use y\[:, 0\]"),
        (torch.tensor([True, False]), TypeError, "Expected counts, got torch.bool"),
    ],
)
def test_what_is_no_count_is_refused(y, kind, message):
    for likelihood in (Poisson(), NegativeBinomial()):
        with pytest.raises(kind, match=message):
            likelihood.check_targets(y, torch.zeros(3, 1, 1))


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_numbers_out_of_range_are_refused(value):
    for make in (Poisson, NegativeBinomial):
        with pytest.raises(ValueError, match="Expected a positive, finite mean"):
            make(value)
    with pytest.raises(ValueError, match="Expected a positive, finite overdispersion"):
        NegativeBinomial(overdispersion=value)
