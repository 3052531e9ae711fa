"""The residual networks of the paper (appendix B)."""

from numbers import Integral

from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.normalisation import HeadStatistics
from pyro_vds.backbones.per_depth import PerDepth, Readout


class GlobalAveragePool(nn.Module):
    """The mean of each channel over an image.

    It is a sum times a number: the gradient of ``mean`` would divide a whole feature map for each depth read out.
    """

    def forward(self, x: Float[Tensor, "batch channels *space"]) -> Float[Tensor, "batch channels"]:
        """Return the mean over all dimensions after the channels."""
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
    """The paper's fully connected network (appendix B).

    Stem ``Linear(in, width)``; blocks ``Linear -> ReLU -> BatchNorm`` inside the residual; head
    ``Linear(width, out)``. Weights are drawn from torch's global generator: call ``torch.manual_seed`` first.

    Args:
        in_features: Number of input features; inputs have shape ``(batch, in_features)``.
        out_features: Number of outputs (classes, or regression targets).
        width: Number of units of each layer.
        max_depth: Number of residual blocks ``D``, 0 or more.
        readout: ``"all"`` depths, or only the ``"last"`` one (a DDN).
        head_statistics: Without effect, since this head has no batch norm.

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
    """The paper's convolutional network (appendix B).

    Stem ``Conv2d(5x5, no padding) -> AvgPool2d(2)``; pre-activation bottleneck blocks without
    down-sampling; global average pooling; head of a residual ``Linear -> ReLU -> BatchNorm`` block and a
    ``Linear``. Weights are drawn from torch's global generator: call ``torch.manual_seed`` first.

    Args:
        in_channels: Number of image channels; inputs have shape ``(batch, in_channels, height, width)``,
            at least 6 pixels high and wide.
        out_features: Number of outputs.
        max_depth: Number of residual blocks ``D``, 0 or more.
        channels: Number of channels between blocks.
        bottleneck: Number of channels within a block.
        readout: ``"all"`` depths, or only the ``"last"`` one (a DDN).
        head_statistics: Whether the head's batch norm keeps running statistics ``"per_depth"`` or one ``"shared"`` set.

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
