"""Images of other data sets, in the shape and the units of those that a network was trained on."""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from experiments.engine.svhn import svhn_test_digits
from pyro_vds import datasets
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.runs.settings import Settings

READERS = {"mnist": datasets.mnist, "fashion_mnist": datasets.fashion_mnist}
EMNIST_LETTERS, SVHN_DIGITS = "emnist_letters", "svhn_digits"


def outside_images(name: str, data: DataSet, data_root: str) -> Tensor:
    """Return test images in grey, 28 x 28, normalised as the training images are.

    Args:
        name: ``"mnist"``, ``"fashion_mnist"``, ``"emnist_letters"`` or ``"svhn_digits"``.
        data: The data that networks were trained on.
        data_root: Folder of the image data sets.

    Raises:
        FileNotFoundError: If files are missing.
    """
    if name == EMNIST_LETTERS:
        images = _letters(Path(data_root))
    elif name == SVHN_DIGITS:
        raw = svhn_test_digits(Settings(data="svhn", data_root=data_root))
        colour = torch.cat([raw.test[0], raw.train[0]]) * raw.std[:, None, None] + raw.mean[:, None, None]
        images = nn.functional.interpolate(colour.mean(1, keepdim=True), (28, 28), mode="bilinear", antialias=True)
    else:
        images = READERS[name](data_root, pixels="uint8", generator=torch.Generator()).test[0].float() / 255
    return (images - data.mean[:, None, None]) / data.std[:, None, None]


def _letters(root: Path) -> Tensor:
    """Return the test images of EMNIST letters, upright, in random order: the file is sorted by letter."""
    path = root / "EMNIST" / "raw" / "emnist-letters-test-images-idx3-ubyte.gz"
    if not path.is_file():
        raise FileNotFoundError(f"Expected the EMNIST letters at {path}, found none. Give their folder: --data-root.")
    pixels = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(pixels.astype(np.float32) / 255).transpose(2, 3)[order]
