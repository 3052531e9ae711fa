"""What architectures cost, and the cheapest of those that the posterior prefers."""

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pyro_vds.backbones.residual import PerDepth
from pyro_vds.backbones.width import WithWidths
from pyro_vds.ops.modes import eval_mode
from pyro_vds.spaces.typing import Inputs


def multiply_adds(backbone: nn.Module, x: Inputs) -> Int[Tensor, "*axes"]:
    """Count the multiply-adds of each architecture for one input, with the read-outs of the depths below it.

    Matrix products and convolutions are counted, of the network that :func:`pyro_vds.prune` would return.

    Args:
        backbone: A :class:`pyro_vds.PerDepth` with all depths, or :class:`pyro_vds.WithWidths`.
        x: At least one input, ``(batch, ...)``.

    Returns:
        Multiply-adds over the product of the axes, ``sizes``.

    Raises:
        TypeError: If the backbone is neither.
        ValueError: If there is no input.
    """
    if not len(x):
        raise ValueError("Expected at least one input to count the multiply-adds of, got none.")
    x = x[:1].to(next(backbone.parameters(), x).device)
    if isinstance(backbone, WithWidths):
        networks = [backbone.sliced(width) for width in backbone.widths]
        return torch.stack([_by_depth(network, x) for network in networks], dim=-1)
    if isinstance(backbone, PerDepth):
        return _by_depth(backbone, x)
    raise TypeError(
        f"Expected a PerDepth or WithWidths backbone, whose parts can be removed, got {type(backbone).__name__}."
    )


def _by_depth(network: PerDepth, x: Tensor) -> Tensor:
    """Return the multiply-adds of each depth, or of a plain network."""
    if network.axes:
        return torch.tensor([count(network.truncated(depth), x) for depth in range(network.max_depth + 1)])
    return torch.tensor(count(network, x))


def count(network: nn.Module, x: Inputs) -> int:
    """Count the multiply-adds of matrix products and convolutions of any module for some inputs.

    Args:
        network: The module.
        x: Inputs on its device.
    """
    with eval_mode(network), torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(x)
    return counter.get_total_flops() // 2  # a multiply-add is two of its operations
