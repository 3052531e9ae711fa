"""The likelihood of an architecture of which only the accuracy is known."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def accuracy_log_likelihood(
    accuracy: Float[Tensor, "*architectures"], n: float, classes: int
) -> Float[Tensor, "*architectures"]:
    """Return the log-likelihood of ``n`` labels under a classifier of a given accuracy, nats.

    ``n [acc log acc + (1 - acc) log((1 - acc) / (C - 1))]`` is that of the classifier which gives the class that it
    predicts the probability ``acc``, shares the rest equally among the other ``C - 1`` classes, and is right in the
    share ``acc`` of the points. It is a proper likelihood of labels, and among the classifiers of that accuracy and
    confidence the one of largest entropy. It rises with the accuracy above ``1 / C``, is ``-n log C`` at chance, and 0
    at accuracy 1. Without the ``C - 1`` an accuracy of 10 % would be as likely as one of 90 %.

    ``n`` is a temperature as much as a number of points: beyond about 1,000 it resolves differences that are within
    those of two trainings of one architecture.

    Args:
        accuracy: Share of points that each architecture classifies correctly, in ``[0, 1]``: that of
            :func:`pyro_vds.datasets.nas_bench_201`, for instance.
        n: Number of points that the table is to count as.
        classes: Number of classes ``C``, at least 2.

    Raises:
        TypeError: If the accuracies are not a floating-point tensor.
        ValueError: If a number is out of range.
    """
    if not isinstance(accuracy, Tensor) or not accuracy.is_floating_point():
        given = accuracy.dtype if isinstance(accuracy, Tensor) else type(accuracy).__name__
        raise TypeError(
            f"Expected accuracies as a floating-point tensor, got {given}. Use torch.as_tensor(...).double()."
        )
    if not bool(((accuracy >= 0) & (accuracy <= 1)).all()):
        raise ValueError(
            f"Expected accuracies in [0, 1], got {float(accuracy.min())} to {float(accuracy.max())}. Divide percent "
            "by 100."
        )
    if not 0 < n < math.inf:
        raise ValueError(f"Expected a positive, finite n, got {n}.")
    if classes < 2:
        raise ValueError(f"Expected at least 2 classes, got {classes}.")
    wrong = 1 - accuracy
    return n * (torch.xlogy(accuracy, accuracy) + torch.xlogy(wrong, wrong / (classes - 1)))
