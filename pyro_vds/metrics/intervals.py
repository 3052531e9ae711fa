"""Calibration of predictive intervals of a regression: numpy in, numpy out.

All measures take the predictive distribution function at the targets, the probability integral transform
``u_n = F(y_n | x_n)`` from :func:`pyro_vds.predict_pit`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import ndtr

from pyro_vds.metrics.checks import as_array, rounding

LEVELS = np.arange(1, 20) / 20


@dataclass(frozen=True)
class IntervalTable:
    """Nominal and empirical coverage of central predictive intervals.

    Attributes:
        levels: Nominal coverages.
        coverage: Share of the targets in the central interval of each level.
        count: Number of targets.
    """

    levels: Float[np.ndarray, " levels"]
    coverage: Float[np.ndarray, " levels"]
    count: int

    @property
    def error(self) -> float:
        """Interval calibration error, ``mean_l |coverage_l - level_l|``, 0 to 1."""
        return float(np.abs(self.coverage - self.levels).mean())


def mixture_pit(y: ArrayLike, means: ArrayLike, weights: ArrayLike, scale: ArrayLike) -> Float[np.ndarray, " batch"]:
    """Return the probability integral transform of each target under a mixture of normals that is known as arrays.

    Of a model, :func:`pyro_vds.predict_pit` gives it for any likelihood; this takes the columns of
    :func:`pyro_vds.predict_components` one by one, where there are several targets.

    ``u_n = sum_i q_i Phi((y_n - f_i(x_n)) / s)``. Where the predictive is right the values are uniform on
    ``(0, 1)`` (Dawid 1984, "Statistical theory: the prequential approach"); heaped at both ends they tell of
    intervals that are too narrow, heaped in the middle of too wide ones.

    Args:
        y: Targets ``(N,)``.
        means: Mean of each component at each point, ``(components, N)``, in the units of ``y``.
        weights: Mixture weights ``(components,)``, or those of each point, ``(components, N)``.
        scale: Standard deviation of the components in the units of ``y``: one number, or ``(components,)``.

    Raises:
        ValueError: If shapes do not fit, a number is not finite, weights do not sum to one, or a scale is not positive.
    """
    tolerance = rounding(weights)
    y, means, weights, scale = (as_array(value).astype(np.float64) for value in (y, means, weights, scale))
    components = weights.shape[:1]
    shapes_fit = means.shape == (*components, *y.shape) and weights.shape in (components, means.shape)
    if y.ndim != 1 or len(y) == 0 or weights.ndim == 0 or not shapes_fit:
        raise ValueError(
            "Expected y (N,), means (components, N) and weights (components,) or (components, N), N > 0; got "
            f"{y.shape}, {means.shape} and {weights.shape}. Take the column of one target: y[:, 0], means[..., 0]."
        )
    if not (np.isfinite(y).all() and np.isfinite(means).all()):
        raise ValueError("Expected finite targets and means, got NaN or infinity. Remove those points.")
    sums = weights.sum(0)
    if (weights < 0).any() or not (abs(sums - 1) < tolerance).all():
        raise ValueError(
            f"Expected weights that sum to one, got {sums.min():.6g} to {sums.max():.6g}. Exponentiate log weights."
        )
    if scale.shape not in ((), components) or not ((scale > 0) & (scale < np.inf)).all():
        raise ValueError(f"Expected a positive scale, or one for each of {len(weights)} components, got {scale}.")
    below = ndtr((y - means) / scale.reshape(-1, 1))
    # Float32 weights sum to one only nearly, and a share is not to leave [0, 1].
    return np.clip((weights.reshape(len(weights), -1) * below).sum(0) / sums, 0, 1)


def interval_table(pit: ArrayLike, levels: ArrayLike = LEVELS) -> IntervalTable:
    """Return how often targets fall in the central predictive interval of each level.

    The central interval of level ``l`` lies between the quantiles ``(1 - l) / 2`` and ``(1 + l) / 2``. It contains a
    target if ``|2 u_n - 1| <= l``, which is exact for any distribution and needs no quantiles.

    Args:
        pit: Values ``u_n`` from :func:`pyro_vds.predict_pit`, ``(N,)``.
        levels: Nominal coverages, in ``(0, 1)``.

    Raises:
        ValueError: If there are no values or levels, or one is out of range.
    """
    pit, levels = as_array(pit).astype(np.float64), as_array(levels).astype(np.float64)
    if pit.ndim != 1 or len(pit) == 0 or not ((pit >= 0) & (pit <= 1)).all():
        raise ValueError(f"Expected values in [0, 1] of shape (N,), N > 0, got shape {pit.shape}. Use predict_pit.")
    if levels.ndim != 1 or len(levels) == 0 or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"Expected levels in (0, 1), such as [0.5, 0.9], got {levels}.")
    # A target on the end of an interval is inside, whichever way a float64 rounds the end.
    inside = np.abs(2 * pit - 1) <= levels[:, None] + 4 * np.finfo(np.float64).eps
    return IntervalTable(levels, inside.mean(1), len(pit))


def interval_error(pit: ArrayLike, levels: ArrayLike = LEVELS) -> float:
    """Return the interval calibration error, ``mean_l |coverage_l - level_l|``, 0 to 1.

    A mean absolute form of the calibration error of Kuleshov et al. 2018, "Accurate Uncertainties for Deep
    Learning Using Calibrated Regression" (eq. 9), for central intervals.

    Args:
        pit: Values from :func:`pyro_vds.predict_pit`, ``(N,)``.
        levels: Nominal coverages, in ``(0, 1)``.

    Raises:
        ValueError: If there are no values or levels, or one is out of range.
    """
    return interval_table(pit, levels).error
