"""What a ``DataLoader`` yields, told before it is gone through."""

from typing import Any

from torch.utils.data import DataLoader, RandomSampler


def sampled(loader: DataLoader) -> int | None:
    """Return the number of points that one pass over a loader yields; ``None`` where it does not say.

    Its sampler is asked, not its data set: a subset sampler yields fewer points than the data set has.

    Args:
        loader: Yields batches of points.
    """
    sampler, batch_size, drop_last = _plan(loader)
    size = _length(sampler)
    return size if size is None or not drop_last else size - size % batch_size


def require_every_point(loader: DataLoader) -> None:
    """Raise unless one pass over a loader yields each of its points once, as far as the loader says.

    Args:
        loader: Yields batches of points.

    Raises:
        ValueError: If it drops the last batch, or draws points with replacement.
    """
    sampler, batch_size, drop_last = _plan(loader)
    size = _length(sampler)
    if drop_last and (size is None or size % batch_size):
        raise ValueError(
            f"Expected a DataLoader of all points, got one that drops the last batch "
            f"({'of unknown size' if size is None else f'{size % batch_size} of {size} points'}). Pass the tensors, or "
            "a DataLoader with drop_last=False."
        )
    if isinstance(sampler, RandomSampler) and sampler.replacement:
        raise ValueError("Expected a DataLoader that yields each point once, got one that draws with replacement.")


def _plan(loader: DataLoader) -> tuple[Any, int, bool]:
    """Return what numbers the points, how many make a batch, and whether a smaller last batch is dropped."""
    batches = loader.batch_sampler
    if batches is None:
        return loader.sampler, loader.batch_size or 1, loader.drop_last
    return (
        getattr(batches, "sampler", None), getattr(batches, "batch_size", 1), getattr(batches, "drop_last", False)
    )  # fmt: skip


def _length(sampler: Any) -> int | None:
    try:
        return len(sampler)
    except TypeError:
        return None
