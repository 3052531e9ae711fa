"""Small data sets for one CPU core, and how large the networks and how long the trainings on them are.

Images are 6,000 training ones, of which 600 to validate on, and 2,000 test images, averaged over 2x2 pixels.
"""

from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn

from experiments.engine.cifar import cifar10_jpeg
from experiments.engine.svhn import svhn_test_digits
from pyro_vds import datasets
from pyro_vds.datasets.dataset import DataSet, split_and_normalise
from pyro_vds.runs.settings import Settings
from pyro_vds.spaces.typing import Data

TRAIN, TEST, VALIDATION = 6000, 2000, 0.1
# Fresh points, since a tenth of 200 would say nothing: as many as no user with 200 points has.
FRESH_SPIRALS = 1000
# UCI has 20 standard splits: the seeds 0 to 4 are their numbers, the selection seeds 100 and 101 are splits 10 and 11.
UCI_SPLITS = 20


@dataclass(frozen=True)
class Task:
    """A data set with the sizes of its networks.

    Attributes:
        depths: Depths of plain networks to choose from; the last is the full depth ``D``.
        epochs: Passes over the data.
        batch_size: Points in a batch.
        width: Units of a dense network; ``None`` for images.
        channels: Channels of a convolutional network, and twice those of its bottleneck.
        lr: Learning rate of SGD.
        outside: The data set that is to be told apart from this one.
        corrupted: Whether it is measured under corruptions.
        train_size: Training points to draw, with those to validate on.
    """

    depths: tuple[int, int, int]
    epochs: int
    batch_size: int = 128
    width: int | None = None
    channels: int = 16
    lr: float = 0.1
    outside: str | None = None
    corrupted: bool = False
    train_size: int | None = None


_IMAGES = Task((2, 4, 8), 12, corrupted=True, train_size=TRAIN)
_REGRESSION = Task((1, 3, 5), 200, batch_size=64, width=50, lr=0.01)
TASKS = {
    "spirals": Task((5, 10, 20), 1000, batch_size=1000, width=20),
    "digits": Task((2, 4, 8), 30),
    "mnist": replace(_IMAGES, outside="fashion_mnist"),
    "svhn": replace(_IMAGES, epochs=20, outside="cifar10"),
    "fashion_mnist": replace(_IMAGES, outside="mnist"),
    "cifar10": replace(_IMAGES, epochs=20, outside="svhn", corrupted=False),
    "energy": _REGRESSION,
    "concrete": _REGRESSION,
}
TINY = Task((1, 1, 2), 1, batch_size=64, channels=4, corrupted=True, train_size=150)


def load_task(name: str, task: Task, seed: int, data_root: str) -> DataSet:
    """Return a data set, drawn and split by a seed, always with a part to validate on.

    Args:
        name: Its name in :data:`TASKS`. SVHN is the split of its first 10,000 test digits, CIFAR-10 is as JPEG.
        task: Its sizes.
        seed: The seed; the test images do not depend on it.
        data_root: Folder of the data sets.
    """
    generator = torch.Generator().manual_seed(seed)
    if name == "spirals":
        return _with_fresh_points(datasets.spirals(generator=generator), seed)
    if name == "digits":
        return datasets.digits(validation_fraction=VALIDATION, train_size=task.train_size, generator=generator)
    if task.width is not None:
        split = seed if seed < UCI_SPLITS else seed - 90
        return datasets.uci(data_root, name, split, validation_fraction=VALIDATION, generator=generator)
    train, test = _images(name, data_root)
    return split_and_normalise(
        train, test, classes=10, validation_fraction=VALIDATION, train_size=task.train_size, generator=generator
    )


def outside_inputs(name: str, data: DataSet, data_root: str) -> Tensor:
    """Return the test images of another data set in the units of the training images.

    Args:
        name: The other data set, with as many channels and pixels.
        data: The data that networks were trained on.
        data_root: Folder of the data sets.
    """
    (x, _) = _images(name, data_root)[1]
    return (x - data.mean[:, None, None]) / data.std[:, None, None]


def _with_fresh_points(data: DataSet, seed: int) -> DataSet:
    """Return spirals that are validated on points drawn apart from the 200 and 1,800."""
    apart = torch.Generator().manual_seed(10_000 + seed)
    x, y = datasets.spiral_points(FRESH_SPIRALS, rotation=720.0, noise=0.2, generator=apart)
    return replace(data, validation=((x - data.mean) / data.std, y))


@cache
def _images(name: str, data_root: str) -> tuple[Data, Data]:
    """Return all training images and the test images used, averaged over 2x2 pixels, values from 0 to 1."""
    if name == "cifar10":
        train, test = cifar10_jpeg(data_root, pool=2)
    elif name == "svhn":
        raw = svhn_test_digits(Settings(data="svhn", data_root=data_root))
        pixels = [(x * raw.std[:, None, None] + raw.mean[:, None, None], y) for x, y in (raw.train, raw.test)]
        train, test = ((nn.functional.avg_pool2d(x, 2), y) for x, y in pixels)
    else:
        read = {"mnist": datasets.mnist, "fashion_mnist": datasets.fashion_mnist}[name]
        raw = read(data_root, pixels="uint8", generator=torch.Generator().manual_seed(0))
        train, test = ((nn.functional.avg_pool2d(x.float() / 255, 2), y) for x, y in (raw.train, raw.test))
    some = torch.randperm(len(test[0]), generator=torch.Generator().manual_seed(99))[:TEST]
    return train, (test[0][some], test[1][some])
