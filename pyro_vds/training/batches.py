"""Batches for training: drawn by index from tensors on the device, or from a ``DataLoader``."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.ops.inputs import at, moved, points
from pyro_vds.spaces.typing import Data, Inputs


class IndexBatches:
    """Shuffled batches of tensors that are on the device already: no worker processes, no copies to the device.

    A last batch of less than an eighth of the batch size joins the batch before it, since batch norm over few points
    is noisy.

    Args:
        data: Inputs and targets on one device.
        batch_size: Points in a batch; at most the full data set is used.
        generator: Generator of the order of each epoch, on the CPU.
    """

    def __init__(self, data: Data, batch_size: int, generator: torch.Generator) -> None:
        self.x, self.y = data
        self.generator = generator
        self.lengths = batch_lengths(points(self.x), batch_size)

    def __iter__(self) -> Iterator[Data]:
        """Yield the batches of one epoch."""
        if len(self.lengths) == 1:
            yield self.x, self.y
            return
        order = torch.randperm(points(self.x), generator=self.generator).to(self.y.device)
        for index in order.split(self.lengths):
            yield at(self.x, index), self.y[index]


class ReplicateBatches:
    """Shuffled batches for replicates, each in its own order.

    Args:
        data: Inputs and targets ``(replicate, N, ...)`` on one device; they may be views of shared data.
        batch_size: Points in a batch of each replicate.
        generators: A generator for each replicate, on the CPU; each gives the same order as in :class:`IndexBatches`.
    """

    def __init__(self, data: Data, batch_size: int, generators: Sequence[torch.Generator]) -> None:
        self.x, self.y = data
        self.generators = generators
        self.lengths = batch_lengths(points(self.x, 1), batch_size)

    def __iter__(self) -> Iterator[Data]:
        """Yield the batches of one epoch."""
        if len(self.lengths) == 1:
            yield self.x, self.y
            return
        size = points(self.x, 1)
        order = torch.stack([torch.randperm(size, generator=g) for g in self.generators]).to(self.y.device)
        rows = torch.arange(len(order), device=order.device)[:, None]
        for index in order.split(self.lengths, dim=1):
            yield at(self.x, (rows, index)), self.y[rows, index]


class LoaderBatches:
    """The batches of a ``DataLoader``, moved to a device.

    Args:
        loader: Yields pairs of inputs and targets.
        device: Device to move the batches to.
        as_pair: Returns a batch as a pair of inputs and targets.
        check: Raises if a pair does not fit the model; it is called with each batch of the first epoch.
        first: A first batch, drawn for checks.
    """

    def __init__(
        self,
        loader: DataLoader,
        device: torch.device,
        *,
        as_pair: Callable[[Any], Data],
        check: Callable[[Inputs, Tensor], None],
        first: Data,
    ) -> None:
        self.loader = loader
        self.device = device
        self.as_pair = as_pair
        self.check = check
        self.first = first
        self.checked = False

    def __iter__(self) -> Iterator[Data]:
        """Yield the batches of one epoch."""
        for batch in self.loader:
            x, y = self.as_pair(batch)
            if not self.checked:
                self.check(x, y)
            yield moved(x, self.device, non_blocking=True), y.to(self.device, non_blocking=True)
        self.checked = True


def batch_lengths(size: int, batch_size: int) -> list[int]:
    """Return the sizes of the batches of an epoch.

    Args:
        size: Number of points.
        batch_size: Points in a batch.
    """
    ends = list(range(batch_size, size, batch_size))
    # At least 2 points: batch norm cannot train on one.
    if ends and size - ends[-1] < max(2, batch_size / 8):
        ends.pop()
    return [end - start for start, end in zip([0, *ends], [*ends, size], strict=True)]


Batches = IndexBatches | ReplicateBatches | LoaderBatches
