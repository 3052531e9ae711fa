"""The protocol that a network has to follow."""

from collections.abc import Hashable
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from pyro_vds.spaces.space import Space


@runtime_checkable
class Backbone(Protocol):
    """A network that returns the outputs of every architecture of its space in one forward pass.

    Any ``torch.nn.Module`` with these members is a backbone. A backbone of many replicates also has
    ``batch_shape``, a ``torch.Size``: its inputs are ``(*batch_shape, batch, ...)``, and its outputs
    ``(*sizes, *batch_shape, batch, *event)``.

    A backbone whose axes have sites, such as the edges of a graph, also has ``at``, which runs the architectures that
    it is given: ``at(x, {"gate": entries})`` with entries ``(architecture, sites)`` returns
    ``(architecture, *read_out, batch, *event)``. ``forward`` then returns the table of all architectures, in which an
    axis with sites is one dimension; it need not work for more than 65,536 of them.

    Attributes:
        space: The leading axes of the outputs, in order; empty for a network with a single architecture.
    """

    space: Space

    def __call__(self, x: Any) -> Tensor:
        """Map inputs ``(batch, ...)``, or a tuple or dict of them, to outputs ``(*sizes, batch, *event)``."""
        ...

    def restrict(self, **cut: Hashable) -> nn.Module:
        """Return an independent copy that computes only the architectures that a cut keeps.

        A nested axis keeps the entries up to the label; any other axis that is cut disappears from the outputs.

        Args:
            cut: A label for each axis that is cut.
        """
        ...
