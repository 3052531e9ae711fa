"""Search graphs that are ready to train: chosen connections, and cells of chosen operations."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.graph import SearchGraph
from pyro_vds.backbones.residual import GlobalAveragePool

GraphName = Literal["connectivity", "cell"]
ConnectivityMerge = Literal["squeeze", "concat", "sum", "max"]

NAS_BENCH_201 = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The operations of NAS-Bench-201 (Dong and Yang 2020), in the order of its files."""


class Bias(nn.Module):
    """Adds a learnt number to each feature.

    Args:
        features: Number of features.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Float[Tensor, "batch features *space"]) -> Float[Tensor, "batch features *space"]:
        """Return ``x + bias``."""
        return x + self.bias.view(-1, *[1] * (x.ndim - 2))


def connectivity(
    in_shape: Sequence[int],
    outputs: int,
    *,
    layers: int = 3,
    channels: int = 8,
    merge: ConnectivityMerge = "squeeze",
    pool: Sequence[int] = (),
) -> SearchGraph:
    """Return a network in which every layer may take from every earlier one, with a gate on each connection.

    The axis ``"gate"`` has a site for each of the ``(layers + 1) (layers + 2) / 2`` edges. The last node reads out:
    each edge into it averages over space and has a linear map of its own. No layer has batch norm, whose statistics
    would mix architectures, and nothing is normalised behind a merge, where all gates can be closed.

    Args:
        in_shape: Shape of an input: ``(channels, height, width)``, or ``(features,)`` for dense layers.
        outputs: Number of outputs, such as classes.
        layers: Number of layers between stem and head.
        channels: Channels of every layer, or units of dense layers.
        merge: ``"squeeze"``: the sum of a 1x1 convolution of each input, which equals one 1x1 convolution of their
            concatenation. ``"concat"``: the sum of a 3x3 convolution of each input, which equals one 3x3 convolution
            of their concatenation; it is the layer. ``"sum"`` and ``"max"``: of the inputs as they are.
        pool: The layers, from 1, that end with a 2x2 max pooling.

    Raises:
        ValueError: If the shape has another number of dimensions, the merge is unknown, dense layers are pooled, or
            there is no such layer to pool.
    """
    if len(in_shape) not in (1, 3):
        raise ValueError(f"Expected in_shape (features,) or (channels, height, width), got {tuple(in_shape)}.")
    if merge not in ("squeeze", "concat", "sum", "max"):
        raise ValueError(f"Expected merge 'squeeze', 'concat', 'sum' or 'max', got {merge!r}.")
    images = len(in_shape) == 3
    if pool and not images:
        raise ValueError(f"Expected no pooling of dense layers, got pool={tuple(pool)}.")
    if not set(pool) <= set(range(1, layers + 1)):
        raise ValueError(f"Expected pool as some of the layers 1..{layers}, got {tuple(pool)}.")
    carry = _carriers(channels, images)[merge]
    carrying = ("concat",) if images else ("squeeze", "concat")  # the map of the layer is on its edges
    last = layers + 1

    def read() -> nn.Module:
        linear = nn.Linear(channels, outputs, bias=False)
        return nn.Sequential(GlobalAveragePool(), linear) if images else linear

    options = {
        (source, target): {False: None, True: read() if target == last else carry()}
        for target in range(1, last + 1)
        for source in range(target)
    }
    return SearchGraph(
        nn.Sequential(_layer(in_shape[0], channels, images), nn.ReLU()),
        [_node(channels, images, conv=merge not in carrying, pool=node in pool) for node in range(1, last)],
        Bias(outputs),
        options,
        axis="gate",
        merge="max" if merge == "max" else "sum",
        example=torch.zeros(1, *in_shape),
    )


def cell(
    in_shape: Sequence[int], outputs: int, *, channels: int = 8, operations: Sequence[str] = NAS_BENCH_201
) -> SearchGraph:
    """Return a network of one cell of NAS-Bench-201: four nodes, and an operation on each of the six edges.

    The axis ``"op"`` has a site for each edge. The last node is averaged over space and read out by a linear map,
    which runs on each edge into it; the operations have no batch norm, whose statistics would mix architectures.

    Args:
        in_shape: Shape of an input, ``(channels, height, width)``.
        outputs: Number of outputs, such as classes.
        channels: Channels of every node.
        operations: The operations to choose from, some of :data:`NAS_BENCH_201`.

    Raises:
        ValueError: If an operation is unknown, or the shape is none of an image.
    """
    unknown = set(operations) - set(NAS_BENCH_201)
    if unknown or len(in_shape) != 3:
        raise ValueError(
            f"Expected in_shape (channels, height, width) and operations of {NAS_BENCH_201}, got {tuple(in_shape)} and "
            f"{tuple(operations)}."
        )
    read = nn.Sequential(GlobalAveragePool(), nn.Linear(channels, outputs, bias=False))

    def operation(name: str, target: int) -> nn.Module | None:
        carried = _operation(name, channels)
        return nn.Sequential(carried, read) if carried is not None and target == 3 else carried

    options = {
        (source, target): {name: operation(name, target) for name in operations}
        for target in range(1, 4)
        for source in range(target)
    }
    stem = nn.Conv2d(in_shape[0], channels, 3, padding=1)
    return SearchGraph(
        stem, [nn.Identity(), nn.Identity()], Bias(outputs), options, axis="op", example=torch.zeros(1, *in_shape)
    )


def _carriers(channels: int, images: bool) -> dict[str, Callable[[], nn.Module]]:
    """Return what makes the module of an open edge, for each merge."""
    if not images:
        linear = lambda: nn.Linear(channels, channels, bias=False)  # noqa: E731
        return {"squeeze": linear, "concat": linear, "sum": nn.Identity, "max": nn.Identity}
    return {
        "squeeze": lambda: nn.Conv2d(channels, channels, 1, bias=False),
        "concat": lambda: nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        "sum": nn.Identity,
        "max": nn.Identity,
    }


def _layer(inputs: int, channels: int, images: bool) -> nn.Module:
    return nn.Conv2d(inputs, channels, 3, padding=1) if images else nn.Linear(inputs, channels)


def _node(channels: int, images: bool, *, conv: bool, pool: bool) -> nn.Module:
    """Return the layer of a node: a map unless the merge has one already, ReLU, and pooling."""
    first = _layer(channels, channels, images) if conv else Bias(channels)
    return nn.Sequential(first, nn.ReLU(), *([nn.MaxPool2d(2)] if pool else []))


def _operation(name: str, channels: int) -> nn.Module | None:
    """Return the module of an operation of NAS-Bench-201; ``None`` for the one that carries nothing."""
    if name == "none":
        return None
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    size = 3 if name == "nor_conv_3x3" else 1
    return nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, size, padding=size // 2))
