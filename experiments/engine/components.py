"""Predictions as weighted components: depths of one network, members of an ensemble, or passes with dropout.

The network runs once; every way to weigh its components is measured from the same outputs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal

from pyro_vds.datasets.dataset import DataSet
from pyro_vds.infer.entropy import split_entropy
from pyro_vds.metrics import calibration
from pyro_vds.metrics.uncertainty import detect_outside
from pyro_vds.spaces.typing import Data

TIMED_POINTS = 1000


@dataclass(frozen=True)
class Components:
    """What each component says about some points.

    Attributes:
        outputs: Log class probabilities ``(component, N, classes)``, or means of numbers ``(component, N, 1)``.
        scales: The noise of each component in standardised units ``(component,)``; ``None`` for classes.
    """

    outputs: Tensor
    scales: Tensor | None = None

    def log_prob(self, y: Tensor) -> Tensor:
        """Return the log density of each target under each component ``(component, N)``, nats, in double precision."""
        outputs = self.outputs.double()
        if self.scales is None:
            return outputs[:, torch.arange(len(y)), y]
        return Normal(outputs[..., 0], self.scales.double()[:, None]).log_prob(y.double())


Predict = Callable[[Tensor], Components]


@dataclass(frozen=True)
class Row:
    """A way to predict from components.

    Attributes:
        weights: Weight of each component ``(component,)``.
        seconds: Time of the training of all networks that it needs.
        milliseconds: Time of a prediction for 1,000 points.
        temperature: Temperature that divides the log class probabilities.
    """

    weights: Tensor
    seconds: float
    milliseconds: float
    temperature: float = 1.0


def joined(parts: Sequence[Components]) -> Components:
    """Return the components of several networks as one."""
    scales = [part.scales for part in parts if part.scales is not None]
    return Components(torch.cat([part.outputs for part in parts]), torch.cat(scales) if scales else None)


def measured(components: Components, row: Row, test: Data, data: DataSet) -> dict[str, float]:
    """Return log-likelihood (nats per point, units of the data), error or RMSE, and ECE where targets are classes.

    Args:
        components: What is said about the test inputs.
        row: How it is weighed.
        test: Test inputs and targets.
        data: The data set, for its units.
    """
    y, log_weights = test[1], row.weights.double().log()
    if data.target_std is not None:
        assert data.target_mean is not None
        std = float(data.target_std)
        log_prob = (components.log_prob(y) + log_weights[:, None]).logsumexp(0)
        mean = (row.weights.double()[:, None] * components.outputs[..., 0].double()).sum(0)
        rmse = float((mean - y.double()).square().mean().sqrt()) * std
        return {"log_likelihood": float(log_prob.mean()) - math.log(std), "rmse": rmse}
    outputs = (components.outputs.double() / row.temperature).log_softmax(-1)
    mixed = (outputs + log_weights[:, None, None]).logsumexp(0)
    probs, labels = mixed.exp().numpy(), y.numpy()
    return {
        "log_likelihood": float(mixed[torch.arange(len(y)), y].mean()),
        "error": 1 - calibration.accuracy(probs, labels),
        "ece": calibration.ece(probs, labels),
    }


def stacked_weights(log_prob: Tensor, steps: int = 300) -> Tensor:
    """Return the weights that maximise the log score of the mixture (Yao et al. 2018), by EM from uniform ones.

    Args:
        log_prob: Log density of held-out targets under each component ``(component, N)``, nats.
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


def detection(inside: Components, outside: Components, rows: Mapping[str, Row]) -> dict[str, dict[str, float]]:
    """Return how well points of another data set are told apart: AUROC of the entropy and the mutual information.

    Args:
        inside: What is said about test points.
        outside: What is said about points of the other set.
        rows: Ways to weigh the components.
    """
    found = {}
    for name, row in rows.items():
        splits = [split_entropy(part.outputs.double(), row.weights.double().log()) for part in (inside, outside)]
        found[name] = {"entropy": detect_outside(*(split.total for split in splits)).auroc}
        if int((row.weights > 0).sum()) > 1:
            found[name]["mutual_information"] = detect_outside(*(s.mutual_information for s in splits)).auroc
    return found
