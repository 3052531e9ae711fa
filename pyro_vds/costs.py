"""What architectures cost, and the cheapest of those that the posterior prefers."""

from typing import cast

import torch
from jaxtyping import Int, Real
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pyro_vds.backbones import PerDepth
from pyro_vds.choice import Cut
from pyro_vds.guides import Guide
from pyro_vds.model import VDSModel, eval_mode, refuse_replicates
from pyro_vds.typing import Inputs
from pyro_vds.width import WithWidths


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


def choose(model: VDSModel, guide: Guide, costs: Real[Tensor, "*axes"], share: float = 0.95) -> Cut:
    """Choose the cheapest architecture whose posterior mass reaches a share of the mode's.

    With one axis and costs that grow along it, this is the paper's rule "95" (its section 2), as in
    :func:`pyro_vds.choose_depth`.

    Args:
        model: A model with at least one axis.
        guide: Its guide.
        costs: What each architecture costs, over the product of the axes: :func:`multiply_adds`, or measured times.
        share: Share of the mode's mass, ``(0, 1]``.

    Returns:
        The chosen entry of each axis, for instance ``{"depth": 5, "width": 16}``, as :func:`pyro_vds.prune` takes it.

    Raises:
        ValueError: If the costs do not fit the axes or are not finite, or the share is out of range.
    """
    refuse_replicates(model)
    if tuple(costs.shape) != model.sizes or not model.axes or not bool(costs.isfinite().all()):
        raise ValueError(
            f"Expected a finite cost for each architecture, shape {model.sizes}, got shape {tuple(costs.shape)}."
        )
    if not 0 < share <= 1:
        raise ValueError(f"Expected a share in (0, 1], got {share}.")
    q = guide.joint_probs().double().cpu()
    if tuple(q.shape) != model.sizes or not bool(q.isfinite().all()):
        raise ValueError(f"Expected finite probabilities of the shape {model.sizes} from the guide, got {q}.")
    cheapest = costs.double().cpu().where(q >= share * q.max(), torch.inf).flatten().argmin()
    entries = zip(model.axes, torch.unravel_index(cheapest, model.sizes), strict=True)
    return cast(Cut, {axis: model.coords[axis][int(index)] for axis, index in entries})


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
