"""Small operations on tensors that several packages need."""

from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.spaces.typing import Data, WeightedData


def outer_sum(terms: list[Float[Tensor, "*batch _"]]) -> Float[Tensor, "..."]:
    """Return ``out[..., i, j] = terms[0][..., i] + terms[1][..., j]``; a scalar zero without terms."""
    if not terms:
        return torch.zeros(())
    batch = terms[0].shape[:-1]

    def add(total: Tensor, term: Tensor) -> Tensor:
        return total[..., None] + term.reshape(*batch, *[1] * (total.ndim - len(batch)), -1)

    return reduce(add, terms)


def as_pair(batch: Any, name: str) -> Data:
    """Return a batch as a pair of inputs and targets.

    Args:
        batch: A tuple or list of two tensors.
        name: Name of the batch, for the message.

    Raises:
        TypeError: If ``batch`` is not a pair of tensors.
    """
    if isinstance(batch, tuple | list) and len(batch) == 3:
        raise TypeError(f"Expected {name} as a pair (inputs, targets) without weights, got 3 parts. Leave weights out.")
    x, y = as_data(batch, name)[:2]
    return x, y


def as_data(batch: Any, name: str) -> Data | WeightedData:
    """Return a batch as inputs and targets, and the weights of the points if it has them.

    Args:
        batch: A tuple or list of two or three tensors.
        name: Name of the batch, for the message.

    Raises:
        TypeError: If ``batch`` is neither.
    """
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        given = f"{len(batch)} parts" if isinstance(batch, tuple | list) else type(batch).__name__
        raise TypeError(
            f"Expected {name} as a pair (inputs, targets) of tensors, or (inputs, targets, weights), got {given}."
        )
    for part in batch:
        if not isinstance(part, Tensor):
            raise TypeError(
                f"Expected {name} as torch tensors, got {type(part).__name__}. Convert with torch.as_tensor."
            )
    if len(batch) == 3 and not batch[2].is_floating_point():
        raise TypeError(
            f"Expected {name} as a pair (inputs, targets), or with floating-point weights of the points as a third "
            f"part, got {batch[2].dtype} there. Put several inputs into a part of their own."
        )
    return tuple(batch)


def first_points(tensor: Tensor, count: int, dim: int = 0) -> Tensor:
    """Return the first points of inputs or targets.

    Args:
        tensor: Inputs or targets.
        count: Largest number of points.
        dim: The dimension of the points, 0 without replicates.
    """
    return tensor.narrow(dim, 0, min(count, tensor.shape[dim]))
