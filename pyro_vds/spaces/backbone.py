"""What the package asks of a backbone."""

from typing import Protocol, runtime_checkable

from torch import Tensor


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
