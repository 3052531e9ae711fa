"""A second axis: the width of every layer."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import pairwise
from numbers import Integral

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.nested_layers import NestedLayer, prefixed
from pyro_vds.backbones.normalisation import ReadoutBatchNorm, Standardise
from pyro_vds.backbones.per_depth import PerDepth
from pyro_vds.backbones.residual import GlobalAveragePool
from pyro_vds.ops.compat import BatchNorm
from pyro_vds.ops.copies import copied
from pyro_vds.ops.inputs import mapped
from pyro_vds.ops.parts import require_known_shapes
from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Inputs

# Layers that treat each channel separately.
_CHANNELWISE = (
    nn.Identity, GlobalAveragePool, nn.Flatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, Standardise,
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus,
    nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid,
    nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Upsample,
)  # fmt: skip


class WithWidths(nn.Module):
    """Adds an axis ``"width"`` to a network: width ``w`` uses the first ``w`` channels of every layer.

    The widths are nested, as in slimmable networks (Yu et al. 2019, arXiv 1812.08928), and batch norm keeps
    statistics for each width (in the head for each depth and width). All widths run in one batch, in which each
    point appears once for every width. Outputs have shape ``(depth, width, batch, *event)``. Layers whose number of
    channels differs from the network's width, such as bottlenecks, use the same share of their channels.

    Args:
        backbone: A network of ``Linear``, ``Conv2d``, batch norm and layers that treat each channel separately; it is
            copied.
        widths: Increasing numbers of channels; the last one is the network's own.

    Raises:
        TypeError: If the backbone is not a ``PerDepth``, or has a layer of another kind.
        ValueError: If the widths do not fit it, its head keeps ``"shared"`` statistics, or channels do not match.
    """

    def __init__(self, backbone: PerDepth, widths: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(backbone, PerDepth):
            raise TypeError(f"Expected a PerDepth backbone to add widths to, got {type(backbone).__name__}.")
        require_known_shapes(backbone)
        self.widths = _checked_widths(widths, _full_width(backbone))
        self.backbone = copied(backbone)
        self._nest()

    @property
    def space(self) -> Space:
        """The axes of the network, then ``"width"``."""
        return Space([*self.backbone.space.values(), Axis("width", self.widths)])

    def forward(self, x: Inputs) -> Float[Tensor, "..."]:
        """Return the outputs of every depth and width, ``(*depth, width, batch, *event)``."""
        outputs = self.backbone(mapped(lambda part: part.repeat_interleave(len(self.widths), 0), x))
        points = len(self.backbone.space)
        return outputs.unflatten(points, (-1, len(self.widths))).movedim(points + 1, points)

    def first_entries(self) -> dict[str, dict[str, int]]:
        """Return what :meth:`pyro_vds.PerDepth.first_entries` of the network returns, for the names here."""
        return prefixed("backbone", self.backbone.first_entries())

    def restrict(self, **cut: Hashable) -> "PerDepth | WithWidths":
        """Return a cut copy; a cut to one width gives a ``PerDepth`` with smaller weights and the same outputs.

        Args:
            cut: ``width``, one of ``widths``, and the labels that the network's own ``restrict`` takes.

        Raises:
            TypeError: If a label has the wrong type.
            ValueError: If an axis is unknown, or has no such label.
        """
        entries = self.space.index(cut)
        others = {name: label for name, label in cut.items() if name != "width"}
        if "width" in entries:
            return self._sliced(entries["width"]).restrict(**others)
        return copied(self, {id(self.backbone): self.backbone.restrict(**others)})

    def _sliced(self, index: int) -> PerDepth:
        """Return the network of one width."""
        width = self.widths[index]
        share = width / self.widths[-1]

        def slice_one(module: nn.Module) -> nn.Module:
            if isinstance(module, NestedLayer):
                return module.sliced(index)
            if isinstance(module, ReadoutBatchNorm):
                rows = torch.arange(module.readouts).view(len(self.widths), -1)[index]
                module.widths = 1
                module.keep(rows, _share(module.num_features, share))
            return module

        network = copied(self.backbone)
        _replace(network, slice_one)
        return network

    def _nest(self) -> None:
        """Replace layers that mix channels, and batch norms, by layers for all widths."""
        network = self.backbone
        mixing = [m for _, m in _layers(network) if isinstance(m, nn.Linear | nn.Conv2d)]
        in_head = set(network.head.modules())
        count = len(self.widths)

        def nest_one(module: nn.Module) -> nn.Module:
            depths = network.space.count if module in in_head else 1
            if isinstance(module, nn.Linear | nn.Conv2d):
                inputs, outputs = (
                    [size] * count if module is end else [_share(size, w / self.widths[-1]) for w in self.widths]
                    for size, end in zip(_channels(module), (mixing[0], mixing[-1]), strict=True)
                )
                return NestedLayer(module, inputs, outputs, depths)
            if isinstance(module, BatchNorm):
                module = module if isinstance(module, ReadoutBatchNorm) else ReadoutBatchNorm(module, 1)
                module.repeat_widths(count)
            return module

        _replace(network, nest_one)


def _share(channels: int, share: float) -> int:
    return max(1, round(channels * share))


def _channels(layer: nn.Linear | nn.Conv2d) -> tuple[int, int]:
    """Return the numbers of input and output channels."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels


def _layers(network: PerDepth) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers in the order in which the forward pass calls them."""
    parts = {"stem": network.stem, **{f"blocks.{i}": b for i, b in enumerate(network.blocks)}}
    parts |= {"pool": network.pool, "head": network.head}
    for part, module in parts.items():
        for name, child in module.named_modules(prefix=part):
            if not list(child.children()):
                yield name, child


def _full_width(network: PerDepth) -> int:
    """Return the channels between blocks; raise unless all layers can be nested."""
    known = {layer for _, layer in _layers(network)}
    others = [n for n, m in network.named_modules() if m not in known and not list(m.children()) and m.state_dict()]
    if others or isinstance(network.head, nn.ModuleList):
        raise TypeError(
            f"Expected a network of a stem, blocks, a pool and one head, got also {others or 'several heads'}."
        )
    channels: int | None = None
    between = None
    normed = ""
    for name, layer in _layers(network):
        if isinstance(layer, nn.Linear | nn.Conv2d) and getattr(layer, "groups", 1) == 1:
            inputs, outputs = _channels(layer)
            if channels is not None and inputs != channels:
                raise ValueError(
                    f"Expected layer {name} to have {channels} input channels, as many as the layer before it has "
                    f"outputs, got {inputs}. Pool images before a linear layer."
                )
            channels, normed = outputs, ""
        elif isinstance(layer, BatchNorm | Standardise):
            normed = name
            if isinstance(layer, BatchNorm) == (channels is None):
                raise ValueError(
                    f"Expected batch norm after the first Linear or Conv2d layer and Standardise before it, got "
                    f"{type(layer).__name__} as {name}. Move it."
                )
        elif not isinstance(layer, (BatchNorm, *_CHANNELWISE)):
            raise TypeError(
                f"Expected only Linear, Conv2d (groups=1), batch norm and layers that treat each channel separately, "
                f"got {type(layer).__name__} as {name}, which pyro_vds cannot make narrower."
            )
        if isinstance(layer, ReadoutBatchNorm) and layer.statistics == "shared":
            raise ValueError('Expected head_statistics="per_depth" for a network with widths, got "shared".')
        between = channels if name.startswith("stem") else between
    if isinstance(network.get_submodule(normed), BatchNorm):
        raise ValueError(f"Expected no batch norm after the last layer, whose channels are the outputs, got {normed}.")
    if between is None:
        raise ValueError("Expected a Linear or Conv2d layer in the stem, whose channels are the width; got none.")
    return between


def _checked_widths(widths: Sequence[int], full: int) -> tuple[int, ...]:
    given = tuple(widths)
    integers = all(isinstance(w, Integral) and not isinstance(w, bool) for w in given)
    if not given or not integers or given[0] < 1 or any(a >= b for a, b in pairwise(given)) or given[-1] != full:
        raise ValueError(
            f"Expected increasing widths that end with the network's own, {full}; got {given}. Build the network with "
            "the largest width."
        )
    return tuple(int(w) for w in given)


def _replace(module: nn.Module, new: Callable[[nn.Module], nn.Module]) -> None:
    """Replace descendants of a module, without descending into replacements."""
    for name, child in list(module.named_children()):
        replacement = new(child)
        if replacement is child:
            _replace(child, new)
        else:
            module.add_module(name, replacement)
