"""What the package asks of a network."""

from collections.abc import Hashable
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from pyro_vds.spaces.space import Space


@runtime_checkable
class Backbone(Protocol):
    """A network that returns the outputs of every architecture of its space in one forward pass.

    Any ``torch.nn.Module`` with these members is a backbone. One that trains many copies at once also has
    ``batch_shape``, a ``torch.Size``: its inputs are ``(*batch_shape, batch, ...)``, and its outputs
    ``(*sizes, *batch_shape, batch, *event)``.

    Attributes:
        space: The axes that lead the outputs, in their order; an empty space for a network without choices.
    """

    space: Space

    def __call__(self, x: Tensor) -> Tensor:
        """Map inputs ``(batch, ...)`` to outputs ``(*sizes, batch, *event)``."""
        ...

    def restrict(self, **cut: Hashable) -> nn.Module:
        """Return an independent copy that computes only the architectures that a cut keeps.

        Its outputs lead with the axes that are left: a nested axis with the entries up to the label, any other axis
        that is cut is gone.

        Args:
            cut: The label of an entry for each axis that is cut.
        """
        ...
