"""Checks that know nothing of models."""

import math
from numbers import Integral

import torch
from torch import Tensor

from pyro_vds.ops.inputs import parts
from pyro_vds.spaces.typing import Inputs


def check_inputs(x: Inputs, dim: int = 0) -> None:
    """Check that there are inputs, that all parts have the same points, and that floating-point parts are finite.

    Whether the network takes integers, such as token ids, is for the network to say.

    Args:
        x: Inputs ``(N, ...)``.
        dim: The dimension of the points, 1 behind that of replicates.

    Raises:
        ValueError: If a part is empty, or holds NaN or infinity, or the numbers of points differ.
    """
    for name, part in parts(x).items():
        # A vector is one id for each point, or a part of several, but of numbers most often a forgotten dimension.
        dims = 2 if isinstance(x, Tensor) and part.is_floating_point() else 1
        if part.ndim < dim + dims or part.numel() == 0:
            raise ValueError(
                f"Expected at least one input point and a shape (N, ...), got {name} of shape {tuple(part.shape)}."
            )
        if part.is_floating_point() and not bool(torch.isfinite(part).all()):
            rows = ~torch.isfinite(part.flatten(0, dim).flatten(1))
            raise ValueError(
                f"Expected finite inputs, got NaN or infinity in {int(rows.any(1).sum())} of {len(rows)} points of "
                f"{name}. Remove or impute these points."
            )
    sizes = {name: part.shape[dim] for name, part in parts(x).items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"Expected the same number of points in all parts of the inputs, got {sizes}.")


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
