"""Small data sets for one CPU core, and how large the networks and how long the trainings on them are."""

from dataclasses import dataclass, replace

import torch

from pyro_vds import datasets
from pyro_vds.datasets.dataset import DataSet

VALIDATION = 0.1
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
        momentum: Momentum of SGD for every method but the paper's, which has 0.5.
        train_size: Training points to draw, with those to validate on; ``None`` takes all.
    """

    depths: tuple[int, int, int]
    epochs: int
    batch_size: int = 128
    width: int | None = None
    channels: int = 16
    momentum: float = 0.9
    train_size: int | None = None


TASKS = {
    "spirals": Task((5, 10, 20), 1000, batch_size=1000, width=20, momentum=0.5),
    "digits": Task((2, 4, 8), 30),
}
TINY = Task((1, 1, 2), 2, batch_size=64, channels=4, train_size=150)


def load_task(name: str, task: Task, seed: int) -> DataSet:
    """Return a data set, drawn and split by a seed, always with a part to validate on.

    Args:
        name: Its name in :data:`TASKS`.
        task: Its sizes.
        seed: The seed.
    """
    generator = torch.Generator().manual_seed(seed)
    if name == "digits":
        return datasets.digits(validation_fraction=VALIDATION, train_size=task.train_size, generator=generator)
    data = datasets.spirals(generator=generator)
    apart = torch.Generator().manual_seed(10_000 + seed)
    x, y = datasets.spiral_points(FRESH_SPIRALS, rotation=720.0, noise=0.2, generator=apart)
    return replace(data, validation=((x - data.mean) / data.std, y))
