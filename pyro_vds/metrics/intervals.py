"""Calibration of predictive intervals of a regression: numpy in, numpy out.

All measures take the predictive distribution function at the targets, the probability integral transform
``u_n = F(y_n | x_n)`` from :func:`pyro_vds.predict_pit`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

LEVELS = np.linspace(0.05, 0.95, 19)


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
    pit, levels = np.asarray(pit, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    if pit.ndim != 1 or len(pit) == 0 or not ((pit >= 0) & (pit <= 1)).all():
        raise ValueError(f"Expected values in [0, 1] of shape (N,), N > 0, got shape {pit.shape}. Use predict_pit.")
    if levels.ndim != 1 or len(levels) == 0 or not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"Expected levels in (0, 1), such as [0.5, 0.9], got {levels}.")
    inside = np.abs(2 * pit - 1) <= levels[:, None]
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
