"""A user's own arrays, from an npz file."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_vds.datasets.dataset import DataSet, TargetKind, split_and_normalise, split_off
from pyro_vds.spaces.typing import TensorPair


def npz(
    path: str | Path,
    *,
    targets: TargetKind | None = None,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return the arrays ``x`` and ``y`` of a user's npz file, and ``x_test`` and ``y_test`` if it has them.

    Integer ``y`` are classes; floating-point ``y`` are regression targets, ``(N,)`` or ``(N, targets)``, and are
    standardised; or ``targets`` says what they are. ``x`` has shape ``(N, features)``, ``(N, height, width)`` or ``(N,
    channels, height, width)``.

    Args:
        path: The file.
        targets: What ``y`` holds: ``"classes"``, whole numbers from 0; ``"numbers"``, which are standardised; or
            ``"counts"``, whole numbers of at least 0 that are not. ``None`` goes by the type.
        test_fraction: Share of the points to test on, ``(0, 1)``, if the file has no test part.
        validation_fraction: Share of the training points to validate on.
        train_size: Number of training points to use; ``None`` uses all.
        generator: Generator of the split.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, an array is missing, or shapes or numbers do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected an npz file with arrays x and y at {path}, found none.")
    arrays, names = _read_npz(path)
    if not {"x", "y"} <= arrays.keys() or ("x_test" in arrays) != ("y_test" in arrays):
        raise ValueError(f"Expected arrays x and y, with or without x_test and y_test, in {path}, found {names}.")
    kind = targets or ("classes" if arrays["y"].dtype.kind in "iu" else "numbers")
    train = _tensors(arrays["x"], arrays["y"], kind, path)
    if "x_test" in arrays:
        test = _tensors(arrays["x_test"], arrays["y_test"], kind if targets else None, path)
        _check_alike(train, test, path)
    else:
        order = torch.randperm(len(train[0]), generator=generator)
        train, test = split_off(train[0][order], train[1][order], test_fraction, "test_fraction")
    classes = _count_classes(torch.cat([train[1], test[1]]), path) if kind == "classes" else None
    return split_and_normalise(
        train,
        test,
        classes=classes,
        counts=kind == "counts",
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays of a data set, and the names of all arrays in the file."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            names = list(file.files)
            return {name: file[name] for name in ("x", "y", "x_test", "y_test") if name in names}, names
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"Expected a file of arrays, written by numpy.savez(path, x=x, y=y), but cannot read {path}: {error}"
        ) from error


def _count_classes(labels: Tensor, path: Path) -> int:
    """Return the number of classes; raise ``ValueError`` unless each of them occurs."""
    classes = labels.unique()
    if int(classes[0]) != 0 or int(classes[-1]) != len(classes) - 1:
        raise ValueError(
            f"Expected labels in 0..{len(classes) - 1} for the {len(classes)} different integers y in {path}, got "
            f"{int(classes[0])}..{int(classes[-1])}. Number them from 0, or give y as floats for a regression."
        )
    return len(classes)


def _check_alike(train: TensorPair, test: TensorPair, path: Path) -> None:
    """Raise ``ValueError`` unless training and test points have the same shapes and dtypes."""
    expected, got = (f"{list(x.shape[1:])} and {list(y.shape[1:])} {y.dtype}" for x, y in (train, test))
    if expected != got:
        raise ValueError(f"Expected x_test and y_test in {path} like x and y, shapes {expected}, got {got}.")


def _tensors(x: np.ndarray, y: np.ndarray, kind: TargetKind | None, path: Path) -> TensorPair:
    """Return inputs and targets, of a kind or by their type."""
    if x.ndim not in (2, 3, 4) or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"Expected x of shape (N, features), (N, height, width) or (N, channels, height, width) and N targets "
            f"in {path}, got x {x.shape} and y {y.shape}."
        )
    if x.dtype.kind not in "biuf" or y.dtype.kind not in "iuf":
        raise ValueError(
            f"Expected numbers as x, and integer classes or floating-point targets as y in {path}, got x of dtype "
            f"{x.dtype} and y of dtype {y.dtype}."
        )
    # Double precision before standardisation, since large numbers may differ only in their last digits.
    inputs = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))
    bad = int((~inputs.flatten(1).isfinite()).any(1).sum())
    if bad:
        raise ValueError(
            f"Expected finite inputs in {path}, got NaN or infinity in {bad} of {len(x)} points. Remove or impute "
            "these points."
        )
    kind = kind or ("classes" if y.dtype.kind in "iu" else "numbers")
    return (inputs[:, None] if x.ndim == 3 else inputs), _targets(y, kind, path)


def _targets(y: np.ndarray, kind: TargetKind, path: Path) -> Tensor:
    """Return targets of a kind; raise ``ValueError`` unless they are."""
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if kind == "numbers":
        return torch.from_numpy(np.ascontiguousarray(y, dtype=np.float64))
    wrong = (y != np.round(y)) | ((y < 0) & (kind == "counts"))
    if wrong.any():
        what = "whole numbers of at least 0, for counts" if kind == "counts" else "whole numbers, for classes"
        raise ValueError(f"Expected y in {path} as {what}, got {y[wrong][0]:g}.")
    return torch.from_numpy(np.ascontiguousarray(y, dtype=np.int64 if kind == "classes" else np.float64))
