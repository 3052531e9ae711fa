"""Checks of numeric targets that several likelihoods make."""

import torch
from torch import Tensor

from pyro_vds.spaces.typing import Outputs


def check_numbers(y: Tensor, outputs: Outputs) -> None:
    """Raise unless targets are finite numbers, one for each output of the network.

    Args:
        y: All targets of a data set.
        outputs: Outputs for at least one input.

    Raises:
        ValueError: If the shape is another, or a number is not finite.
    """
    features = outputs.shape[-1]
    expected = (len(y),) if features == 1 else (len(y), features)
    if y.shape != expected:
        remedy = "Use y[:, 0]." if features == 1 and y.shape == (len(y), 1) else "Reshape y or change out_features."
        raise ValueError(
            f"Expected targets of shape {expected} for a network with {features} output(s), got {tuple(y.shape)}. "
            f"{remedy}"
        )
    if not bool(torch.isfinite(y).all()):
        raise ValueError("Expected finite targets, got NaN or infinity. Remove or impute these points.")


def check_counts(y: Tensor, outputs: Outputs) -> None:
    """Raise unless targets are counts, whole numbers of at least 0, one for each output of the network.

    Args:
        y: All targets of a data set, of any type.
        outputs: Outputs for at least one input.

    Raises:
        TypeError: If they are no real numbers.
        ValueError: If the shape is another, or a number is negative, not whole or not finite.
    """
    if y.dtype == torch.bool or y.is_complex():
        raise TypeError(f"Expected counts, got {y.dtype}. Convert them with y.long().")
    check_numbers(y, outputs)
    wrong = (y < 0) | (y != y.round() if y.is_floating_point() else torch.zeros_like(y, dtype=torch.bool))
    if bool(wrong.any()):
        raise ValueError(
            f"Expected counts, whole numbers of at least 0, got {int(wrong.sum())} others, such as {y[wrong][0]:g}. "
            "Do not standardise counts; for other numbers use Gaussian()."
        )
