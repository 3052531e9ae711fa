"""CIFAR-10 as JPEG files in one npz: a stand-in where the exact pixels are missing.

The JPEG files lose detail, so errors are not comparable with published ones.
"""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vds.spaces.typing import Data


def cifar10_jpeg(data_root: str, *, pool: int = 1) -> tuple[Data, Data]:
    """Return 50,000 and 10,000 colour images, values from 0 to 1, and their classes; training and test split.

    Args:
        data_root: The file is ``data_root/CIFAR10-jpeg/cifar10_jpeg.npz``.
        pool: Side of the squares of pixels to average over; 1 keeps 32x32 pixels.

    Raises:
        FileNotFoundError: If the file is missing.
    """
    path = Path(data_root) / "CIFAR10-jpeg" / "cifar10_jpeg.npz"
    if not path.is_file():
        raise FileNotFoundError(f"Expected CIFAR-10 at {path}, found none. Give its folder: --data-root.")
    with np.load(path) as file:
        jpeg, offset, label, is_test = (file[name] for name in ("jpeg", "offset", "label", "is_test"))
    bounds = zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True)
    decoded = torch.from_numpy(np.stack([_decoded(jpeg[start:end].tobytes()) for start, end in bounds]))
    images = torch.cat([_pooled(part, pool) for part in decoded.split(5000)])
    y, test = torch.from_numpy(label.astype("int64")), torch.from_numpy(is_test.astype(bool))
    return (images[~test], y[~test]), (images[test], y[test])


def _decoded(content: bytes) -> np.ndarray:
    from PIL import Image  # torchvision brings it

    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def _pooled(images: Tensor, pool: int) -> Tensor:
    """Return bytes ``(batch, height, width, 3)`` as numbers ``(batch, 3, height / pool, width / pool)``."""
    return nn.functional.avg_pool2d(images.permute(0, 3, 1, 2).float() / 255, pool)
