"""Uncertainty of predictions: selective prediction and out-of-distribution detection.

A score of uncertainty is any number for each point that is larger if the prediction is less certain: an entropy, a
mutual information, one minus the confidence.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score

from pyro_vds.metrics.checks import as_array


@dataclass(frozen=True)
class RiskCoverage:
    """The mean error of the most certain points against their share.

    Attributes:
        coverage: Share of the points that are predicted, ``1 / N`` to 1.
        risk: Mean error of these points, the most certain ones.
        area: Area under the curve (AURC), the mean risk over all coverages; lower is better.
        excess_area: Excess of the area over the area for the best order of the points (E-AURC); 0 is best.
    """

    coverage: Float[np.ndarray, " N"]
    risk: Float[np.ndarray, " N"]
    area: float
    excess_area: float


def risk_coverage(uncertainty: ArrayLike, errors: ArrayLike) -> RiskCoverage:
    """Return the risk-coverage curve of selective prediction, which does not predict the least certain points.

    Geifman and El-Yaniv 2017, "Selective Classification for Deep Neural Networks"; the excess area of Geifman et al.
    2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers". Points with equal scores are in random
    order, over which the curve is the mean. The area for a useless score is the overall error.

    Args:
        uncertainty: A score of each point ``(N,)``; larger is less certain: ``predict_entropy(...).total``, or
            ``predict_disagreement(...)``, each with the ``weights`` of the architectures by name.
        errors: The loss of each point ``(N,)``, for instance ``probs.argmax(1) != labels``.

    Raises:
        ValueError: If the shapes do not fit, or values are not finite.
    """
    score, loss = _finite(uncertainty, "uncertainty"), _finite(errors, "errors")
    if score.shape != loss.shape:
        raise ValueError(f"Expected a score and an error for each point, got {score.shape} and {loss.shape}.")
    _, group = np.unique(score, return_inverse=True)
    expected_loss = (np.bincount(group, loss) / np.bincount(group))[group]
    kept = np.arange(1, len(loss) + 1)
    risk = expected_loss[np.argsort(score)].cumsum() / kept
    best = np.sort(loss).cumsum() / kept
    return RiskCoverage(kept / len(loss), risk, float(risk.mean()), float(risk.mean() - best.mean()))


@dataclass(frozen=True)
class Detection:
    """How well a score separates points outside the distribution (the positive class) from points inside.

    Attributes:
        auroc: Area under the ROC curve, the probability that a point outside has the higher score; 0.5 by chance.
        aupr: Average precision, the area under the precision-recall curve; the share of outside points by chance.
    """

    auroc: float
    aupr: float


def detect_outside(inside: ArrayLike, outside: ArrayLike) -> Detection:
    """Measure a score of uncertainty as a detector of out-of-distribution points.

    Hendrycks and Gimpel 2017, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples".

    Args:
        inside: Scores of points from the distribution ``(N,)``: ``predict_disagreement(model, guide, x)``, which counts
            the architectures alike unless other ``weights`` are named, or ``predict_entropy(...).total``.
        outside: Scores of other points ``(M,)``.

    Raises:
        ValueError: If scores are empty, not a vector, or not finite.
    """
    scores = [_finite(inside, "inside"), _finite(outside, "outside")]
    is_outside = np.repeat([0, 1], [len(part) for part in scores])
    score = np.concatenate(scores)
    return Detection(float(roc_auc_score(is_outside, score)), float(average_precision_score(is_outside, score)))


def _finite(values: ArrayLike, name: str) -> Float[np.ndarray, " N"]:
    """Return a vector in float64."""
    vector = as_array(values).astype(np.float64)
    if vector.ndim != 1 or not len(vector):
        raise ValueError(f"Expected {name} as finite numbers (N,), N > 0, got shape {vector.shape}.")
    if not np.isfinite(vector).all():
        raise ValueError(f"Expected {name} as finite numbers (N,), got {int((~np.isfinite(vector)).sum())} non-finite.")
    return vector
