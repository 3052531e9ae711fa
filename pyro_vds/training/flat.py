"""Many tensors as views of one, so that a compiled graph and an optimiser have few tensors."""

from typing import Any

import torch
from torch import Tensor


class FlatTensors:
    """Named tensors that are views of one tensor ``(rows, numbers)``.

    Args:
        tensors: Tensors of one dtype and device; they become views.
        rows: Number of replicates, the first dimension of every tensor; 1 without replicates.

    Raises:
        TypeError: If their dtypes differ.
    """

    def __init__(self, tensors: dict[str, Any], rows: int = 1) -> None:
        if len({t.dtype for t in tensors.values()}) > 1:
            raise TypeError("the parameters have different types")
        self.tensors = tensors
        self.rows = rows
        self.names = list(tensors)
        self.shapes = [t.shape for t in tensors.values()]
        self.sizes = [t.numel() // rows for t in tensors.values()]
        self.flat = self.joined([t.detach() for t in tensors.values()])
        for tensor, view in zip(tensors.values(), self.views(self.flat).values(), strict=True):
            tensor.data = view

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the named parts of a flat tensor."""
        parts = zip(self.names, flat.split(self.sizes, dim=1), self.shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in parts}

    def joined(self, parts: Any) -> Tensor:
        """Return parts in the order of the names as one flat tensor."""
        return torch.cat([part.reshape(self.rows, -1) for part in parts], dim=1)

    def release(self) -> None:
        """Give each tensor its own memory."""
        for tensor in self.tensors.values():
            tensor.data = tensor.data.clone()
