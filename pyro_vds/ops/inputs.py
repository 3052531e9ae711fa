"""Inputs of any kind: one tensor, or several of the same points as a tuple or a dict with text as keys.

Every function here takes all three, and keeps the kind, so that a network gets what the user passed. ``dim`` is the
dimension of the points: 0, or 1 behind that of replicates.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vds.spaces.typing import Inputs

KINDS = "a tensor or a NumPy array, or several as a tuple or as a dict with text as keys"


def mapped(function: Callable[..., Any], first: Inputs, *others: Inputs) -> Any:
    """Return the results of a function for each part, in the kind of the inputs.

    Args:
        function: Called with a tensor, and the same part of the others.
        first: Inputs.
        others: Inputs of the same kind, with the same parts.

    Raises:
        ValueError: If the parts differ.
    """
    if any(list(parts(x)) != list(parts(first)) for x in others):
        names = [list(parts(x)) for x in (first, *others)]
        raise ValueError(f"Expected inputs of the same parts everywhere, got {' and '.join(map(str, names))}.")
    results = {name: function(*(parts(x)[name] for x in (first, *others))) for name in parts(first)}
    return in_the_kind_of(first, list(results.values()))


def in_the_kind_of(x: Any, values: Sequence[Any]) -> Any:
    """Return values, one for each part, in the kind of some inputs; a list becomes a tuple.

    Args:
        x: Inputs, or a list of them.
        values: In the order of the parts.
    """
    if isinstance(x, Tensor):
        return values[0]
    if isinstance(x, dict):
        return dict(zip(x, values, strict=True))
    return type(x)(*values) if hasattr(x, "_fields") else tuple(values)  # a named tuple keeps its names


def parts(x: Inputs) -> dict[str, Tensor]:
    """Return the tensors by what users call them: ``"x"``, ``"x[0]"`` or ``"x['mask']"``.

    Args:
        x: Inputs.
    """
    if isinstance(x, Tensor):
        return {"x": x}
    named = x.items() if isinstance(x, dict) else enumerate(x)
    return {f"x[{key!r}]": part for key, part in named}


def tensors(x: Inputs) -> list[Tensor]:
    """Return the tensors in their order.

    Args:
        x: Inputs.
    """
    return list(parts(x).values())


def described(x: Inputs, dim: int = 0) -> str:
    """Return shape and type of one point, for messages.

    Args:
        x: Inputs.
        dim: The dimension of the points.
    """
    texts = {name: f"shape {tuple(t.shape[dim + 1 :])} and type {t.dtype}" for name, t in parts(x).items()}
    return texts["x"] if isinstance(x, Tensor) else ", ".join(f"{name} of {text}" for name, text in texts.items())


def points(x: Inputs, dim: int = 0) -> int:
    """Return the number of points.

    Args:
        x: Inputs.
        dim: The dimension of the points.
    """
    return tensors(x)[0].shape[dim]


def device_of(x: Inputs) -> torch.device:
    """Return the device of the inputs.

    Args:
        x: Inputs.
    """
    return tensors(x)[0].device


def at(x: Inputs, index: Any) -> Any:
    """Return the inputs at an index or a slice, ``x[index]`` of each part.

    Args:
        x: Inputs.
        index: What indexes a tensor.
    """
    return mapped(lambda t: t[index], x)


def first_points(x: Inputs, count: int, dim: int = 0) -> Any:
    """Return the first points of inputs or targets.

    Args:
        x: Inputs or targets.
        count: Largest number of points.
        dim: The dimension of the points.
    """
    return mapped(lambda t: t.narrow(dim, 0, min(count, t.shape[dim])), x)


def split(x: Inputs, size: int, dim: int = 0) -> list[Any]:
    """Return inputs or targets in pieces of some points, in order.

    Args:
        x: Inputs or targets.
        size: Points in a piece; the last one has the rest.
        dim: The dimension of the points.
    """
    return [mapped(lambda t, s=start: t.narrow(dim, s, min(size, t.shape[dim] - s)), x)
            for start in range(0, points(x, dim), size)]  # fmt: skip


def joined(pieces: Sequence[Inputs], dim: int = 0) -> Any:
    """Return pieces with all of their points.

    Args:
        pieces: Inputs of the same parts.
        dim: The dimension of the points.
    """
    return mapped(lambda *ts: torch.cat(ts, dim), *pieces)


def moved(x: Inputs, device: torch.device, *, non_blocking: bool = False) -> Any:
    """Return inputs or targets on a device.

    Args:
        x: Inputs or targets.
        device: The device.
        non_blocking: Whether not to wait for a copy from pinned memory.
    """
    return mapped(lambda t: t.to(device, non_blocking=non_blocking), x)


def expanded(x: Inputs, batch_shape: Sequence[int]) -> Any:
    """Return inputs or targets for all replicates, ``(*batch_shape, N, ...)``, as views.

    Args:
        x: Inputs or targets ``(N, ...)``.
        batch_shape: ``(replicate,)``, or empty.
    """
    return mapped(lambda t: t.expand(*batch_shape, *t.shape), x)


def as_inputs(x: Any, dtype: torch.dtype, name: str = "inputs") -> Any:
    """Return what a user passed as inputs: NumPy arrays become tensors, a list a tuple, and any mapping a dict.

    Args:
        x: A tensor or an array, or a tuple, a list or a mapping of them.
        dtype: The dtype of the network's weights, which double precision arrays get: NumPy makes them if nothing else
            is said. Other arrays and all tensors keep their type.
        name: What they are, for the message.

    Raises:
        TypeError: If there is something else.
    """
    if isinstance(x, Mapping) and x and all(isinstance(key, str) for key in x):
        return {key: _as_tensor(part, dtype, f"{name}[{key!r}]") for key, part in x.items()}
    if isinstance(x, tuple | list) and any(isinstance(part, Tensor | np.ndarray) for part in x):
        found = [_as_tensor(part, dtype, f"{name}[{i}]") for i, part in enumerate(x)]
        return in_the_kind_of(x, found)
    return _as_tensor(x, dtype, name)


def as_targets(y: Any, dtype: torch.dtype, name: str = "targets") -> Tensor:
    """Return what a user passed as targets.

    Args:
        y: A tensor or an array.
        dtype: The dtype of the network's weights. Double precision arrays get it, or float32 where it has 16 bit.
        name: What they are, for the message.

    Raises:
        TypeError: If it is something else.
    """
    return _as_tensor(y, torch.promote_types(dtype, torch.float32), name)


def _as_tensor(value: Any, dtype: torch.dtype, name: str) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        try:
            # Arrays of negative strides or without leave to write are copied.
            found = torch.as_tensor(np.require(value, requirements=["C", "W"]))
        except (TypeError, ValueError) as error:
            raise TypeError(f"Expected {name} as an array of numbers, got one of {value.dtype}. {error}") from error
        return found.to(dtype) if found.dtype == torch.float64 else found
    remedy = "x.to_numpy()" if hasattr(value, "to_numpy") else "torch.as_tensor"
    raise TypeError(f"Expected {name} as {KINDS}, got {type(value).__name__}. Convert with {remedy}.")
