"""What a ``DataLoader`` will yield, as far as it can be known without a pass over it."""

from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, WeightedRandomSampler

from pyro_vds.ops.data import as_data, of_each_part
from pyro_vds.ops.inputs import joined, moved
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import Data, WeightedData


def count_points(loader: DataLoader) -> int | None:
    """Return the number of points that a loader draws from, or ``None`` if it is unknown.

    The sampler decides, not the data set: a subset sampler draws from fewer points than the data set has. Points that
    ``drop_last`` leaves out of one pass are counted, since another pass can yield them.

    Args:
        loader: Yields batches of points.
    """
    if isinstance(loader.dataset, IterableDataset):
        return _length(loader.dataset)
    return _length(_plan(loader)[0])


def smallest_batch(loader: DataLoader, first: int) -> int:
    """Return the size of the smallest batch; the size of the first one if it is unknown.

    Args:
        loader: Yields batches of points.
        first: Size of its first batch.
    """
    _, batch_size, drop_last = _plan(loader)
    size = count_points(loader)
    return first if size is None or drop_last else size % batch_size or first


def require_every_point(loader: DataLoader) -> None:
    """Raise if it is known that one pass over a loader does not yield each of its points once.

    Args:
        loader: Yields batches of points.

    Raises:
        ValueError: If it drops the last batch, draws points with replacement, or draws some of its points at random.
    """
    sampler, batch_size, drop_last = _plan(loader)
    size = count_points(loader)
    if drop_last and (size is None or size % batch_size):
        raise ValueError(
            f"Expected a DataLoader of all points, got one that drops the last batch "
            f"({'of unknown size' if size is None else f'{size % batch_size} of {size} points'}). Pass the tensors, or "
            "a DataLoader with drop_last=False."
        )
    if not isinstance(sampler, RandomSampler | WeightedRandomSampler):
        return
    if sampler.replacement:
        raise ValueError(
            "Expected a DataLoader that yields each point once, got one that draws with replacement. Use "
            "replacement=False."
        )
    points = len(sampler.data_source if isinstance(sampler, RandomSampler) else sampler.weights)
    if sampler.num_samples != points:
        raise ValueError(
            f"Expected a DataLoader that yields each point once, got one that draws {sampler.num_samples} of {points} "
            "points at random. Leave out num_samples, or pass a Subset of the data."
        )


def first_batch(loader: DataLoader) -> Any:
    """Return the first batch of a loader, to look at; the global generators are left as they were.

    Args:
        loader: Yields batches of points.

    Raises:
        ValueError: If it yields nothing.
    """
    with isolated_rng():
        batch = next(iter(loader), None)
    if batch is None:
        raise ValueError("Expected a DataLoader with at least one batch, got none.")
    return batch


def gathered(loader: DataLoader, name: str, device: torch.device, dtype: torch.dtype) -> Data | WeightedData:
    """Return all points of a loader, with weights if it has any, on a device; global generators stay as they were.

    Args:
        loader: Yields pairs of inputs and targets, or triples with weights.
        name: What they are, for the message.
        device: Where they go.
        dtype: The dtype of the network's weights, see :func:`pyro_vds.ops.inputs.as_inputs`.

    Raises:
        TypeError: If it does not yield pairs or triples of tensors.
        ValueError: If it yields nothing, or leaves points out.
    """
    require_every_point(loader)
    with isolated_rng():
        batches = [of_each_part(lambda part: moved(part, device), as_data(batch, name, dtype)) for batch in loader]
    if not batches:
        raise ValueError(f"Expected a DataLoader with at least one batch as {name}, got none.")
    if len({len(batch) for batch in batches}) > 1:
        raise TypeError(f"Expected {name} with weights in each batch or in none, got some of both.")
    return of_each_part(joined, tuple(zip(*batches, strict=True)))


def _plan(loader: DataLoader) -> tuple[Any, int, bool]:
    """Return the sampler of points, the batch size, and whether a smaller last batch is dropped."""
    batches = loader.batch_sampler
    if batches is None:  # the data set yields whole batches, and the sampler draws batches instead of points
        return None, 1, False
    return (
        getattr(batches, "sampler", None), getattr(batches, "batch_size", 1), getattr(batches, "drop_last", False)
    )  # fmt: skip


def _length(points: Any) -> int | None:
    try:
        return len(points)
    except (TypeError, NotImplementedError):
        return None
