"""What a ``DataLoader`` yields, told before it is gone through."""

from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler

from pyro_vds.ops.rng import isolated_rng
from pyro_vds.ops.tensors import as_pair
from pyro_vds.spaces.typing import Data


def count_points(loader: DataLoader) -> int | None:
    """Return the number of points that a loader draws from; ``None`` where it does not say.

    Its sampler is asked, not its data set: a subset sampler draws from fewer points than the data set has. Points that
    ``drop_last`` leaves out of one pass count, since another pass has them.

    Args:
        loader: Yields batches of points.
    """
    if isinstance(loader.dataset, IterableDataset):
        return _length(loader.dataset)
    return _length(_plan(loader)[0])


def smallest_batch(loader: DataLoader, first: int) -> int:
    """Return the size of the smallest batch, as far as it can be known.

    Args:
        loader: Yields batches of points.
        first: Size of its first batch.
    """
    _, batch_size, drop_last = _plan(loader)
    size = count_points(loader)
    return first if size is None or drop_last else size % batch_size or first


def require_every_point(loader: DataLoader) -> None:
    """Raise unless one pass over a loader yields each of its points once, as far as the loader says.

    Args:
        loader: Yields batches of points.

    Raises:
        ValueError: If it drops the last batch, or draws points with replacement.
    """
    sampler, batch_size, drop_last = _plan(loader)
    size = count_points(loader)
    if drop_last and (size is None or size % batch_size):
        raise ValueError(
            f"Expected a DataLoader of all points, got one that drops the last batch "
            f"({'of unknown size' if size is None else f'{size % batch_size} of {size} points'}). Pass the tensors, or "
            "a DataLoader with drop_last=False."
        )
    if isinstance(sampler, RandomSampler) and sampler.replacement:
        raise ValueError("Expected a DataLoader that yields each point once, got one that draws with replacement.")


def gathered(loader: DataLoader, name: str, device: torch.device) -> Data:
    """Return all points of a loader as one pair on a device; the global generators are left as they were.

    Args:
        loader: Yields pairs of inputs and targets.
        name: What they are, for the message.
        device: Where they go.

    Raises:
        TypeError: If it does not yield pairs of tensors.
        ValueError: If it yields nothing, or leaves points out.
    """
    require_every_point(loader)
    with isolated_rng():
        pairs = [tuple(part.to(device) for part in as_pair(batch, name)) for batch in loader]
    if not pairs:
        raise ValueError(f"Expected a DataLoader with at least one batch as {name}, got none.")
    x, y = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return x, y


def _plan(loader: DataLoader) -> tuple[Any, int, bool]:
    """Return what numbers the points, how many make a batch, and whether a smaller last batch is dropped."""
    batches = loader.batch_sampler
    if batches is None:  # the data set makes batches of its own, of which the sampler numbers the batches
        return None, 1, False
    return (
        getattr(batches, "sampler", None), getattr(batches, "batch_size", 1), getattr(batches, "drop_last", False)
    )  # fmt: skip


def _length(points: Any) -> int | None:
    try:
        return len(points)
    except (TypeError, NotImplementedError):
        return None
