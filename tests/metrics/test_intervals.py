"""Interval calibration: draws from the predictive itself are calibrated, a wrong scale shows."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from pyro_vds.metrics.intervals import interval_error, interval_table, mixture_pit
from pyro_vds.ops.distribution_function import pit as transform

WEIGHTS = np.array([0.2, 0.5, 0.3])
POINTS = 20_000


def drawn(scale: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Means of three components at each point, and targets drawn from the mixture."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(3, POINTS))
    component = rng.choice(3, POINTS, p=WEIGHTS)
    return means, means[component, np.arange(POINTS)] + scale * rng.normal(size=POINTS)


def test_pit_is_the_integral_of_the_mixture_density():
    means, y, scale = np.array([[-1.0], [0.0], [2.0]]), 0.7, np.array([0.5, 1.0, 2.0])
    grid = np.linspace(-30, y, 400_001)
    density = sum(
        w * np.exp(-0.5 * ((grid - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))
        for w, m, s in zip(WEIGHTS, means[:, 0], scale, strict=True)
    )
    assert mixture_pit([y], means, WEIGHTS, scale) == pytest.approx(np.trapezoid(density, grid))


def test_pit_of_arrays_is_that_of_distributions():
    means, y = drawn()
    components = dist.Normal(torch.from_numpy(means.T), 0.5)
    weights = torch.from_numpy(WEIGHTS).expand(means.T.shape)
    mixture = dist.MixtureSameFamily(dist.Categorical(probs=weights), components)
    found = transform(mixture, torch.from_numpy(y), torch.Generator())
    np.testing.assert_allclose(found, mixture_pit(y, means, WEIGHTS, 0.5))


def test_targets_drawn_from_the_predictive_are_calibrated():
    means, y = drawn()
    pit = mixture_pit(y, means, WEIGHTS, 0.5)
    table = interval_table(pit)
    np.testing.assert_allclose(table.coverage, table.levels, atol=4 * np.sqrt(0.25 / POINTS))
    np.testing.assert_allclose(np.histogram(pit, 10, (0, 1))[0] / POINTS, 0.1, atol=4 * np.sqrt(0.09 / POINTS))
    assert table.error < 0.01
    assert table.count == POINTS


@pytest.mark.parametrize(("scale", "sign"), [(0.1, -1), (2.0, 1)])
def test_a_wrong_scale_shows_as_intervals_too_narrow_or_too_wide(scale, sign):
    means, y = drawn()
    # Of narrow components even the wrong ones have their median between the others: low levels say little.
    table = interval_table(mixture_pit(y, means, WEIGHTS, scale), [0.5, 0.8, 0.9, 0.95])
    assert (sign * (table.coverage - table.levels) > 0.02).all()
    assert table.error > 0.05


def test_coverage_is_that_of_intervals_between_quantiles():
    """The quantiles of a single normal are known."""
    y = np.random.default_rng(1).normal(size=(1, 500))
    pit = mixture_pit(y[0], np.zeros((1, 500)), [1.0], 1.5)
    half = 1.5 * 1.2815515594  # 80 % of a normal
    assert interval_table(pit, [0.8]).coverage.tolist() == [float((np.abs(y) <= half).mean())]


def test_error_is_the_mean_distance_between_coverage_and_level():
    assert interval_error([0.5, 0.5], [0.2, 0.8]) == pytest.approx((0.8 + 0.2) / 2)
    assert interval_error([0.0, 1.0], [0.2, 0.8]) == pytest.approx((0.2 + 0.8) / 2)


def test_the_units_do_not_matter():
    means, y = drawn()
    np.testing.assert_allclose(
        mixture_pit(10 * y + 3, 10 * means + 3, WEIGHTS, 5.0), mixture_pit(y, means, WEIGHTS, 0.5)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros((2, 1))}, r"Expected y \(N,\), means .* N > 0; got \(2, 1\).*Take the column of one target"),
        ({"means": np.zeros((2, 2))}, r"got \(2,\), \(2, 2\) and \(3,\)"),
        ({"y": np.zeros(0), "means": np.zeros((3, 0))}, "N > 0"),
        ({"y": np.array([0.0, np.nan])}, "Expected finite targets and means"),
        ({"weights": np.log(WEIGHTS)}, "Expected weights that sum to one, .* Exponentiate log weights"),
        ({"weights": np.array([0.5, 0.5, 0.5])}, "Expected weights that sum to one, got 1.5 to 1.5"),
        ({"scale": 0.0}, "Expected a positive scale"),
        ({"scale": np.ones(2)}, "one for each of 3 components"),
    ],
)
@pytest.mark.usefixtures("as_a_user")
def test_bad_predictives_are_refused(change, message):
    good = {"y": np.zeros(2), "means": np.zeros((3, 2)), "weights": WEIGHTS, "scale": 1.0}
    with pytest.raises(ValueError, match=message):
        mixture_pit(**good | change)


@pytest.mark.parametrize("pit", [[], [1.2], [-0.1], [np.nan], [[0.5]]])
@pytest.mark.usefixtures("as_a_user")
def test_values_that_are_no_shares_are_refused(pit):
    with pytest.raises(ValueError, match=r"Expected values in \[0, 1\] of shape \(N,\).*Use predict_pit"):
        interval_table(pit)


@pytest.mark.parametrize("levels", [[], [0.0], [1.0], [90], [np.nan]])
@pytest.mark.usefixtures("as_a_user")
def test_levels_out_of_range_are_refused(levels):
    with pytest.raises(ValueError, match=r"Expected levels in \(0, 1\)"):
        interval_table([0.5], levels)
