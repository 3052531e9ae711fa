"""Small data sets for one CPU core, and how large the networks and how long the trainings on them are."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from experiments.engine.small_images import VALIDATION, small_images
from experiments.engine.svhn import SVHN_TEST_DIGITS
from pyro_vds import datasets
from pyro_vds.datasets.dataset import DataSet

# Fresh points, since a tenth of 200 would say nothing: more than a user with 200 points has.
FRESH_SPIRALS = 1000


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
        greedy: Whether the optimiser of ``ddn`` is chosen first, at the full depth, and its depth then; else both
            together.
        train_size: Training points to draw, with those to validate on; ``None`` takes all.
        shifted: Whether to measure under rotation, noise and blur.
        outside: The data set to be told from this one; ``None`` for none.
        recipe: Fields of the recipe that differ on this data set.
    """

    depths: tuple[int, int, int]
    epochs: int
    batch_size: int = 128
    width: int | None = None
    channels: int = 16
    lr: float = 0.1
    greedy: bool = False
    train_size: int | None = None
    shifted: bool = False
    outside: str | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)


# A batch of 126 leaves no small rest of 5,400 images.
_IMAGES = Task((2, 4, 8), 12, batch_size=126, greedy=True, shifted=True)
_NUMBERS = Task((1, 3, 5), 200, batch_size=64, width=20, lr=0.01)
TASKS = {
    "spirals": Task((5, 10, 20), 500, batch_size=50, width=20, recipe={"weight_floor": 0.5}),
    "digits": Task((2, 4, 8), 30, shifted=True),
    "mnist": replace(_IMAGES, outside="fashion_mnist"),
    "fashion_mnist": replace(_IMAGES, outside="mnist"),
    SVHN_TEST_DIGITS: replace(_IMAGES, epochs=20, outside="cifar10"),
    "cifar10": replace(_IMAGES, epochs=20, outside=SVHN_TEST_DIGITS),
    "concrete": _NUMBERS,
    "kin8nm": replace(_NUMBERS, train_size=2000),
}
TINY = {
    "digits": Task((1, 1, 2), 2, batch_size=64, channels=4, train_size=150, greedy=True, shifted=True),
    "diabetes": Task((1, 2, 2), 2, batch_size=64, width=4, train_size=150, lr=0.01),
}


def load_task(name: str, task: Task, seed: int, data_root: str) -> DataSet:
    """Return a data set, drawn and split by a seed, always with a part to validate on.

    A seed takes the standard split of its number of a UCI set.

    Args:
        name: Its name in :data:`TASKS` or :data:`TINY`.
        task: Its sizes.
        seed: The seed.
        data_root: Folder of the data sets that are files.
    """
    generator = torch.Generator().manual_seed(seed)
    how: dict[str, Any] = {"validation_fraction": VALIDATION, "train_size": task.train_size, "generator": generator}
    if name == "spirals":
        return _spirals(seed, generator)
    if name in ("digits", "diabetes"):
        return getattr(datasets, name)(**how)
    if task.width is not None:
        return datasets.uci(data_root, name, seed, **how)
    return small_images(name, data_root, seed)


def _spirals(seed: int, generator: torch.Generator) -> DataSet:
    data = datasets.spirals(generator=generator)
    apart = torch.Generator().manual_seed(10_000 + seed)
    x, y = datasets.spiral_points(FRESH_SPIRALS, rotation=720.0, noise=0.2, generator=apart)
    return replace(data, validation=((x - data.mean) / data.std, y))
