"""Temperature scaling, the baseline of recalibration: numpy in, numpy out.

Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2. A mixture has no logits, so its log
probabilities are scaled, ``softmax(log p / T)``; for a single network the result is the same.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pyro_vds.metrics.calibration import checked_predictions

LOWEST, HIGHEST = 0.01, 100.0


def fit_temperature(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the temperature ``T`` with the lowest NLL of ``softmax(log p / T)``.

    The NLL is convex in ``1 / T``. ``T > 1`` means over-confident predictions, ``T < 1`` under-confident ones. An end
    of the range ``0.01`` to ``100`` means that there is no optimum, for instance because every prediction is right.

    Args:
        probs: Class probabilities ``(N, classes)`` of validation data, never of the test data.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.
    """
    probs, labels = checked_predictions(probs, labels)
    log_p, rows = _log(probs), np.arange(len(labels))

    def nll(inverse: float) -> float:
        return -float(log_softmax(log_p * inverse, axis=-1)[rows, labels].mean())

    bounds = (1 / HIGHEST, 1 / LOWEST)
    result: Any = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-8})
    return 1 / float(result.x)


def scale_probs(probs: ArrayLike, temperature: float) -> Float[np.ndarray, "N classes"]:
    """Return ``softmax(log p / T)``, sharper for ``T < 1`` and flatter for ``T > 1``, with the same predicted classes.

    Args:
        probs: Class probabilities ``(N, classes)``.
        temperature: ``T``, for example from :func:`fit_temperature`.

    Raises:
        ValueError: If the probabilities are out of range or the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"Expected a positive temperature, got {temperature}.")
    probs, _ = checked_predictions(probs, np.zeros(len(np.asarray(probs)), dtype=int))
    return np.exp(log_softmax(_log(probs) / temperature, axis=-1))


def _log(probs: Float[np.ndarray, "N classes"]) -> Float[np.ndarray, "N classes"]:
    """Return log probabilities, finite even for probabilities that were rounded to zero."""
    return np.log(np.maximum(probs, np.finfo(np.float64).tiny))
