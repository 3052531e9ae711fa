"""The free memory of a device."""

import math
from pathlib import Path

import torch

GIB = 2**30


def available_memory(device: torch.device) -> float:
    """Return the free memory of a device in bytes, within the limit of a container.

    Args:
        device: The device.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    import psutil

    return min(psutil.virtual_memory().available, container_memory())


def container_memory(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the free memory within a container's limit (control groups, version 2); infinite without a limit.

    Args:
        root: The folder of the control group.
    """
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
        statistics = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
    except OSError:
        return math.inf
    # The kernel frees file caches before it refuses memory.
    return math.inf if limit == "max" else max(0, int(limit) - used + int(statistics["inactive_file"]))
