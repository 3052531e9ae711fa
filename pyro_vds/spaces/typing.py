"""The shapes in the docstrings of the package.

Shapes are written in the order ``(*axes, *batch_shape, batch, *event)``. ``axes`` are the named, enumerated choices of
architecture, for example ``("depth",)``: depth ``d`` runs over ``0..max_depth``, so the axis has ``max_depth + 1``
entries. ``batch_shape`` is ``(replicate,)`` if independent replicates are trained side by side, and otherwise empty.
"""

from jaxtyping import Float, Shaped
from torch import Tensor

Inputs = Shaped[Tensor, "batch ..."]
Targets = Shaped[Tensor, "batch *target"]
Outputs = Float[Tensor, "..."]
Data = tuple[Tensor, Tensor]
WeightedData = tuple[Tensor, Tensor, Tensor]
"""Inputs, targets, and the weight of each point in the log likelihood, ``(batch,)``."""
