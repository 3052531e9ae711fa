"""Predictions of single networks and of several, and what is measured of them."""

import math
from collections.abc import Callable, Sequence
from statistics import median
from time import process_time
from typing import Any

import torch
from torch import Tensor

from pyro_vds.datasets.dataset import DataSet
from pyro_vds.infer.predict import Prediction, Want
from pyro_vds.metrics import calibration, intervals
from pyro_vds.ops.entropy import split_entropy

TIMED_POINTS = 1000
OF_CLASSES: tuple[Want, ...] = ("log_prob", "probs", "entropy")
OF_NUMBERS: tuple[Want, ...] = ("log_prob", "mean", "pit")


def combined(members: Sequence[Prediction]) -> Prediction:
    """Return the mixture of some predictions with equal weights.

    Args:
        members: The predictions, with the quantities of :data:`OF_CLASSES` or :data:`OF_NUMBERS`.
    """
    log_weights = torch.full((len(members),), -math.log(len(members)))
    each = {name: torch.stack([member[name] for member in members]) for name in members[0]}
    log_prob = (each["log_prob"] + log_weights[:, None]).logsumexp(0)
    if "probs" not in each:  # distribution functions are averaged as densities are
        return {"log_prob": log_prob, "mean": each["mean"].mean(0), "pit": each["pit"].mean(0)}
    split = split_entropy(each["probs"].log(), log_weights)
    return {"log_prob": log_prob, "probs": each["probs"].mean(0)} | vars(split)


def measured(found: Prediction, y: Tensor, data: DataSet) -> dict[str, float]:
    """Return log-likelihood (nats per point), error and ECE (15 bins); or log-likelihood, RMSE and interval error.

    Those of numbers are in the units of the source.

    Args:
        found: The prediction.
        y: The targets.
        data: Their data set.
    """
    log_likelihood = float(found["log_prob"].double().mean())
    if data.target_std is None:
        probs, labels = found["probs"].double().numpy(), y.numpy()
        return {
            "log_likelihood": log_likelihood,
            "error": 1 - calibration.accuracy(probs, labels),
            "ece": calibration.ece(probs, labels),
        }
    unit = float(data.target_std)
    return {
        "log_likelihood": log_likelihood - math.log(unit),
        "rmse": unit * float((found["mean"].double() - y).square().mean().sqrt()),
        "interval_error": intervals.interval_error(found["pit"].double().clamp(0, 1)),
    }


@torch.inference_mode()
def milliseconds(predict: Callable[[Tensor], Any], x: Tensor) -> float:
    """Return the median CPU time of three predictions after a first one, milliseconds for 1,000 points.

    Args:
        predict: The prediction.
        x: Points.
    """
    some, times = x[:TIMED_POINTS], []
    for _ in range(4):
        started = process_time()
        predict(some)
        times.append(process_time() - started)
    return 1e6 * median(times[1:]) / len(some)
