"""Residual networks that read out every depth in one forward pass.

``a_0 = stem(x)``, ``a_i = a_{i-1} + block_i(a_{i-1})``, and every depth is read out by the same head:
``f_i(x) = head(pool(a_i))``, ``i = 0..D`` (paper, section 2).
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.nested_layers import NestedLayer
from pyro_vds.backbones.normalisation import HeadStatistics, ReadoutBatchNorm, keep_readout_statistics
from pyro_vds.ops.copies import copied
from pyro_vds.ops.parts import called, spare_input
from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Inputs

Readout = Literal["all", "last"]


class PerDepth(nn.Module):
    """A residual network of any stem, blocks and head, read out at every depth.

    A layer with ``inplace=True`` that would overwrite the input of the stem, a block, the pool or the head gets
    ``inplace=False``; other parts that change their input are refused when they do it, and so are parts that return a
    tuple.

    Args:
        stem: Maps inputs to the first activations ``a_0``.
        blocks: The residual branches; each maps activations to activations of the same shape. Their number
            is the maximal depth ``D``, 0 or more.
        head: Maps pooled activations ``(batch, ...)`` to outputs ``(batch, *event)``.
        pool: Reduces activations to the features that the head takes, for example global average pooling. Only the
            features of each depth are stored, so training needs little more memory than for a plain network.
        readout: ``"all"`` for outputs ``(D + 1, batch, *event)`` and a space with the axis ``"depth"``; ``"last"``
            for the plain network of depth ``D`` (a DDN): outputs ``(batch, *event)`` and an empty space.
        head_statistics: Whether batch norms in the head keep running statistics ``"per_depth"`` or one
            ``"shared"`` set, as the paper's code does. Training normalises each depth by its own batch in both
            cases. Batch norms in ``head`` are replaced in place.

    Raises:
        ValueError: If ``readout`` or ``head_statistics`` is unknown.
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: Iterable[nn.Module],
        head: nn.Module,
        *,
        pool: nn.Module | None = None,
        readout: Readout = "all",
        head_statistics: HeadStatistics = "per_depth",
    ) -> None:
        super().__init__()
        if readout not in ("all", "last"):
            raise ValueError(f"Expected readout 'all' (every depth) or 'last' (a plain network), got {readout!r}.")
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.pool = nn.Identity() if pool is None else pool
        self.readout: Readout = readout
        per_depth = readout == "all"
        self.head = keep_readout_statistics(head, self.max_depth + 1, head_statistics) if per_depth else head
        for part in (self.stem, *self.blocks, self.pool, self.head):
            spare_input(part)

    @property
    def max_depth(self) -> int:
        """The number of residual blocks, ``D``."""
        return len(self.blocks)

    @property
    def space(self) -> Space:
        """The axis ``"depth"`` with the labels ``0..D``; empty if only the last depth is read out."""
        return Space([Axis("depth", tuple(range(self.max_depth + 1)), nested=True)] if self.readout == "all" else [])

    def forward(self, x: Inputs) -> Float[Tensor, "*depth batch event"]:
        """Return the outputs of every depth, ``(depth, batch, event)``, or of the last, ``(batch, event)``."""
        activations = self._first(x)
        features = []
        for depth in range(self.max_depth + 1):
            if depth > 0:
                activations = self._next(self.blocks[depth - 1], activations)
            if self.readout == "all" or depth == self.max_depth:
                features.append(self._features(activations, depth))
        return self._read_out(features)

    def restrict(self, **cut: Hashable) -> "PerDepth":
        """Return a copy without the blocks above a depth; the outputs of the depths below stay the same.

        Args:
            cut: ``depth``, the new maximal depth, ``0..D``; without it all blocks stay.

        Raises:
            TypeError: If the depth is not an integer.
            ValueError: If the depth is out of range, or an axis is unknown.
        """
        depth = self.space.index(cut).get("depth", self.max_depth)
        left_out = {id(block): None for block in self.blocks[depth:]}
        shorter = copied(self, left_out)
        shorter.blocks = shorter.blocks[:depth]
        for head, readouts in shorter._heads() if self.readout == "all" else ():
            for module in head.modules():
                if isinstance(module, ReadoutBatchNorm | NestedLayer):
                    module.keep_first(readouts)
        return shorter

    def plain(self) -> "PerDepth":
        """Return a copy that reads out only its last depth; its head keeps the statistics of one read-out."""
        network = self.restrict()
        network.readout = "last"
        for module in network.head.modules():
            if isinstance(module, ReadoutBatchNorm):
                module.keep_first(1)
        return network

    def first_entries(self) -> dict[str, dict[str, int]]:
        """Return the smallest depth that uses a parameter, by its name, for the parameters of blocks.

        Returns:
            ``{"depth": {"blocks.0.weight": 1}}`` and so on; empty if only the last depth is read out. Parameters that
            a block shares with the stem, the pool or the head are left out.
        """
        used_always = {p for part in (self.stem, self.pool, self.head) for p in part.parameters()}
        names = {parameter: name for name, parameter in self.named_parameters()}
        first: dict[str, int] = {}
        for depth, block in enumerate(self.blocks, start=1):
            for parameter in block.parameters():
                if parameter not in used_always:
                    first.setdefault(names[parameter], depth)
        return {axis: first for axis in self.space}

    def _first(self, x: Inputs) -> Tensor:
        """Return ``a_0``."""
        return self._called(self.stem, x)

    def _next(self, block: nn.Module, activations: Tensor) -> Tensor:
        """Return ``a_i`` from ``a_{i-1}``."""
        return activations + self._branch(block, activations)

    def _branch(self, block: nn.Module, activations: Tensor) -> Tensor:
        """Return what a block adds to its input, ``a_i - a_{i-1}``."""
        return self._called(block, activations)

    def _absent(self) -> nn.Module:
        """Return a block that leaves the activations as they are."""
        return Zero()

    def _shapes(self) -> list[tuple[Hashable, Hashable]]:
        """Return names of the shapes that each block maps from and to; equal names are equal shapes."""
        return [("", "")] * self.max_depth

    def _features(self, activations: Tensor, depth: int) -> Tensor:
        """Return the features of the activations at a depth, which the head takes."""
        return self._called(self.pool, activations)

    def _read_out(self, features: list[Tensor]) -> Tensor:
        """Return the outputs for the features of every depth, or of the last."""
        if self.readout == "last":
            return self._called(self.head, features[0])
        return read_out_together(self.head, features, self._called)

    def _heads(self) -> list[tuple[nn.Module, int]]:
        """Return each head with the number of depths that it reads out."""
        return [(self.head, self.max_depth + 1)]

    def _called(self, part: nn.Module, x: Inputs) -> Tensor:
        """Return the result of a part of the network, which has to be a tensor and leave its input alone."""
        return called(part, x, self._name)

    def _name(self, part: nn.Module) -> str:
        """Return what messages call a part of the network."""
        for number, block in enumerate(self.blocks, start=1):
            if part is block:
                return f"block {number}"
        return "the stem" if part is self.stem else "the pool" if part is self.pool else "the head"


class Zero(nn.Module):
    """A residual branch that adds nothing."""

    def forward(self, activations: Tensor) -> Tensor:
        """Return zeros in the shape of the activations."""
        return torch.zeros_like(activations)


def read_out_together(
    head: nn.Module, features: list[Float[Tensor, "batch ..."]], call: Callable[[nn.Module, Tensor], Tensor]
) -> Float[Tensor, "depth batch ..."]:
    """Read out several depths with one call of their head.

    Args:
        head: Maps features ``(batch, ...)`` to outputs ``(batch, *event)``.
        features: The features of each depth, all of one shape.
        call: Calls the head.

    Returns:
        The outputs, ``(depth, batch, *event)``.
    """
    # Depths vary fastest, so that ReadoutBatchNorm can view them as channels without a copy.
    outputs = call(head, torch.stack(features, dim=1).flatten(0, 1))
    return outputs.unflatten(0, (-1, len(features))).movedim(1, 0)
