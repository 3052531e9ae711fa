"""Temperature scaling, the baseline of recalibration: numpy in, numpy out.

Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2. A mixture has no logits, so its log
probabilities are scaled, ``softmax(log p / T)``; for a single network the result is the same.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

from pyro_vds.metrics.checks import as_array, checked_log_probs, checked_predictions, warn_of_tiny

LOWEST, HIGHEST = 0.001, 10_000.0


def fit_temperature(probs: ArrayLike, labels: ArrayLike, *, log: bool = False) -> float:
    """Return the temperature ``T`` with the lowest NLL of ``softmax(log p / T)``.

    The NLL is convex in ``1 / T``, with the derivative ``mean_n (sum_c p_nc(T) log p_nc - log p_n,y_n)``, whose root
    is found. ``T > 1`` means over-confident predictions, ``T < 1`` under-confident ones. An end of the range ``0.001``
    to ``10,000`` means that there is no optimum in it, for instance because every prediction is right. If all
    temperatures are the same, because all predictions are uniform, the result is 1.

    Args:
        probs: Class probabilities ``(N, classes)`` of validation data, never of the test data; or their logarithms.
        labels: True classes ``(N,)``.
        log: Whether ``probs`` are log probabilities, nats: ``predict(model, guide, x).log_probs``. They are exact where
            a probability is too small for a float.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit, or a true class has a log probability of
            minus infinity.

    Warns:
        RuntimeWarning: If a probability is 0, whose logarithm counts as that of the smallest float64, or nearly 0.
    """
    log_p, labels = _log_probs(probs, labels, log)
    true = log_p[np.arange(len(labels)), labels]
    if not np.isfinite(true).all():
        raise ValueError(
            "Expected true classes that are possible, got a log probability of -inf: no temperature changes it."
        )
    highest = log_p.max(-1)
    below = log_p - highest[:, None]
    offset = float((true - highest).mean())
    finite = np.where(np.isfinite(below), below, 0)

    def slope(log_inverse: float) -> float:
        """Return the derivative of the NLL by ``1 / T``."""
        return float((softmax(np.exp(log_inverse) * below, axis=-1) * finite).sum(-1).mean()) - offset

    low, high = -np.log(HIGHEST), -np.log(LOWEST)
    at_low, at_high = slope(low), slope(high)
    if at_low == at_high == 0:
        return 1.0
    if at_low >= 0:
        return HIGHEST
    if at_high <= 0:
        return LOWEST
    root: Any = brentq(slope, low, high, xtol=1e-12)
    return float(np.exp(-root))


def scale_probs(probs: ArrayLike, temperature: float, *, log: bool = False) -> Float[np.ndarray, "N classes"]:
    """Return ``softmax(log p / T)``, sharper for ``T < 1`` and flatter for ``T > 1``, with the same predicted classes.

    Args:
        probs: Class probabilities ``(N, classes)``, or their logarithms.
        temperature: ``T``, for example from :func:`fit_temperature`.
        log: Whether ``probs`` are log probabilities, nats.

    Returns:
        Probabilities in float64.

    Raises:
        ValueError: If the probabilities are out of range or the temperature is not positive.

    Warns:
        RuntimeWarning: If a probability is 0, whose logarithm counts as that of the smallest float64, or nearly 0.
    """
    if not temperature > 0:
        raise ValueError(f"Expected a positive temperature, got {temperature}.")
    log_p, _ = _log_probs(probs, np.zeros(len(as_array(probs)), dtype=int), log)
    return np.exp(log_softmax(log_p / temperature, axis=-1))


def _log_probs(probs: ArrayLike, labels: ArrayLike, log: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return log probabilities, finite even for probabilities that were rounded to zero; and the labels."""
    if log:
        return checked_log_probs(probs, labels)
    probs, labels = checked_predictions(probs, labels)
    warn_of_tiny(probs)
    probs = probs.astype(np.float64)
    return np.log(np.where(probs == 0, np.finfo(np.float64).smallest_subnormal, probs)), labels
