"""Costs of architectures."""

from typing import cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from pyro_vds.ops.modes import eval_mode
from pyro_vds.spaces.backbone import Backbone
from pyro_vds.spaces.typing import Inputs


def multiply_adds(backbone: Backbone, x: Inputs) -> Int[Tensor, "*axes"]:
    """Count the multiply-adds of each architecture for one input.

    Counts are of matrix products and convolutions of the network that :func:`pyro_vds.prune` would return, which
    includes the read-outs of lower entries of nested axes.

    Args:
        backbone: A network that can be cut, see :class:`pyro_vds.Backbone`.
        x: At least one input, ``(batch, ...)``.

    Returns:
        Multiply-adds over the product of the axes, shape ``sizes``.

    Raises:
        TypeError: If ``backbone`` is not a backbone.
        ValueError: If there is no input, there are replicates, or there are too many architectures to list.
    """
    if not isinstance(backbone, Backbone):
        raise TypeError(f"Expected a backbone with a space and a method restrict(), got {type(backbone).__name__}.")
    if not len(x):
        raise ValueError("Expected at least one input to count the multiply-adds of, got none.")
    if getattr(backbone, "batch_shape", ()):
        raise ValueError("Expected one network, got replicates, which cost the same each. Pass backbone.copy(0).")
    x = x[:1].to(next(cast(nn.Module, backbone).parameters(), x).device)
    counts = [count(backbone.restrict(**architecture), x) for architecture in backbone.space.architectures()]
    return torch.tensor(counts).reshape(backbone.space.sizes)


def count(network: nn.Module, x: Inputs) -> int:
    """Count the multiply-adds of matrix products and convolutions of any module for some inputs.

    Args:
        network: The module.
        x: Inputs on the device of the module.
    """
    from torch.utils.flop_counter import FlopCounterMode  # which takes a second to import

    with eval_mode(network), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops() // 2  # a multiply-add counts as two operations
