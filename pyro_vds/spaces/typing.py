"""The shapes in the docstrings of the package.

Shapes are written in the order ``(*axes, *batch_shape, batch, *event)``. ``axes`` are the named, enumerated choices of
architecture, for example ``("depth",)``: depth ``d`` runs over ``0..max_depth``, so the axis has ``max_depth + 1``
entries. ``batch_shape`` is ``(replicate,)`` if independent replicates are trained side by side, and otherwise empty.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

Array = Tensor | np.ndarray

Inputs = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
"""What a network is called with: one tensor ``(*batch_shape, batch, ...)``, or several of the same points as a tuple or
a dict, such as token ids and their mask."""

InputsLike = (
    Shaped[Array, "batch ..."] | Sequence[Shaped[Array, "batch ..."]] | Mapping[str, Shaped[Array, "batch ..."]]
)
"""What users pass for :data:`Inputs`: NumPy arrays as well as tensors."""

Targets = Shaped[Tensor, "batch *target"]
TargetsLike = Shaped[Array, "batch *target"]
Outputs = Float[Tensor, "..."]
TensorPair = tuple[Tensor, Tensor]
Data = tuple[Inputs, Tensor]
WeightedData = tuple[Inputs, Tensor, Tensor]
"""Inputs, targets, and the weight of each point in the log likelihood, ``(*batch_shape, N)``."""

PairLike = tuple[Array | Sequence[Array] | Mapping[str, Array], Array]
"""Inputs and targets as users pass them."""

DataLike = PairLike | tuple[Array | Sequence[Array] | Mapping[str, Array], Array, Array]
"""Inputs and targets, and the weights of the points if they have any, as users pass them."""
