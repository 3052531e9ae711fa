"""Bootstrap intervals of measures of class probabilities: numpy in, numpy out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap

from pyro_vds.metrics.checks import checked_predictions


@dataclass(frozen=True)
class Interval:
    """A measure with a bootstrap interval.

    Attributes:
        estimate: The measure on the original points.
        low: Lower end.
        high: Upper end.
    """

    estimate: float
    low: float
    high: float


def bootstrap_interval(
    measure: Callable[[np.ndarray, np.ndarray], float],
    probs: ArrayLike,
    labels: ArrayLike,
    *,
    rng: np.random.Generator | int,
    resamples: int = 1000,
    prob: float = 0.95,
) -> Interval:
    """Return a percentile bootstrap interval of a measure, over points drawn with replacement (Efron 1979).

    It covers the error of a finite test set, not the differences between training runs. Sampling noise increases
    calibration errors, and resamples have more of it: their intervals are too high, and can lie above the estimate.

    Args:
        measure: A function of probabilities and labels, for instance :func:`pyro_vds.calibration.ece` or
            ``lambda p, y: ece(p, y, 10)``.
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.
        rng: A generator or a seed.
        resamples: Number of resamples.
        prob: Coverage of the interval.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit, or there are fewer than two points.
    """
    probs, labels = checked_predictions(probs, labels)
    if len(labels) < 2:
        raise ValueError("Expected at least two points to resample, got one.")
    result = bootstrap(
        (np.arange(len(labels)),),
        lambda drawn: measure(probs[drawn], labels[drawn]),
        vectorized=False, n_resamples=resamples, confidence_level=prob, method="percentile", rng=rng,
    )  # fmt: skip
    low, high = result.confidence_interval
    return Interval(float(measure(probs, labels)), float(low), float(high))
