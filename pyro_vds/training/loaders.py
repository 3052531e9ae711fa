"""What a ``DataLoader`` brings: how many points, in which batches, and all of them at once."""

from collections.abc import Sized
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from pyro_vds.ops.rng import isolated_rng
from pyro_vds.ops.tensors import as_pair
from pyro_vds.spaces.typing import Data


def count_points(loader: DataLoader) -> int | None:
    """Return the number of points that a loader draws from, as far as it can be known.

    They are those of its sampler: a sampler may leave points of the data set out. Points that ``drop_last`` leaves out
    of an epoch count, since another epoch has them.

    Args:
        loader: The loader.

    Returns:
        The number; ``None`` for a stream without one, and for samplers of batches that do not say.
    """
    if loader.batch_sampler is None:
        return None  # the data set makes batches of its own
    if isinstance(loader.dataset, IterableDataset):
        return _length(loader.dataset)
    return _length(getattr(loader.batch_sampler, "sampler", None))


def smallest_batch(loader: DataLoader, first: int) -> int:
    """Return the size of the smallest batch, as far as it can be known.

    Args:
        loader: The loader.
        first: Size of its first batch.
    """
    batches, size = loader.batch_sampler, count_points(loader)
    if size is None or not isinstance(batches, BatchSampler) or batches.drop_last:
        return first
    return size % batches.batch_size or first


def gathered(loader: DataLoader, name: str, device: torch.device) -> Data:
    """Return all points of a loader as one pair on a device; the global generators are left as they were.

    Args:
        loader: Yields pairs of inputs and targets.
        name: What it holds, for messages.
        device: Where the tensors go.

    Raises:
        TypeError: If a batch is no pair of tensors.
        ValueError: If it yields nothing, or leaves points out.
    """
    with isolated_rng():
        pairs = [tuple(part.to(device) for part in as_pair(batch, name)) for batch in loader]
    if not pairs:
        raise ValueError(f"Expected a DataLoader with at least one batch as {name}, got none.")
    x, y = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    size = count_points(loader)
    if size is not None and size != len(x):
        raise ValueError(f"Expected all {size} points of the DataLoader as {name}, got {len(x)}. Use drop_last=False.")
    return x, y


def _length(points: Any) -> int | None:
    try:
        return len(points) if isinstance(points, Sized) else None
    except (TypeError, NotImplementedError):
        return None
