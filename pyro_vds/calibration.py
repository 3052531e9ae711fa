"""Calibration of class probabilities: numpy in, numpy out.

``probs`` are class probabilities ``(N, classes)`` and ``labels`` integers ``(N,)``.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss


@dataclass(frozen=True)
class ReliabilityTable:
    """Confidence and accuracy of the predicted class in bins of equal width.

    Attributes:
        edges: Bounds of the bins, ``bins + 1`` values from 0 to 1.
        counts: Points in each bin.
        confidence: Mean probability of the predicted class in each bin; NaN in an empty bin.
        accuracy: Fraction of right predictions in each bin; NaN in an empty bin.
    """

    edges: Float[np.ndarray, " edges"]
    counts: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]

    @property
    def ece(self) -> float:
        """Expected calibration error, ``sum_b (n_b / N) |accuracy_b - confidence_b|``."""
        gaps = np.abs(np.nan_to_num(self.accuracy - self.confidence))
        return float((self.counts * gaps).sum() / self.counts.sum())


def reliability_table(probs: ArrayLike, labels: ArrayLike, bins: int = 15) -> ReliabilityTable:
    """Sort predictions into bins of equal width by the probability of the predicted class.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.
        bins: Number of bins; the paper of Guo et al. has 15.

    Raises:
        ValueError: If probabilities, labels or the number of bins are out of range or do not fit.
    """
    probs, labels = _checked(probs, labels)
    if bins < 1:
        raise ValueError(f"Expected at least one bin, got bins={bins}.")
    confidence, hits = probs.max(-1), probs.argmax(-1) == labels
    edges = np.linspace(0, 1, bins + 1)
    # Bins are (lower, upper], as in Guo et al.
    index = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, bins - 1)
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(index, confidence, bins) / counts
        accuracy_in_bin = np.bincount(index, hits, bins) / counts
    return ReliabilityTable(edges, counts, mean_confidence, accuracy_in_bin)


def ece(probs: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Return the expected calibration error of the predicted class, 0 to 1, with bins of equal width.

    ``sum_b (n_b / N) |accuracy_b - confidence_b|`` (Guo et al. 2017, "On Calibration of Modern Neural
    Networks", eq. 3).

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.
        bins: Number of bins.

    Raises:
        ValueError: If probabilities, labels or the number of bins are out of range or do not fit.
    """
    return reliability_table(probs, labels, bins).ece


def nll(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean negative log probability of the true class, nats per point.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.
    """
    probs, labels = _checked(probs, labels)
    return float(log_loss(labels, probs, labels=np.arange(probs.shape[-1])))


def brier(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the Brier score, ``mean_n sum_c (p_nc - [y_n = c])**2``, 0 to 2.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.
    """
    probs, labels = _checked(probs, labels)
    classes = np.arange(probs.shape[-1])
    return float(brier_score_loss(labels, probs, labels=classes, scale_by_half=False))  # pyright: ignore[reportArgumentType]


def accuracy(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the fraction of points whose most probable class is the true one.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.
    """
    probs, labels = _checked(probs, labels)
    return float(accuracy_score(labels, probs.argmax(-1)))


def _checked(probs: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 probabilities that sum to one exactly, and integer labels."""
    p, y = np.asarray(probs, dtype=np.float64), np.asarray(labels)
    if p.ndim != 2 or p.shape[0] == 0 or y.shape != p.shape[:1]:
        raise ValueError(f"Expected probs (N, classes) and labels (N,), N > 0; got {p.shape} and {y.shape}.")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(f"Expected integer labels in 0..{p.shape[1] - 1}, got {y.dtype} {y.min()}..{y.max()}.")
    sums = p.sum(-1, keepdims=True)
    if not (np.isfinite(p).all() and (p >= 0).all() and (np.abs(sums - 1) < 1e-4).all()):
        raise ValueError(
            "Expected rows of probabilities that sum to one; got negative, non-finite or unnormalised values. "
            "Pass predict_proba(...), not logits or log probabilities."
        )
    return p / sums, y
