"""Data: a pair of inputs and targets, or three parts, of which the last are the weights of the points.

The order says what a part is: several inputs are one part, as a tuple or a dict.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from pyro_vds.ops.inputs import as_inputs, as_targets
from pyro_vds.spaces.typing import Data, WeightedData

SEVERAL = "Several inputs go into one tuple or dict, as in ((ids, mask), targets)."


def as_data(batch: Any, name: str, dtype: torch.dtype) -> Data | WeightedData:
    """Return what a user passed as inputs and targets, and the weights of the points if they have any.

    Args:
        batch: A tuple or list of two or three: inputs of any kind, targets, and weights.
        name: What they are, for the message.
        dtype: The dtype of the network's weights, see :func:`pyro_vds.ops.inputs.as_inputs`.

    Raises:
        TypeError: If ``batch`` is neither, or the third part holds no floating-point numbers.
    """
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise TypeError(
            f"Expected {name} as a pair (inputs, targets), or with weights of the points as a third part, got "
            f"{_described(batch)}. {SEVERAL}"
        )
    # First, because three parts are most often two inputs and their targets.
    weight = as_weights(batch[2], dtype, f"the third part of {name}") if len(batch) == 3 else None
    x, y = as_inputs(batch[0], dtype, f"the inputs of {name}"), as_targets(batch[1], dtype, f"the targets of {name}")
    return (x, y) if weight is None else (x, y, weight)


def as_pair(batch: Any, name: str, dtype: torch.dtype) -> Data:
    """Return what a user passed as inputs and targets, where points have no weights.

    Args:
        batch: A tuple or list of two: inputs of any kind, and targets.
        name: What they are, for the message.
        dtype: The dtype of the network's weights, see :func:`pyro_vds.ops.inputs.as_inputs`.

    Raises:
        TypeError: If ``batch`` is not such a pair.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        remedy = "Leave weights out. " if isinstance(batch, tuple | list) and len(batch) == 3 else ""
        raise TypeError(
            f"Expected {name} as a pair (inputs, targets) without weights, got {_described(batch)}. {remedy}{SEVERAL}"
        )
    x, y, *_ = as_data(batch, name, dtype)
    return x, y


def as_weights(weight: Any, dtype: torch.dtype, name: str = "the weights") -> Tensor:
    """Return what a user passed as weights of points.

    Args:
        weight: A tensor or an array of floating-point numbers.
        dtype: The dtype of the network's weights, see :func:`pyro_vds.ops.inputs.as_targets`.
        name: What they are, for the message.

    Raises:
        TypeError: If it is something else.
    """
    found = as_targets(weight, dtype, name)
    if not found.is_floating_point():
        raise TypeError(
            f"Expected {name} as floating-point weights of the points, got {found.dtype}. Convert weights with "
            f"weight.float(). {SEVERAL}"
        )
    return found


def is_data(data: Any) -> bool:
    """Return whether something is data, not a list with data for each replicate.

    Args:
        data: Data, or a list of them.
    """
    return len(data) > 1 and not isinstance(data[1], tuple | list)


def of_each_part(function: Callable[..., Any], data: Iterable[Any]) -> Any:
    """Return data whose inputs, targets and weights are results of a function.

    Args:
        function: Called with inputs, with targets, and with weights if there are any.
        data: The data, or what stands for each of their parts.
    """
    return tuple(function(part) for part in data)


def _described(batch: Any) -> str:
    """Return what something is that is no data."""
    if isinstance(batch, tuple | list):
        return f"{len(batch)} parts"
    return f"a dict with the keys {list(batch)}" if isinstance(batch, Mapping) else type(batch).__name__
