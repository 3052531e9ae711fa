"""A backbone of the modules of an ``nn.Sequential``."""

from torch import nn

from pyro_vds.backbones.from_modules import FromModules, WidthsToModule
from pyro_vds.backbones.normalisation import HeadStatistics
from pyro_vds.backbones.per_depth import Readout
from pyro_vds.spaces.typing import InputsLike


def from_sequential(
    network: nn.Sequential,
    blocks: slice,
    *,
    example: InputsLike,
    head: int | None = None,
    adapter: WidthsToModule = nn.Linear,
    readout: Readout = "all",
    head_statistics: HeadStatistics = "per_depth",
) -> FromModules:
    """Return a backbone of the modules of an ``nn.Sequential``; its last depth is the network itself.

    The modules before the blocks are the stem, and the modules between the blocks and the head are the pool. If the
    shapes of activations change, the head has to take features ``(batch, width)``.

    Example::

        network = nn.Sequential(stem, block, block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
        net = from_sequential(network, slice(1, 3), head=5, example=x[:1])

    Args:
        network: Stem, residual blocks (whole maps), pooling and head, in this order.
        blocks: Positions of the blocks, ``slice(first, behind_last)``.
        example: Inputs ``(batch, ...)``; the first one is run once.
        head: Position of the head's first module; by default it follows the blocks directly.
        adapter: See :class:`pyro_vds.FromModules`.
        readout: ``"all"`` depths, or only the ``"last"`` one (a DDN).
        head_statistics: See :class:`pyro_vds.FromModules`.

    Raises:
        ValueError: If the positions are not in order, or :class:`pyro_vds.FromModules` raises it.
    """
    first, stop, step = blocks.indices(len(network))
    start = stop if head is None else range(len(network))[head] if -len(network) <= head < len(network) else -1
    if step != 1 or not 0 <= first < stop <= start < len(network):
        raise ValueError(
            f"Expected blocks, followed by a head, among the {len(network)} modules, got blocks={blocks} and "
            f"head={head}. Give slice(first, behind_last) and the position of the head's first module."
        )
    return FromModules(
        network[:first],
        network[first:stop],
        network[start:],
        example=example,
        pool=network[stop:start],
        adapter=adapter,
        readout=readout,
        head_statistics=head_statistics,
    )
