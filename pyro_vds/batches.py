"""Batches for training and prediction, drawn by index from tensors on the device."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.typing import Data


class IndexBatches:
    """Shuffled batches of tensors that already lie on the device: no worker processes, no copies to it.

    A last batch of a single point joins the one before it, since batch norm cannot train on one point.

    Args:
        data: Inputs and targets on one device.
        batch_size: Points in a batch; the full data set if it is larger.
        generator: Draws the order of each epoch, on the CPU.
    """

    def __init__(self, data: Data, batch_size: int, generator: torch.Generator) -> None:
        self.x, self.y = data
        self.generator = generator
        size = len(self.x)
        ends = list(range(batch_size, size, batch_size))
        if ends and size - ends[-1] == 1:
            ends.pop()
        self.lengths = [end - start for start, end in zip([0, *ends], [*ends, size], strict=True)]

    def __iter__(self) -> Iterator[Data]:
        """Yield the batches of one epoch."""
        if len(self.lengths) == 1:
            yield self.x, self.y
            return
        order = torch.randperm(len(self.x), generator=self.generator).to(self.x.device)
        for index in order.split(self.lengths):
            yield self.x[index], self.y[index]


class LoaderBatches:
    """The batches of a ``DataLoader``, moved to a device.

    Args:
        loader: Yields pairs of inputs and targets.
        device: Where the batches go.
        check: Raises if a pair does not suit the model; it sees each batch of the first epoch.
    """

    def __init__(self, loader: DataLoader, device: torch.device, check: Callable[[Tensor, Tensor], None]) -> None:
        self.loader = loader
        self.device = device
        self.check = check
        self.checked = False

    def __iter__(self) -> Iterator[Data]:
        """Yield the batches of one epoch."""
        for batch in self.loader:
            x, y = as_pair(batch, "the batches of a DataLoader")
            if not self.checked:
                self.check(x, y)
            yield x.to(self.device, non_blocking=True), y.to(self.device, non_blocking=True)
        self.checked = True


def as_pair(batch: Any, name: str) -> Data:
    """Return inputs and targets of a pair.

    Args:
        batch: What should be a pair of tensors.
        name: What it is, for the message.

    Raises:
        TypeError: If it is no pair.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        what = f"{len(batch)} parts" if isinstance(batch, tuple | list) else type(batch).__name__
        raise TypeError(f"Expected {name} as a pair (inputs, targets) of tensors, got {what}.")
    return batch[0], batch[1]


def in_order(x: Tensor, batch_size: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield slices of at most ``batch_size`` points, in order, with the inputs that they select."""
    for start in range(0, len(x), batch_size):
        part = slice(start, start + batch_size)
        yield part, x[part]
