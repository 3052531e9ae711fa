"""Checks that know nothing of models."""

import math
from numbers import Integral

import torch
from torch import Tensor


def check_inputs(x: Tensor) -> None:
    """Check that there are inputs, that they are floating point or bytes, and finite.

    Args:
        x: Inputs ``(N, ...)``.

    Raises:
        TypeError: If ``x`` is neither a floating-point tensor nor a tensor of bytes (pixels).
        ValueError: If ``x`` is empty or holds NaN or infinity.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"Expected inputs as a torch tensor, got {type(x).__name__}. Use torch.as_tensor(x).")
    if not (x.is_floating_point() or x.dtype == torch.uint8):
        raise TypeError(f"Expected floating-point inputs, or pixels as uint8, got {x.dtype}. Convert with x.float().")
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"Expected at least one input point and a shape (N, ...), got shape {tuple(x.shape)}.")
    if not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x.flatten(1))).any(1).sum())
        raise ValueError(
            f"Expected finite inputs, got NaN or infinity in {bad} of {len(x)} points. Remove or impute these points."
        )


def check_batch_size(batch_size: int) -> None:
    """Raise ``ValueError`` unless a number of points in a batch is a positive whole number."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"Expected a positive whole number as batch_size, got {batch_size!r}.")


def check_positive(**settings: float) -> None:
    """Raise ``ValueError`` unless each setting is positive and finite."""
    for name, value in settings.items():
        if not 0 < value < math.inf:
            raise ValueError(f"Expected a positive, finite {name}, got {value}.")


def check_optimiser(momentum: float, weight_decay: float) -> None:
    """Raise ``ValueError`` unless the settings of the optimiser are in range."""
    if not 0 <= momentum < 1:
        raise ValueError(f"Expected 0 <= momentum < 1, got {momentum}.")
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"Expected a finite weight_decay of at least 0, got {weight_decay}.")
