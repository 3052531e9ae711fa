"""Random numbers that leave the global generators as they were."""

from collections.abc import Iterator
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
