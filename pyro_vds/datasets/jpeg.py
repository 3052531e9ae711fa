"""Images kept as JPEG in an npz file."""

import io
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from pyro_vds.spaces.typing import TensorPair


def read_jpeg_npz(path: Path) -> tuple[TensorPair, TensorPair]:
    """Return training and test images as bytes ``(N, channels, height, width)``, with their labels.

    The file has the arrays ``jpeg`` (the bytes of all images, one after the other), ``offset`` (where each starts, and
    the end of the last), ``label`` and ``is_test``.

    Args:
        path: The file.

    Raises:
        ValueError: If the file is damaged, has other arrays, or the images differ in size.
    """
    from PIL import Image  # torchvision brings it

    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            jpeg, offset, label, is_test = (file[name] for name in ("jpeg", "offset", "label", "is_test"))
        stream, ends = jpeg.tobytes(), offset.tolist()
        parts = (stream[start:end] for start, end in pairwise(ends))
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(part)).convert("RGB")) for part in parts])
    except (KeyError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"Expected the arrays jpeg, offset, label and is_test in {path}, but cannot read them: {error}. Copy the "
            "file again."
        ) from error
    if not label.shape == is_test.shape == pixels.shape[:1]:
        raise ValueError(
            f"Expected a label and is_test for each of {len(pixels)} images in {path}, got {label.shape} and "
            f"{is_test.shape}. Copy the file again."
        )
    x, y = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(label.astype(np.int64))
    test = torch.from_numpy(is_test.astype(bool))
    return (x[~test], y[~test]), (x[test], y[test])
