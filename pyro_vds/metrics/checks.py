"""Checks of what measures are given: arrays of numpy or torch, on any device and in any precision."""

import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from torch import Tensor


def as_array(values: ArrayLike) -> np.ndarray:
    """Return values as an array in the precision that they came in; bfloat16, which numpy lacks, becomes float32.

    Args:
        values: Numbers, an array, or a tensor on any device, with or without a gradient.
    """
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def rounding(values: ArrayLike) -> float:
    """Return the relative error that sums of rounded probabilities may have: 16 units of rounding, at least 1e-4.

    In 16 bit the probabilities of a softmax are wrong in their last bits: 0.016 for float16, 0.125 for bfloat16.

    Args:
        values: The probabilities, in the precision that they were computed in.
    """
    if isinstance(values, Tensor):
        floating = values.is_floating_point()
        eps = torch.finfo(values.dtype).eps if floating else 0.0
    else:
        dtype = np.asarray(values).dtype
        eps = np.finfo(dtype).eps if np.issubdtype(dtype, np.floating) else 0.0
    return max(1e-4, 16 * float(eps))


def checked_predictions(
    probs: ArrayLike, labels: ArrayLike
) -> tuple[Float[np.ndarray, "N classes"], Int[np.ndarray, " N"]]:
    """Return probabilities as they came, in a floating type, and integer labels.

    Args:
        probs: Class probabilities ``(N, classes)``. Their sums may differ from one by what their precision rounds.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If probabilities or labels are out of range or do not fit.
    """
    p, y = _fitting(probs, labels, "probs")
    with np.errstate(invalid="ignore", over="ignore"):
        sums = p.sum(-1, dtype=np.float64)
    if not ((p >= 0).all() and (np.abs(sums - 1) < rounding(probs)).all()):
        raise ValueError(
            "Expected rows of probabilities that sum to one, got negative, non-finite or unnormalised values. "
            "Pass predict_proba(...), not logits or log probabilities."
        )
    return np.minimum(p, 1) if (p > 1).any() else p, y  # 16 bit rounds a probability to 1.008


def checked_log_probs(
    log_probs: ArrayLike, labels: ArrayLike
) -> tuple[Float[np.ndarray, "N classes"], Int[np.ndarray, " N"]]:
    """Return log probabilities in float64 whose exponentials sum to one, and integer labels.

    Args:
        log_probs: Log class probabilities ``(N, classes)``, nats; minus infinity for a class that cannot be.
        labels: True classes ``(N,)``.

    Raises:
        ValueError: If log probabilities or labels are out of range or do not fit.
    """
    found, y = _fitting(log_probs, labels, "log probabilities")
    log_p = found.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        sums = logsumexp(log_p, axis=-1, keepdims=True)
        fits = np.abs(np.expm1(sums)) < rounding(log_probs)
    if not fits.all():
        raise ValueError(
            "Expected rows of log probabilities whose exponentials sum to one, got others. Pass "
            "predict(model, guide, x).log_probs, or logits through a log-softmax."
        )
    return log_p - sums, y


def warn_of_tiny(probs: Float[np.ndarray, "*any"]) -> None:
    """Warn of probabilities that are 0 or near it, whose logarithms are unknown, or wrong by up to 0.7.

    Args:
        probs: Probabilities whose logarithm is taken.

    Warns:
        RuntimeWarning: If a probability is below the smallest normal number of its type.
    """
    tiny = np.finfo(probs.dtype).smallest_normal
    count = int((probs < tiny).sum())
    if count:
        warnings.warn(
            f"Expected probabilities whose logarithm is known, got {count} of {probs.size} that are 0 or below "
            f"{tiny:.1e}, the smallest normal {probs.dtype}. Pass log probabilities with log=True: "
            "predict(model, guide, x).log_probs.",
            RuntimeWarning,
            skip_file_prefixes=(str(Path(__file__).parent),),
        )


def _fitting(values: ArrayLike, labels: ArrayLike, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a floating matrix and the labels of its rows."""
    p, y = as_array(values), as_array(labels)
    p = p if np.issubdtype(p.dtype, np.floating) else p.astype(np.float64)
    if p.ndim != 2 or p.shape[0] == 0 or y.shape != p.shape[:1]:
        raise ValueError(f"Expected {name} (N, classes) and labels (N,), N > 0; got {p.shape} and {y.shape}.")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= p.shape[1]:
        raise ValueError(f"Expected integer labels in 0..{p.shape[1] - 1}, got {y.dtype} {y.min()}..{y.max()}.")
    return p, y
