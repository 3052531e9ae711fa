"""What of the architectures stays when a network is cut, and where the mass of the others goes."""

import math
from collections.abc import Mapping
from numbers import Integral
from typing import TypedDict

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.models.vds_model import VDSModel


class Cut(TypedDict, total=False):
    """The architecture that a network is cut to, as keyword arguments of :func:`pyro_vds.prune`."""

    depth: int
    width: int


def chosen_indices(model: VDSModel, depth: int | None = None, width: int | None = None) -> dict[str, int]:
    """Return the index along each axis that is cut.

    Args:
        model: The model.
        depth: The largest depth that stays; all unless given.
        width: The width that stays; all unless given.

    Raises:
        TypeError: If one is not an integer.
        ValueError: If the model has no such axis, or one is out of range.
    """
    choice: dict[str, int] = {}
    for axis, value in (("depth", depth), ("width", width)):
        if value is None:
            continue
        if axis not in model.axes:
            raise ValueError(f"Expected a model with an axis {axis!r} to cut, got axes {list(model.axes)}.")
        choice[axis] = entry_index(axis, value, model.coords[axis])
    return choice


def entry_index(axis: str, value: int, entries: tuple[int, ...]) -> int:
    """Return where an entry stands on its axis.

    Args:
        axis: Name of the axis.
        value: The entry: a depth, a width, ...
        entries: All of them.

    Raises:
        TypeError: If the entry is not an integer.
        ValueError: If there is none like it.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"Expected {axis} as an int, got {value!r}.")
    if value not in entries:
        there = f"0..{entries[-1]}" if axis == "depth" else str(list(entries))
        raise ValueError(f"Expected a {axis} in {there}, got {value}.")
    return entries.index(int(value))


def fold(log_q: Float[Tensor, "..."], axes: tuple[str, ...], choice: Mapping[str, int]) -> Float[Tensor, "..."]:
    """Move the mass of architectures that are cut off to those that stay (paper, section 2).

    Depths up to the chosen one stay, since one pass gives them all, and it takes the mass of those above. Along any
    other axis only the chosen entry stays, and takes all the mass.

    Args:
        log_q: Log probabilities over the product of the axes, ``(*sizes, *replicate)``, nats.
        axes: Their names.
        choice: The index along each axis that is cut.

    Returns:
        Log probabilities with ``k + 1`` depths, and one entry of any other axis that is cut.
    """
    for axis, index in choice.items():
        dim = axes.index(axis)
        if axis == "depth":
            below, above = log_q.split([index, log_q.shape[dim] - index], dim)
            log_q = torch.cat([below, above.logsumexp(dim, keepdim=True)], dim)
        else:
            log_q = log_q.logsumexp(dim, keepdim=True)
    return log_q


def staying(model: VDSModel, choice: Mapping[str, int]) -> slice | Tensor:
    """Return which of the flattened architectures stay, in the order of :func:`fold`."""
    if list(choice) == ["depth"] and model.axes[0] == "depth":
        return slice((choice["depth"] + 1) * math.prod(model.sizes[1:]))
    index = torch.arange(math.prod(model.sizes)).reshape(model.sizes)
    for axis, entry in choice.items():
        first = 0 if axis == "depth" else entry
        index = index.narrow(model.axes.index(axis), first, entry + 1 - first)
    return index.flatten()
