"""What the package asks of a backbone, and the shapes that it speaks of.

Shapes are written in the order ``(*axes, batch, *event)``. ``axes`` are the named, enumerated choices of
architecture, for example ``("depth",)``: depth ``d`` runs over ``0..max_depth``, so the axis has
``max_depth + 1`` entries.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int, Shaped
from torch import Tensor

Inputs = Shaped[Tensor, "batch ..."]
Targets = Shaped[Tensor, "batch *target"]
Outputs = Float[Tensor, "..."]
Labels = Int[Tensor, " batch"]
Data = tuple[Tensor, Tensor]


@runtime_checkable
class Backbone(Protocol):
    """A network that returns the outputs of every architecture on its axes in one forward pass.

    Any ``torch.nn.Module`` with these three members is a backbone.

    Attributes:
        axes: The name of each leading axis of the output; ``()`` for a deterministic network. The names
            become Pyro sample sites, keys of the guide and of ``priors``, and xarray dimensions.
        sizes: The number of entries of each axis, in the same order.

    A backbone may also have ``coords``, a mapping from axes to what their entries stand for, such as widths; without
    it they are numbered from 0.
    """

    axes: tuple[str, ...]
    sizes: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs ``(batch, ...)`` to outputs ``(*sizes, batch, *event)``."""
        ...
