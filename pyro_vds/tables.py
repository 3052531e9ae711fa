"""Regression data sets: scikit-learn's diabetes, the UCI sets with their standard splits, and a toy with gaps."""

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from sklearn.datasets import load_diabetes
from torch import Tensor

from pyro_vds.splits import DataSet, split_and_normalise, split_off

UCIName = Literal["boston", "concrete", "energy", "kin8nm", "naval", "power", "protein", "wine", "yacht"]

# Where the toy has points; between -1.5 and -0.5, and between 0.5 and 1.5, it has none.
GAP_1D_INTERVALS = ((-2.5, -1.5), (-0.5, 0.5), (1.5, 2.5))


def diabetes(
    *,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return scikit-learn's 442 diabetes patients: 10 measurements, and a score of progression (25 to 346).

    The data come with scikit-learn; nothing is downloaded.

    Args:
        test_fraction: Share of the points to test on, ``(0, 1)``.
        validation_fraction: Share of the training points to validate on.
        train_size: Use so many training points only.
        generator: Draws the split.

    Raises:
        ValueError: If a number is out of range.
    """
    x, y = (torch.from_numpy(np.asarray(part)).double() for part in load_diabetes(return_X_y=True, scaled=False))
    order = torch.randperm(len(x), generator=generator)
    train, test = split_off(x[order], y[order], test_fraction, "test_fraction")
    return split_and_normalise(
        train,
        test,
        classes=None,
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )


def uci(
    root: str | Path,
    name: str,
    split: int = 0,
    *,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return a UCI regression set in one of its standard splits, 90 % to train on and 10 % to test.

    The splits are those of Hernández-Lobato and Adams 2015 (arXiv 1502.05336), which results in the literature
    share: 20 of each set, 5 of protein.

    Args:
        root: Folder of the data; the file is ``root/uci/NAME.npz``, with ``x`` (n, features), ``y`` (n,) and the
            boolean ``test_mask`` (splits, n).
        name: The set, such as ``"boston"``.
        split: Number of the split, from 0.
        validation_fraction: Share of the training points to validate on.
        train_size: Use so many training points only.
        generator: Draws the validation part.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, has other arrays, or there is no such split.
    """
    path = Path(root) / "uci" / f"{name}.npz"
    if not path.is_file():
        found = ", ".join(sorted(p.stem for p in path.parent.glob("*.npz"))) or "no set"
        raise FileNotFoundError(
            f"Expected the UCI set {name} at {path}, found {found} in that folder. Give the folder that holds uci/ as "
            "the data root."
        )
    x, y, test_mask = _read_uci(path)
    if not 0 <= split < len(test_mask):
        raise ValueError(f"Expected a split in 0..{len(test_mask) - 1} of {name}, got {split}.")
    test = torch.from_numpy(test_mask[split])
    return split_and_normalise(
        (x[~test], y[~test]),
        (x[test], y[test]),
        classes=None,
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )


def _read_uci(path: Path) -> tuple[Tensor, Tensor, np.ndarray]:
    """Return inputs, targets and the test part of each split."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            x, y, mask = (file[name] for name in ("x", "y", "test_mask"))
            tables = [torch.from_numpy(table.astype(np.float64)) for table in (x, y)]
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"Expected the arrays x, y and test_mask in {path}, but cannot read them: {error}. Copy the file again."
        ) from error
    if x.ndim != 2 or y.shape != x.shape[:1] or mask.shape[1:] != y.shape or mask.dtype != bool:
        raise ValueError(
            f"Expected x (n, features), y (n,) and boolean test_mask (splits, n) in {path}, got {x.shape}, {y.shape} "
            f"and {mask.shape} of type {mask.dtype}. Copy the file again."
        )
    return tables[0], tables[1], mask


def gap_1d_mean(x: Float[Tensor, "batch 1"]) -> Float[Tensor, " batch"]:
    """Return the noiseless toy, ``sin(4 x) + x / 2``."""
    return (torch.sin(4 * x) + x / 2).squeeze(-1)


def gap_1d(
    *,
    num_points: int = 150,
    noise: float = 0.15,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return a 1-D regression with two gaps in ``x``, in which the posterior should be less sure.

    ``y = sin(4 x) + x / 2 + noise * e``, ``e ~ Normal(0, 1)``, with ``x`` uniform on three intervals, in the manner
    of the toys of Antorán et al. 2020, "Depth Uncertainty in Neural Networks" (arXiv 2006.08437, figure 3). The
    test part, of the same size and distribution, has the same gaps.

    Args:
        num_points: Points to train on, a third in each interval.
        noise: Standard deviation of the noise, in the units of ``y``.
        validation_fraction: Share of the training points to validate on.
        train_size: Use so many training points only.
        generator: Draws everything.

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
