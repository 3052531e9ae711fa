"""Tables of log probabilities over the axes of a guide."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.ops.tensors import outer_sum
from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Space


def joined(conditionals: list[Tensor], leading: int) -> Tensor:
    """Return the product of conditional probabilities, in log space.

    Args:
        conditionals: Log probabilities of each axis, ``(*leading, *given, size)``; ``given`` is empty if it does not
            depend on the axes before it.
        leading: Number of leading dimensions, those of replicates.

    Returns:
        The log probabilities over the product of the axes, ``(*leading, *sizes)``.
    """
    joint = outer_sum([])
    for log_probs in conditionals:
        depends = log_probs.ndim > leading + 1
        earlier = joint.ndim - leading if joint.ndim else 0
        shape = log_probs.shape if depends else (*log_probs.shape[:leading], *[1] * earlier, log_probs.shape[-1])
        joint = joint[..., None] + log_probs.reshape(shape) if joint.ndim else log_probs.reshape(shape)
    return joint


def positive_log_probs(log_weights: Float[Tensor, "*leading n"], dtype: torch.dtype) -> Float[Tensor, "*leading n"]:
    """Return normalised log probabilities over the last dimension, none below the smallest positive number.

    Args:
        log_weights: Logarithms of weights, nats.
        dtype: The dtype whose smallest positive number it is.
    """
    return log_weights.log_softmax(-1).clamp_min(math.log(torch.finfo(dtype).tiny))


def require_single(batch_shape: torch.Size) -> None:
    """Raise if a guide is one of replicates, of which each has draws and a mode of its own.

    Args:
        batch_shape: The batch shape of the guide.

    Raises:
        ValueError: If there are replicates.
    """
    if batch_shape:
        raise ValueError(
            f"Expected the guide of one model, got one of {batch_shape[0]} replicates. Take each of "
            "pyro_vds.replicates(model, guide)."
        )


def described(space: Space) -> str:
    """Return axes in words, the labels too where there are few.

    Args:
        space: The axes.
    """

    def labels(axis: Axis) -> str:
        where = "" if axis.plate is None else f" in the plate {axis.plate.name!r}"
        return f"{axis.labels if len(axis) <= 8 else f'{len(axis)} entries'}{where}"

    return f"axes [{', '.join(f'{name} {labels(axis)}' for name, axis in space.items())}]"
