"""Calibration of class probabilities: numpy in, numpy out.

``probs`` are class probabilities ``(N, classes)`` and ``labels`` integers ``(N,)``.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score

Binning = Literal["width", "mass"]


@dataclass(frozen=True)
class ReliabilityTable:
    """Confidence and accuracy in bins of the confidence.

    Attributes:
        edges: Bounds of the bins, ``bins + 1`` values from 0 to 1.
        counts: Points in each bin.
        confidence: Mean probability of the event in each bin, usually of the predicted class; NaN in an empty bin.
        accuracy: Fraction of points in each bin for which the event happened; NaN in an empty bin.
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


def reliability_table(
    probs: ArrayLike, labels: ArrayLike, bins: int = 15, *, binning: Binning = "width"
) -> ReliabilityTable:
    """Sort predictions into bins by the probability of the predicted class.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.
        bins: Number of bins; Guo et al. use 15.
        binning: ``"width"``: bins of equal width (Guo et al. 2017); ``"mass"``: bins with equally many points (Nguyen
            and O'Connor 2015), except that equal probabilities stay together.

    Raises:
        ValueError: If probabilities, labels, the number of bins or their kind are out of range or do not fit.
    """
    probs, labels = checked_predictions(probs, labels)
    return confidence_table(probs.max(-1), probs.argmax(-1) == labels, bins, binning)


def ece(probs: ArrayLike, labels: ArrayLike, bins: int = 15, *, binning: Binning = "width") -> float:
    """Return the expected calibration error of the predicted class, 0 to 1.

    ``sum_b (n_b / N) |accuracy_b - confidence_b|`` (Guo et al. 2017, "On Calibration of Modern Neural
    Networks", eq. 3). Sampling noise increases it: even a calibrated predictor is above 0, and more so with more bins.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.
        bins: Number of bins.
        binning: ``"width"`` or ``"mass"``, as in :func:`reliability_table`.

    Raises:
        ValueError: If probabilities, labels, the number of bins or their kind are out of range or do not fit.
    """
    return reliability_table(probs, labels, bins, binning=binning).ece


def classwise_ece(probs: ArrayLike, labels: ArrayLike, bins: int = 15, *, binning: Binning = "width") -> float:
    """Return the calibration error of all class probabilities, not only of the largest, 0 to 1.

    ``(1 / C) sum_c sum_b (n_bc / N) |frequency_bc - mean probability_bc|`` with the points binned by ``p(c)`` for each
    class (Kull et al. 2019, "Beyond Temperature Scaling", eq. 3). With many classes, most probabilities are near 0,
    and the measure is small.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.
        bins: Number of bins.
        binning: ``"width"`` or ``"mass"``, as in :func:`reliability_table`.

    Raises:
        ValueError: If probabilities, labels, the number of bins or their kind are out of range or do not fit.
    """
    probs, labels = checked_predictions(probs, labels)
    return float(np.mean([confidence_table(p, labels == c, bins, binning).ece for c, p in enumerate(probs.T)]))


def nll(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean negative log probability of the true class, nats per point.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.
    """
    probs, labels = checked_predictions(probs, labels)
    # scikit-learn's log_loss would clip probabilities at 2e-16; here an over-confident error can cost infinity.
    with np.errstate(divide="ignore"):
        return float(-np.log(probs[np.arange(len(labels)), labels]).mean())


def brier(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the Brier score, ``mean_n sum_c (p_nc - [y_n = c])**2``, 0 to 2.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.
    """
    probs, labels = checked_predictions(probs, labels)
    return float(((probs - np.eye(probs.shape[-1])[labels]) ** 2).sum(-1).mean())


def accuracy(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the fraction of points whose most probable class is the true one.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.
    """
    probs, labels = checked_predictions(probs, labels)
    return float(accuracy_score(labels, probs.argmax(-1)))


@dataclass(frozen=True)
class BrierDecomposition:
    """The parts of a Brier score, ``brier = reliability - resolution + uncertainty + within_bin``.

    Attributes:
        reliability: Distance of probabilities from frequencies, 0 if calibrated; lower is better.
        resolution: Distance of the frequencies in bins from the overall frequencies; higher is better.
        uncertainty: The score of predicting the overall frequencies, a property of the data.
        within_bin: Variance of predictions within bins, less twice their covariance with the outcomes. 0 if all
            predictions of a bin are the same, and negative for calibrated predictions that differ.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bin: float


def brier_decomposition(
    probs: ArrayLike, labels: ArrayLike, bins: int = 15, *, binning: Binning = "width"
) -> BrierDecomposition:
    """Split the Brier score into reliability, resolution and uncertainty, summed over the classes.

    For each class, with means ``p_b`` and frequencies ``o_b`` of its bins: ``sum_b (n_b / N) (p_b - o_b)**2``,
    ``sum_b (n_b / N) (o_b - o)**2`` and ``o (1 - o)`` (Murphy 1973); the rest comes from the bins (Stephenson et al.
    2008, "Two Extra Components in the Brier Score Decomposition").

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.
        bins: Number of bins.
        binning: ``"width"`` or ``"mass"``, as in :func:`reliability_table`.

    Raises:
        ValueError: If probabilities, labels, the number of bins or their kind are out of range or do not fit.
    """
    probs, labels = checked_predictions(probs, labels)
    reliability = resolution = uncertainty = 0.0
    for c, p in enumerate(probs.T):
        table = confidence_table(p, labels == c, bins, binning)
        filled = table.counts > 0
        share, forecast, observed = table.counts[filled] / len(p), table.confidence[filled], table.accuracy[filled]
        overall = (labels == c).mean()
        reliability += share @ (forecast - observed) ** 2
        resolution += share @ (observed - overall) ** 2
        uncertainty += overall * (1 - overall)
    within_bin = brier(probs, labels) - reliability + resolution - uncertainty
    return BrierDecomposition(float(reliability), float(resolution), float(uncertainty), float(within_bin))


def confidence_table(
    confidence: Float[np.ndarray, " N"], hits: Bool[np.ndarray, " N"], bins: int = 15, binning: Binning = "width"
) -> ReliabilityTable:
    """Sort predictions into bins by their confidence.

    Args:
        confidence: Probability of the predicted class, or of any event.
        hits: Whether the event happened.
        bins: Number of bins.
        binning: ``"width"`` or ``"mass"``, as in :func:`reliability_table`.

    Raises:
        ValueError: If the number of bins or their kind is out of range.
    """
    if bins < 1:
        raise ValueError(f"Expected at least one bin, got bins={bins}.")
    if binning not in get_args(Binning):
        raise ValueError(f"Expected binning of {', '.join(map(repr, get_args(Binning)))}, got {binning!r}.")
    edges = np.linspace(0, 1, bins + 1)
    if binning == "mass":
        # Edges at predictions, so that equal predictions share a bin.
        edges[1:-1] = np.quantile(confidence, edges[1:-1], method="inverted_cdf")
    # Bins are (lower, upper], as in Guo et al.; the first includes 0.
    index = np.digitize(confidence, edges[1:-1], right=True)
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(index, confidence, bins) / counts
        accuracy_in_bin = np.bincount(index, hits, bins) / counts
    return ReliabilityTable(edges, counts, mean_confidence, accuracy_in_bin)


def checked_predictions(probs: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return float64 probabilities that sum to one exactly, and integer labels.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.
    """
    p, y = np.asarray(probs, dtype=np.float64), np.asarray(labels)
    if p.ndim != 2 or p.shape[0] == 0 or y.shape != p.shape[:1]:
        raise ValueError(f"Expected probs (N, classes) and labels (N,), N > 0; got {p.shape} and {y.shape}.")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(f"Expected integer labels in 0..{p.shape[1] - 1}, got {y.dtype} {y.min()}..{y.max()}.")
    sums = p.sum(-1, keepdims=True)
    if not (np.isfinite(p).all() and (p >= 0).all() and (np.abs(sums - 1) < 1e-4).all()):
        raise ValueError(
            "Expected rows of probabilities that sum to one, got negative, non-finite or unnormalised values. "
            "Pass predict_proba(...), not logits or log probabilities."
        )
    return p / sums, y
