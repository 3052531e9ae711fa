"""Calibration of class probabilities: numpy in, numpy out.

``probs`` are class probabilities ``(N, classes)`` and ``labels`` integers ``(N,)``, as arrays or tensors. Probabilities
are taken in the precision that they come in, sums are made in float64, and no measure needs more memory than a few
times ``N * classes`` numbers. Of equally probable classes the first is predicted.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score

from pyro_vds.metrics.checks import checked_log_probs, checked_predictions, rounding, warn_of_tiny

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
        filled = self.counts > 0
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float(self.counts[filled] @ gaps / self.counts.sum())


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


def nll(probs: ArrayLike, labels: ArrayLike, *, log: bool = False) -> float:
    """Return the mean negative log probability of the true class, nats per point.

    Args:
        probs: Class probabilities ``(N, classes)``, or their logarithms.
        labels: True classes ``(N,)``.
        log: Whether ``probs`` are log probabilities, nats: ``predict(model, guide, x).log_probs``. They are exact where
            a probability is too small for a float.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.

    Warns:
        RuntimeWarning: If the probability of a true class is 0, so that the result is infinity, or nearly 0.
    """
    if log:
        log_p, labels = checked_log_probs(probs, labels)
        return float(-log_p[np.arange(len(labels)), labels].mean())
    probs, labels = checked_predictions(probs, labels)
    true = probs[np.arange(len(labels)), labels]
    warn_of_tiny(true)
    # scikit-learn's log_loss would clip probabilities at 2e-16; here an over-confident error can cost infinity. The sum
    # tells a probability that was rounded to 1 from a certain one.
    with np.errstate(divide="ignore"):
        return float((np.log(probs.sum(-1, dtype=np.float64)) - np.log(true.astype(np.float64))).mean())


def brier(probs: ArrayLike, labels: ArrayLike) -> float:
    """Return the Brier score, ``mean_n sum_c (p_nc - [y_n = c])**2``, 0 to 2.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.
    """
    probs, labels = checked_predictions(probs, labels)
    differences = probs.astype(np.float64)
    differences[np.arange(len(labels)), labels] -= 1
    return float(np.square(differences, out=differences).sum(-1).mean())


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
        confidence: Probability of the predicted class, or of any event. A confidence on the edge of two bins, in the
            precision that it comes in, is in the lower one.
        hits: Whether the event happened.
        bins: Number of bins.
        binning: ``"width"`` or ``"mass"``, as in :func:`reliability_table`.

    Raises:
        ValueError: If there are no confidences, one is no probability, or the number of bins or their kind is out of
            range.
    """
    if len(confidence) == 0 or len(hits) != len(confidence) or not _are_shares(confidence):
        raise ValueError(
            f"Expected confidences in [0, 1] and as many hits, at least one; got {len(confidence)} and {len(hits)}."
        )
    if bins < 1:
        raise ValueError(f"Expected at least one bin, got bins={bins}.")
    if binning not in get_args(Binning):
        raise ValueError(f"Expected binning of {', '.join(map(repr, get_args(Binning)))}, got {binning!r}.")
    edges = np.arange(bins + 1) / bins  # correctly rounded, unlike linspace: a confidence of 3 / 15 is on an edge
    if binning == "mass":
        # Edges at predictions, so that equal predictions share a bin: the ceil(N b / bins)-th smallest.
        edges[1:-1] = np.sort(confidence)[(len(confidence) * np.arange(1, bins) - 1) // bins]
    # Bins are (lower, upper], as in Guo et al.; the first includes 0.
    index = np.digitize(confidence, edges[1:-1].astype(confidence.dtype), right=True)
    counts = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(index, confidence.astype(np.float64), bins) / counts
        accuracy_in_bin = np.bincount(index, hits, bins) / counts
    return ReliabilityTable(edges, counts, mean_confidence, accuracy_in_bin)


def _are_shares(values: Float[np.ndarray, " N"]) -> bool:
    """Return whether all values are in ``[0, 1]``, up to rounding."""
    return bool(((values >= 0) & (values <= 1 + rounding(values))).all())
