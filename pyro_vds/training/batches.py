"""Batches for training: drawn by index from tensors on the device, or from a ``DataLoader``."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from pyro_vds.ops.data import of_each_part
from pyro_vds.ops.inputs import at, device_of, moved, points
from pyro_vds.spaces.typing import Data, WeightedData


class IndexBatches:
    """Shuffled batches of tensors that are on the device already: no worker processes, no copies to the device.

    A last batch of less than an eighth of the batch size joins the batch before it, since batch norm over few points
    is noisy.

    Args:
        data: Inputs and targets, and weights if they have any, on one device.
        batch_size: Points in a batch; at most the full data set is used.
        generator: Generator of the order of each epoch, on the CPU.
    """

    def __init__(self, data: Data | WeightedData, batch_size: int, generator: torch.Generator) -> None:
        self.data = data
        self.generator = generator
        self.lengths = batch_lengths(points(data[0]), batch_size)

    def __iter__(self) -> Iterator[Data | WeightedData]:
        """Yield the batches of one epoch."""
        if len(self.lengths) == 1:
            yield self.data
            return
        order = torch.randperm(points(self.data[0]), generator=self.generator).to(device_of(self.data[0]))
        for index in order.split(self.lengths):
            yield of_each_part(partial(at, index=index), self.data)


class ReplicateBatches:
    """Shuffled batches for replicates, each in its own order.

    Args:
        data: Inputs and targets, and weights if they have any, ``(replicate, N, ...)`` on one device; they may be views
            of shared data.
        batch_size: Points in a batch of each replicate.
        generators: A generator for each replicate, on the CPU; each gives the same order as in :class:`IndexBatches`.
    """

    def __init__(self, data: Data | WeightedData, batch_size: int, generators: Sequence[torch.Generator]) -> None:
        self.data = data
        self.generators = generators
        self.lengths = batch_lengths(points(data[0], 1), batch_size)

    def __iter__(self) -> Iterator[Data | WeightedData]:
        """Yield the batches of one epoch."""
        if len(self.lengths) == 1:
            yield self.data
            return
        size = points(self.data[0], 1)
        order = torch.stack([torch.randperm(size, generator=g) for g in self.generators]).to(device_of(self.data[0]))
        rows = torch.arange(len(order), device=order.device)[:, None]
        for index in order.split(self.lengths, dim=1):
            yield of_each_part(partial(at, index=(rows, index)), self.data)


class LoaderBatches:
    """The batches of a ``DataLoader``, moved to a device.

    Args:
        loader: Yields pairs of inputs and targets, or triples with weights.
        device: Device to move the batches to.
        as_data: Returns a batch as inputs, targets, and weights if it has any.
        check: Raises if a batch does not fit the model; it is called with the parts of each batch of the first epoch.
        first: A first batch, drawn for checks.
    """

    def __init__(
        self,
        loader: DataLoader,
        device: torch.device,
        *,
        as_data: Callable[[Any], Data | WeightedData],
        check: Callable[..., None],
        first: Data | WeightedData,
    ) -> None:
        self.loader = loader
        self.device = device
        self.as_data = as_data
        self.check = check
        self.first = first
        self.checked = False

    def __iter__(self) -> Iterator[Data | WeightedData]:
        """Yield the batches of one epoch."""
        for batch in self.loader:
            parts = self.as_data(batch)
            if len(parts) != len(self.first):
                raise TypeError("Expected a DataLoader with weights in each batch or in none, got some of both.")
            if not self.checked:
                self.check(*parts)
            yield of_each_part(partial(moved, device=self.device, non_blocking=True), parts)
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
