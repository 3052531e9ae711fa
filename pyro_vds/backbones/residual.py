"""Residual networks that read out every depth in one forward pass.

``a_0 = stem(x)``, ``a_i = a_{i-1} + block_i(a_{i-1})``, and every depth is read out by the same head:
``f_i(x) = head(pool(a_i))``, ``i = 0..D`` (paper, section 2).
"""

import copy
from collections.abc import Hashable, Iterable
from numbers import Integral
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.nested_layers import NestedLayer
from pyro_vds.backbones.normalisation import HeadStatistics, ReadoutBatchNorm, keep_readout_statistics
from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Inputs

Readout = Literal["all", "last"]


class PerDepth(nn.Module):
    """A residual network of any stem, blocks and head, read out at every depth.

    Args:
        stem: Maps inputs to the first activations ``a_0``.
        blocks: The residual branches; each maps activations to activations of the same shape. Their number
            is the maximal depth ``D``; none is allowed.
        head: Maps pooled activations ``(batch, ...)`` to outputs ``(batch, *event)``.
        pool: Reduces activations to what the head needs, for example global average pooling. Only its
            result is kept for each depth, so training costs little more memory than a plain network.
        readout: ``"all"`` for outputs ``(D + 1, batch, *event)`` and a space with the axis ``"depth"``; ``"last"``
            for the plain network of depth ``D`` (a DDN): outputs ``(batch, *event)`` and an empty space.
        head_statistics: Whether batch norms in the head keep running statistics ``"per_depth"`` or one
            ``"shared"`` set, as the paper's code does. In training each depth is normalised by its own batch
            either way. Batch norms in ``head`` are replaced in place.

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

    @property
    def max_depth(self) -> int:
        """The number of residual blocks, ``D``."""
        return len(self.blocks)

    @property
    def space(self) -> Space:
        """The axis ``"depth"`` with the labels ``0..D``; empty when only the last depth is read out."""
        return Space([Axis("depth", tuple(range(self.max_depth + 1)), nested=True)] if self.readout == "all" else [])

    def forward(self, x: Inputs) -> Float[Tensor, "*depth batch event"]:
        """Return the outputs of every depth, ``(depth, batch, event)``, or of the last, ``(batch, event)``."""
        activations = self.stem(x)
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
            cut: ``depth``, the new maximal depth, ``0..D``; all blocks unless given.

        Raises:
            TypeError: If the depth is not an integer.
            ValueError: If it is out of range, or an axis is unknown.
        """
        depth = self.space.index(cut).get("depth", self.max_depth)
        left_out = {id(block): None for block in self.blocks[depth:]}
        shorter = copy.deepcopy(self, left_out)
        shorter.blocks = shorter.blocks[:depth]
        for head, readouts in shorter._heads() if self.readout == "all" else ():
            for module in head.modules():
                if isinstance(module, ReadoutBatchNorm | NestedLayer):
                    module.keep_first(readouts)
        return shorter

    def plain(self) -> "PerDepth":
        """Return a copy that reads out its last depth only; its head keeps statistics of one read-out."""
        network = self.restrict()
        network.readout = "last"
        for module in network.head.modules():
            if isinstance(module, ReadoutBatchNorm):
                module.keep_first(1)
        return network

    def _next(self, block: nn.Module, activations: Tensor) -> Tensor:
        """Return ``a_i`` from ``a_{i-1}``."""
        return activations + block(activations)

    def _features(self, activations: Tensor, depth: int) -> Tensor:
        """Return what the head sees of the activations at a depth."""
        return self.pool(activations)

    def _read_out(self, features: list[Tensor]) -> Tensor:
        """Return the outputs for the features of every depth, or of the last."""
        return self.head(features[0]) if self.readout == "last" else read_out_together(self.head, features)

    def _heads(self) -> list[tuple[nn.Module, int]]:
        """Return each head with the number of depths that it reads out."""
        return [(self.head, self.max_depth + 1)]


def read_out_together(head: nn.Module, features: list[Float[Tensor, "batch ..."]]) -> Float[Tensor, "depth batch ..."]:
    """Read out several depths by one call of their head.

    Args:
        head: Maps features ``(batch, ...)`` to outputs ``(batch, *event)``.
        features: The features of each depth, all of one shape.

    Returns:
        The outputs, ``(depth, batch, *event)``.
    """
    # The depths of a point lie together: ReadoutBatchNorm then sees them as channels, without a copy.
    outputs = head(torch.stack(features, dim=1).flatten(0, 1))
    return outputs.unflatten(0, (-1, len(features))).movedim(1, 0)


class GlobalAveragePool(nn.Module):
    """The mean of each channel over an image.

    A sum times a number, because the gradient of a mean divides a whole feature map for each depth that is read out.
    """

    def forward(self, x: Float[Tensor, "batch channels *space"]) -> Float[Tensor, "batch channels"]:
        """Return the mean over all dimensions behind the channels."""
        return x.flatten(2).sum(-1) * (x.shape[1] / x[0].numel())


class _Residual(nn.Module):
    """``x + branch(x)``."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


def _dense_block(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.BatchNorm1d(width))


def _bottleneck_block(channels: int, bottleneck: int) -> nn.Module:
    """Pre-activation bottleneck (He et al. 2016, "Identity mappings in deep residual networks")."""
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(channels, bottleneck, 1, bias=False),
        nn.BatchNorm2d(bottleneck),
        nn.ReLU(inplace=True),
        nn.Conv2d(bottleneck, bottleneck, 3, padding=1, bias=False),
        nn.BatchNorm2d(bottleneck),
        nn.ReLU(inplace=True),
        nn.Conv2d(bottleneck, channels, 1),
    )


class ResidualMLP(PerDepth):
    """The paper's fully connected network (its appendix B).

    Stem ``Linear(in, width)``; blocks ``Linear -> ReLU -> BatchNorm`` inside the residual; head
    ``Linear(width, out)``. Parameters come from torch's global generator: call ``torch.manual_seed`` first.

    Args:
        in_features: Number of input features; inputs have shape ``(batch, in_features)``.
        out_features: Number of outputs (classes, or regression targets).
        width: Number of units of each layer.
        max_depth: Number of residual blocks ``D``, 0 or more.
        readout: ``"all"`` depths, or only the ``"last"`` one (a DDN).
        head_statistics: Kept for the common interface; this head has no batch norm.

    Raises:
        ValueError: If a size is not a positive integer or ``max_depth`` is negative.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: int = 20,
        max_depth: int = 20,
        *,
        readout: Readout = "all",
        head_statistics: HeadStatistics = "per_depth",
    ) -> None:
        _check_sizes(in_features=in_features, out_features=out_features, width=width)
        _check_max_depth(max_depth)
        super().__init__(
            nn.Linear(in_features, width),
            [_dense_block(width) for _ in range(max_depth)],
            nn.Linear(width, out_features),
            readout=readout,
            head_statistics=head_statistics,
        )


class ResidualConvNet(PerDepth):
    """The paper's convolutional network (its appendix B).

    Stem ``Conv2d(5x5, no padding) -> AvgPool2d(2)``; pre-activation bottleneck blocks without
    down-sampling; global average pooling; head of a residual ``Linear -> ReLU -> BatchNorm`` block and a
    ``Linear``. Parameters come from torch's global generator: call ``torch.manual_seed`` first.

    Args:
        in_channels: Number of image channels; inputs have shape ``(batch, in_channels, height, width)``,
            at least 6 pixels high and wide.
        out_features: Number of outputs.
        max_depth: Number of residual blocks ``D``, 0 or more.
        channels: Number of channels between blocks.
        bottleneck: Number of channels within a block.
        readout: ``"all"`` depths, or only the ``"last"`` one (a DDN).
        head_statistics: Whether the head's batch norm keeps running statistics ``"per_depth"`` or one
            ``"shared"`` set.

    Raises:
        ValueError: If a size is not a positive integer or ``max_depth`` is negative.
    """

    def __init__(
        self,
        in_channels: int,
        out_features: int,
        max_depth: int = 50,
        channels: int = 64,
        bottleneck: int = 32,
        *,
        readout: Readout = "all",
        head_statistics: HeadStatistics = "per_depth",
    ) -> None:
        _check_sizes(in_channels=in_channels, out_features=out_features, channels=channels, bottleneck=bottleneck)
        _check_max_depth(max_depth)
        super().__init__(
            nn.Sequential(nn.Conv2d(in_channels, channels, 5), nn.AvgPool2d(2)),
            [_bottleneck_block(channels, bottleneck) for _ in range(max_depth)],
            nn.Sequential(_Residual(_dense_block(channels)), nn.Linear(channels, out_features)),
            pool=GlobalAveragePool(),
            readout=readout,
            head_statistics=head_statistics,
        )


def _check_sizes(**sizes: int) -> None:
    for name, size in sizes.items():
        _check_integer(name, size)
        if size < 1:
            raise ValueError(f"Expected {name} of at least 1, got {size}.")


def _check_integer(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"Expected {name} as an int, got {value!r}.")


def _check_max_depth(max_depth: int) -> None:
    _check_integer("max_depth", max_depth)
    if max_depth < 0:
        raise ValueError(f"Expected max_depth of at least 0 (no residual block), got {max_depth}.")
