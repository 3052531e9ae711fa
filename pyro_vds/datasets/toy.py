"""Generated data sets: spirals, and points in one dimension with gaps."""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pyro_vds.datasets.dataset import DataSet, split_and_normalise, split_off

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

    Radius and angle are ``t = sqrt(U(0, 1)) * rotation`` in radians; a point is ``(t cos t, t sin t)`` plus noise.

    Args:
        num_points: Number of points, half on each arm.
        rotation: Angle over which an arm turns, degrees.
        noise: Standard deviation of Gaussian noise, or the width of uniform noise on ``[0, noise)``.
        noise_kind: ``"gaussian"`` as in the paper, or ``"uniform"`` as in its code.
        generator: Generator of points and noise.

    Raises:
        ValueError: If a number is out of range, or the kind of noise is unknown.
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
    """Return the paper's two-armed spirals (section 3.1): 200 points to train on, 1,800 to test.

    Args:
        num_points: Number of points.
        rotation: Angle over which an arm turns, degrees.
        noise: Standard deviation of Gaussian noise, or the width of uniform noise on ``[0, noise)``.
        noise_kind: ``"gaussian"`` as in the paper, or ``"uniform"`` as in its code.
        train_fraction: Share of the points to train on, ``(0, 1)``.
        validation_fraction: Share of the training points to validate on.
        generator: Generator of points and splits.

    Raises:
        ValueError: If a number is out of range.
    """
    x, y = spiral_points(num_points, rotation=rotation, noise=noise, noise_kind=noise_kind, generator=generator)
    train, test = split_off(x, y, 1 - train_fraction, "train_fraction")
    return split_and_normalise(train, test, classes=2, validation_fraction=validation_fraction, generator=generator)


# The intervals of x with points; the gaps are between them.
GAP_1D_INTERVALS = ((-2.5, -1.5), (-0.5, 0.5), (1.5, 2.5))


def gap_1d_mean(x: Float[Tensor, "batch 1"]) -> Float[Tensor, " batch"]:
    """Return the function without noise, ``sin(4 x) + x / 2``."""
    return (torch.sin(4 * x) + x / 2).squeeze(-1)


def gap_1d(
    *,
    num_points: int = 150,
    noise: float = 0.15,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return a 1-D regression with two gaps in ``x``, where predictions should be less certain.

    ``y = sin(4 x) + x / 2 + noise * e``, ``e ~ Normal(0, 1)``, with ``x`` uniform on three intervals, similar to the
    toy data of Antorán et al. 2020, "Depth Uncertainty in Neural Networks" (arXiv 2006.08437, figure 3). The test part
    has the same size, distribution and gaps.

    Args:
        num_points: Points to train on, a third in each interval.
        noise: Standard deviation of the noise, in the units of ``y``.
        validation_fraction: Share of the training points to validate on.
        train_size: Number of training points to use; ``None`` uses all.
        generator: Generator of points and splits.

    Raises:
        ValueError: If a number is out of range.
    """
    if num_points < 2 or noise < 0:
        raise ValueError(f"Expected num_points >= 2 and noise >= 0, got {num_points} and {noise}.")
    low, high = torch.tensor(GAP_1D_INTERVALS)[torch.arange(2 * num_points) % len(GAP_1D_INTERVALS)].T
    x = (low + (high - low) * torch.rand(2 * num_points, generator=generator))[:, None]
    y = gap_1d_mean(x) + noise * torch.randn(2 * num_points, generator=generator)
    train, test = split_off(x, y, 0.5, "test_fraction")
    return split_and_normalise(
        train,
        test,
        classes=None,
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )
