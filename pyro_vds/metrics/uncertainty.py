"""Uncertainty of class predictions: its split across depths, selective prediction, out-of-distribution detection.

Entropies are in nats. A score of uncertainty is any number for each point that is larger where the prediction is less
certain: an entropy, a mutual information, one minus the confidence.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor


@dataclass(frozen=True)
class RiskCoverage:
    """The mean error of the predictions that are kept, against how many are kept.

    Attributes:
        coverage: Share of the points that are predicted, ``1 / N`` to 1.
        risk: Mean error of those points, the most certain ones.
        area: Area under the curve (AURC), the mean risk over all coverages; lower is better.
        excess_area: What it is above that of the best order for the same errors (E-AURC); 0 is best.
    """

    coverage: Float[np.ndarray, " N"]
    risk: Float[np.ndarray, " N"]
    area: float
    excess_area: float


def risk_coverage(uncertainty: ArrayLike, errors: ArrayLike) -> RiskCoverage:
    """Return the risk-coverage curve of selective prediction, which leaves the least certain points to others.

    Geifman and El-Yaniv 2017, "Selective Classification for Deep Neural Networks"; the excess area of Geifman et al.
    2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers". Among equal scores the order is random;
    the curve is the mean over it. A useless score has the overall error as its area.

    Args:
        uncertainty: A score of each point ``(N,)``; larger is less certain.
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
    """How well a score tells points from outside the distribution from those inside; outside is the positive class.

    Attributes:
        auroc: Area under the ROC curve, the probability that a point from outside has the higher score; 0.5 is chance.
        aupr: Average precision, the area under the precision-recall curve; the share of outside points is chance.
    """

    auroc: float
    aupr: float


def detect_outside(inside: ArrayLike, outside: ArrayLike) -> Detection:
    """Measure a score of uncertainty as a detector of out-of-distribution points.

    Hendrycks and Gimpel 2017, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples".

    Args:
        inside: Scores of points from the distribution ``(N,)``, for instance ``predict_entropy(...).total``.
        outside: Scores of other points ``(M,)``.

    Raises:
        ValueError: If either is empty, not a vector, or not finite.
    """
    scores = [_finite(inside, "inside"), _finite(outside, "outside")]
    is_outside = np.repeat([0, 1], [len(part) for part in scores])
    score = np.concatenate(scores)
    return Detection(float(roc_auc_score(is_outside, score)), float(average_precision_score(is_outside, score)))


def _finite(values: ArrayLike, name: str) -> Float[np.ndarray, " N"]:
    """Return a vector in float64; tensors may be on any device."""
    found = np.asarray(values.cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise ValueError(f"Expected {name} as finite numbers (N,), N > 0, got shape {found.shape} or non-finite ones.")
    return found
