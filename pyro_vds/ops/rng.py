"""Random numbers that leave the global generators as they were."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def isolated_rng(device: torch.device | str = "cpu", seed: int | None = None) -> Iterator[None]:
    """Restore the global generators of the CPU and of a device afterwards.

    Args:
        device: The device.
        seed: Seed of both generators; ``None`` lets them continue from their current state.
    """
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if seed is not None:
            # torch.manual_seed would also seed the other GPUs, which are not restored.
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
