"""Images averaged over 2 x 2 pixels, a quarter of the work: MNIST, Fashion-MNIST, SVHN test digits and CIFAR-10."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from experiments.engine.svhn import SVHN_TEST_DIGITS, read_svhn_test_digits
from pyro_vds import datasets
from pyro_vds.datasets.dataset import DataSet, split_and_normalise
from pyro_vds.spaces.typing import TensorPair

CHUNK = 5000
TRAIN_SIZE, VALIDATION, TEST_SIZE = 5400, 0.1, 5000


def small_images(
    name: str,
    data_root: str,
    seed: int,
    *,
    validation: float = VALIDATION,
    train_size: int = TRAIN_SIZE,
    test_size: int = TEST_SIZE,
) -> DataSet:
    """Return training images, others to validate on, and test images, drawn by a seed.

    Args:
        name: ``"mnist"``, ``"fashion_mnist"``, ``"svhn_test_digits"`` or ``"cifar10"``.
        data_root: Folder of the image data sets.
        seed: The seed.
        validation: Share of those to validate on among them and the training images; 0.1 are 600.
        train_size: Number of training images.
        test_size: The largest number of test images.
    """
    train, (x, y) = _pooled(name, data_root)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)[:test_size]
    return split_and_normalise(
        train,
        (x[order], y[order]),
        classes=10,
        validation_fraction=validation,
        train_size=round(train_size / (1 - validation)),
        generator=generator,
    )


def other_images(name: str, data: DataSet, data_root: str, size: int) -> Tensor:
    """Return test images of another data set, normalised by the training images of this one.

    Args:
        name: The other data set.
        data: The data that networks were trained on.
        data_root: Folder of the image data sets.
        size: Number of images.
    """
    _, (x, _) = _pooled(name, data_root)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:size]
    return (x[order] - data.mean[:, None, None]) / data.std[:, None, None]


@cache
def _pooled(name: str, data_root: str) -> tuple[TensorPair, TensorPair]:
    """Return all training and test images, from 0 to 1; they stay in memory for the other seeds and methods."""
    train, test = READERS[name](data_root)
    return _averaged(train), _averaged(test)


def _averaged(part: TensorPair) -> TensorPair:
    x, y = part
    return torch.cat([avg_pool2d(some.float() / 255, 2) for some in x.split(CHUNK)]), y


def _library(read: Callable[..., DataSet]) -> Callable[[str], tuple[TensorPair, TensorPair]]:
    def parts(data_root: str) -> tuple[TensorPair, TensorPair]:
        data = read(data_root, pixels="uint8", generator=torch.Generator())
        return data.train, data.test

    return parts


READERS: dict[str, Callable[[str], tuple[TensorPair, TensorPair]]] = {
    "mnist": _library(datasets.mnist),
    "fashion_mnist": _library(datasets.fashion_mnist),
    SVHN_TEST_DIGITS: lambda data_root: read_svhn_test_digits(Path(data_root)),
    "cifar10": _library(datasets.cifar10),
}
