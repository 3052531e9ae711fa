"""Data sets of tables."""

import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pyro_vds.datasets.dataset import DataSet, split_and_normalise, split_off


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
        train_size: Number of training points to use; ``None`` uses all.
        generator: Generator of the split.

    Raises:
        ValueError: If a number is out of range.
    """
    from sklearn.datasets import load_digits

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


UCIName = Literal["boston", "concrete", "energy", "kin8nm", "naval", "power", "protein", "wine", "yacht"]


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
        train_size: Number of training points to use; ``None`` uses all.
        generator: Generator of the split.

    Raises:
        ValueError: If a number is out of range.
    """
    from sklearn.datasets import load_diabetes

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

    The splits are from Hernández-Lobato and Adams 2015 (arXiv 1502.05336), and common in the literature: 20 of each
    set, 5 of protein.

    Args:
        root: Folder of the data; the file is ``root/uci/NAME.npz``, with ``x`` (n, features), ``y`` (n,) and the
            boolean ``test_mask`` (splits, n).
        name: The set, such as ``"boston"``.
        split: Number of the split, from 0.
        validation_fraction: Share of the training points to validate on.
        train_size: Number of training points to use; ``None`` uses all.
        generator: Generator of the validation part.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, has other arrays, or there is no such split.
    """
    path = Path(root) / "uci" / f"{name}.npz"
    if not path.is_file():
        sets = ", ".join(sorted(p.stem for p in path.parent.glob("*.npz"))) or "no set"
        raise FileNotFoundError(
            f"Expected the UCI set {name} at {path}, found {sets} in that folder. Give the folder that holds uci/ as "
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
            f"and {mask.shape} of dtype {mask.dtype}. Copy the file again."
        )
    return tables[0], tables[1], mask
