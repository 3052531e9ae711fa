"""Predictions as weighted components: depths of one network, or members of an ensemble.

The network runs once; every way to weigh its components is measured from the same outputs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from pyro_vds.metrics import calibration

TIMED_POINTS = 1000

# Maps inputs to the log class probabilities of each component (component, N, classes).
Predict = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Row:
    """A way to predict from components.

    Attributes:
        weights: Weight of each component ``(component,)``.
        seconds: Time of the training of all networks that it predicts with.
        milliseconds: Time of a prediction for 1,000 points.
    """

    weights: Tensor
    seconds: float
    milliseconds: float


def log_prob(outputs: Tensor, y: Tensor) -> Tensor:
    """Return the log probability of each label under each component ``(component, N)``, nats, in double precision."""
    return outputs.double()[:, torch.arange(len(y)), y]


def measured(outputs: Tensor, weights: Tensor, y: Tensor) -> dict[str, float]:
    """Return log-likelihood (nats per point), error and ECE (15 bins) of a mixture.

    Args:
        outputs: Log class probabilities of each component.
        weights: Weight of each component.
        y: Labels.
    """
    mixed = (outputs.double() + weights.double().log()[:, None, None]).logsumexp(0)
    probs, labels = mixed.exp().numpy(), y.numpy()
    return {
        "log_likelihood": float(mixed[torch.arange(len(y)), y].mean()),
        "error": 1 - calibration.accuracy(probs, labels),
        "ece": calibration.ece(probs, labels),
    }


def stacked_weights(log_prob: Tensor, steps: int = 300) -> Tensor:
    """Return the weights that maximise the log score of the mixture (Yao et al. 2018), by EM from uniform ones.

    Args:
        log_prob: Log probability of held-out labels under each component ``(component, N)``, nats.
        steps: Steps of EM.
    """
    weights = torch.full((len(log_prob),), 1 / len(log_prob), dtype=log_prob.dtype)
    for _ in range(steps):
        weights = (log_prob + weights.log()[:, None]).softmax(0).mean(1)
    return weights


def milliseconds(predict: Callable[[Tensor], Any], x: Tensor) -> float:
    """Return the median time of three predictions, milliseconds for 1,000 points."""
    some, times = x[:TIMED_POINTS], []
    for _ in range(3):
        started = perf_counter()
        predict(some)
        times.append(perf_counter() - started)
    return 1e6 * median(times) / len(some)
