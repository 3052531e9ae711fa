"""A gate on every block of a residual network: lesions, path dropout and depths as one axis of architectures."""

from collections.abc import Hashable, Mapping
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.lesions import Wiring, deletable, lesion, lesioned_outputs, require_blocks
from pyro_vds.backbones.per_depth import PerDepth
from pyro_vds.ops.compat import BatchNorm
from pyro_vds.spaces.axis import Axis, Plate
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Inputs


class WithGates(nn.Module):
    """A residual network with a gate on each block, read out at its last depth.

    ``a_i = a_{i-1} + g_i f_i(a_{i-1})`` and ``f(x, g) = head(a_D)``. The axis ``"block"`` has a site for each block, in
    the plate ``"layer"``. A lesion is one of its architectures, a depth ``d`` is the mask of the first ``d`` blocks,
    and stochastic depth is a fixed guide over it. All ``2**D`` masks run as a tree: ``2**D - 1`` runs of blocks.

    It is for a network that is trained: in training mode batch norm, which would count every mask, is refused.

    Args:
        network: The network, whose weights are shared; its head has the statistics of the last depth.

    Raises:
        TypeError: If it is no ``PerDepth``.
        ValueError: If it has no block, or a block changes the shape of the activations and cannot be left out.
    """

    def __init__(self, network: PerDepth) -> None:
        super().__init__()
        count = require_blocks(network).max_depth
        fixed = sorted(set(range(count)) - set(deletable(network)))
        if fixed:
            raise ValueError(f"Expected blocks that keep the shape of the activations, got {fixed} that change it.")
        self.network = network

    @property
    def space(self) -> Space:
        """One axis with a site for each block, counted from 1."""
        count = self.network.max_depth
        return Space([Axis("block", (False, True), Plate("layer", count, tuple(range(1, count + 1))), read_out=False)])

    def forward(self, x: Inputs) -> Float[Tensor, "mask batch event"]:
        """Return the outputs under every mask, in the order of ``space.architectures()``.

        Raises:
            ValueError: If there are more than 65,536 masks, or a batch norm is in training mode.
        """
        self.space.require_table("in one pass", "Use at(x, {'block': masks}).")
        return self._outputs(x, list(product((False, True), repeat=self.network.max_depth)))

    def at(self, x: Inputs, architectures: Mapping[str, Tensor]) -> Float[Tensor, "mask batch event"]:
        """Return the outputs under some masks.

        Args:
            x: Inputs ``(batch, ...)``.
            architectures: ``"block"``: 1 for each block that runs, ``(mask, block)``.
        """
        return self._outputs(x, [tuple(map(bool, mask)) for mask in architectures["block"].tolist()])

    def restrict(self, **cut: Hashable) -> nn.Module:
        """Return an independent copy of the network without the blocks whose gate is closed.

        Args:
            cut: ``block``, a gate for each block; without it the copy is whole.

        Raises:
            TypeError: If it is no sequence.
            ValueError: If the axis is another one, or there are gates of another number of blocks.
        """
        if not self.space.index(cut):
            return WithGates(self.network.restrict())
        gates = self.space["block"].choices(cut["block"])
        return LastReadOut(lesion(self.network, keep=[bool(gate) for gate in gates]))

    def _outputs(self, x: Inputs, masks: list[tuple[bool, ...]]) -> Tensor:
        if any(isinstance(module, BatchNorm) and module.training for module in self.network.modules()):
            raise ValueError(
                "Expected batch norms in eval mode, since their statistics would mix masks, got one in training mode. "
                "Call pyro_vds.freeze(network) first, or leave the network in eval mode."
            )
        wirings: list[Wiring] = [tuple(i if gate else None for i, gate in enumerate(mask)) for mask in masks]
        found = {w: _last(self.network, outputs) for w, outputs in lesioned_outputs(self.network, x, wirings)}
        return torch.stack([found[wiring] for wiring in wirings])


class LastReadOut(nn.Module):
    """The last read-out of a network that may read out all.

    Args:
        network: The network.
    """

    def __init__(self, network: PerDepth) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Inputs) -> Float[Tensor, "batch event"]:
        """Return the outputs of the last depth."""
        return _last(self.network, self.network(x))


def _last(network: PerDepth, outputs: Tensor) -> Tensor:
    """Return the last read-out of a network's outputs."""
    return outputs[-1] if network.readout == "all" else outputs
