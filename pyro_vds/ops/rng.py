"""Randomness that is seeded in one place and leaves the global generators alone."""

from collections.abc import Iterator
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
