"""Data sets as tensors in memory, drawn or read from files.

A leaf: nothing in the package but the command line needs it.
"""

import math
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.datasets import load_digits
from torch import Tensor

from pyro_vds.images import Pixels, fashion_mnist, mnist, svhn
from pyro_vds.npz import npz
from pyro_vds.splits import DataSet, split_and_normalise, split_off
from pyro_vds.tables import UCIName, diabetes, gap_1d, gap_1d_mean, uci

__all__ = [
    "DataSet",
    "Noise",
    "Pixels",
    "UCIName",
    "diabetes",
    "digits",
    "fashion_mnist",
    "gap_1d",
    "gap_1d_mean",
    "mnist",
    "npz",
    "spiral_points",
    "spirals",
    "svhn",
    "uci",
]

Noise = Literal["gaussian", "uniform"]


def spiral_points(
    num_points: int,
    *,
    rotation: float,
    noise: float,
    noise_kind: Noise = "gaussian",
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch 2"], Int[Tensor, " batch"]]:
    """Draw points of two spiral arms, 180 degrees apart, in random order.

    Radius and angle are ``t = sqrt(U(0, 1)) * rotation`` in radians; a point is ``(t cos t, t sin t)`` plus
    noise.

    Args:
        num_points: Number of points, half on each arm.
        rotation: How far an arm turns, degrees.
        noise: Standard deviation of Gaussian noise, or the width of uniform noise on ``[0, noise)``.
        noise_kind: ``"gaussian"``, as the paper says, or ``"uniform"``, as its code does.
        generator: Draws points and noise.

    Raises:
        ValueError: If a number is out of range, or the kind of noise unknown.
    """
    if num_points < 2 or rotation <= 0 or noise < 0:
        raise ValueError(
            f"Expected num_points >= 2, rotation > 0 and noise >= 0, got {num_points}, {rotation} and {noise}."
        )
    if noise_kind not in ("gaussian", "uniform"):
        raise ValueError(f"Expected noise_kind 'gaussian' or 'uniform', got {noise_kind!r}.")
    y = torch.arange(num_points) % 2
    t = torch.rand(num_points, generator=generator).sqrt() * math.radians(rotation)
    clean = torch.stack([t * t.cos(), t * t.sin()], dim=1) * (1 - 2 * y)[:, None]
    draw = torch.randn if noise_kind == "gaussian" else torch.rand
    x = clean + noise * draw(num_points, 2, generator=generator)
    order = torch.randperm(num_points, generator=generator)
    return x[order], y[order]


def spirals(
    num_points: int = 2000,
    *,
    rotation: float = 720.0,
    noise: float = 0.2,
    noise_kind: Noise = "gaussian",
    train_fraction: float = 0.1,
    validation_fraction: float = 0.0,
    generator: torch.Generator,
) -> DataSet:
    """Return the paper's two-armed spirals (its section 3.1): 200 points to train on, 1,800 to test.

    Args:
        num_points: Points in all.
        rotation: How far an arm turns, degrees.
        noise: Standard deviation of the noise (its width if uniform).
        noise_kind: ``"gaussian"``, or ``"uniform"`` as in the paper's code.
        train_fraction: Share of the points to train on, ``(0, 1)``.
        validation_fraction: Share of the training points to validate on.
        generator: Draws everything.

    Raises:
        ValueError: If a number is out of range.
    """
    x, y = spiral_points(num_points, rotation=rotation, noise=noise, noise_kind=noise_kind, generator=generator)
    train, test = split_off(x, y, 1 - train_fraction, "train_fraction")
    return split_and_normalise(train, test, classes=2, validation_fraction=validation_fraction, generator=generator)


def digits(
    *,
    test_fraction: float = 0.25,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return scikit-learn's 1,797 digits of 8x8 pixels, 10 classes; nothing is downloaded.

    Args:
        test_fraction: Share of the points to test on, ``(0, 1)``.
        validation_fraction: Share of the training points to validate on.
        train_size: Use so many training points only.
        generator: Draws the split.

    Raises:
        ValueError: If a number is out of range.
    """
    x, y = load_digits(return_X_y=True)
    images = torch.from_numpy(np.asarray(x)).float().reshape(-1, 1, 8, 8) / 16
    order = torch.randperm(len(images), generator=generator)
    train, test = split_off(
        images[order], torch.from_numpy(np.asarray(y)).long()[order], test_fraction, "test_fraction"
    )
    return split_and_normalise(
        train,
        test,
        classes=10,
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )
