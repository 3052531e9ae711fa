"""Randomness that is seeded in one place and leaves the global generators alone."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def isolated_rng(device: torch.device | str = "cpu", seed: int | None = None) -> Iterator[None]:
    """Run with generators of its own: afterwards the global ones are as they were.

    Args:
        device: A device whose generator is used besides the CPU's.
        seed: Seeds them; without it they go on from where they are.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if seed is not None:
            # Not torch.manual_seed, which would also seed the GPUs that are not restored.
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.default_generators[device.index or 0].manual_seed(seed)
        yield


def isolated_items[T](items: Iterable[T]) -> Iterator[T]:
    """Yield items that draw numbers as they are made, such as the batches of a ``DataLoader``, from a generator apart.

    It is one of the CPU and goes on from where the global one is, which between the items and afterwards is as it was.

    Args:
        items: What draws.
    """
    inner = torch.get_rng_state()
    iterator: Iterator[T] | None = None
    while True:
        outer = torch.get_rng_state()
        torch.set_rng_state(inner)
        try:
            iterator = iter(items) if iterator is None else iterator
            item = next(iterator)
        except StopIteration:
            return
        finally:
            inner = torch.get_rng_state()
            torch.set_rng_state(outer)
        yield item
