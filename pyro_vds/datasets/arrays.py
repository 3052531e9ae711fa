"""A user's own arrays, from an npz file."""

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pyro_vds.datasets.dataset import DataSet, TargetKind, split_and_normalise, split_off
from pyro_vds.datasets.labels import FEW, count_distinct, encode_targets, warn_of_float_classes, warn_of_unseen_classes

TABLES = (".csv", ".tsv", ".parquet")
"""The endings of files that :func:`pyro_vds.datasets.table` reads."""

NAMES = ("x", "y", "x_test", "y_test")


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

    Integers, texts and truth values as ``y`` are classes ``(N,)``, which keep their names; floating-point ``y`` are
    regression targets, ``(N,)`` or ``(N, targets)``, and are standardised; or ``targets`` says what they are. Integers
    with gaps are classes if there are at most 20 different ones. ``x`` has shape ``(N, features)``, ``(N, height,
    width)`` or ``(N, channels, height, width)``.

    Args:
        path: The file.
        targets: What ``y`` holds: ``"classes"``; ``"numbers"``, which are standardised; or ``"counts"``, whole numbers
            of at least 0 that are not. ``None`` goes by the type.
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
    _check_shapes(arrays["x"], arrays["y"], path)
    y = arrays["y"]
    if "x_test" in arrays:
        _check_shapes(arrays["x_test"], arrays["y_test"], path)
        _check_alike(arrays, path)
        y = np.concatenate([y, arrays["y_test"]])
    values, class_names = encode_targets(y, targets or _kind_by_type(y, path), f"y in {path}")
    train = _inputs(arrays["x"], path), values[: len(arrays["x"])]
    if "x_test" in arrays:
        test = _inputs(arrays["x_test"], path), values[len(arrays["x"]) :]
    else:
        order = torch.randperm(len(train[0]), generator=generator)
        train, test = split_off(train[0][order], train[1][order], test_fraction, "test_fraction")
    data = split_and_normalise(
        train,
        test,
        classes=None if values.is_floating_point() else count_distinct(values.numpy()),
        counts=targets == "counts",
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )
    data = replace(data, class_names=class_names)
    warn_of_unseen_classes(data, f"y in {path}")
    return data


def _read_npz(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays of a data set, and the names of all arrays in the file."""
    if path.suffix in TABLES:
        raise ValueError(
            f"Expected a file of arrays, but {path} is a table. Give its target: pyro-vds fit table --data-path {path} "
            "--target COLUMN"
        )
    try:
        with path.open("rb") as opened:
            if opened.read(6) == b"\x93NUMPY":
                raise ValueError(
                    f"Expected a file of several arrays, but {path} holds one. Save inputs and targets together: "
                    "numpy.savez('data.npz', x=x, y=y)"
                )
            if not zipfile.is_zipfile(opened):
                raise zipfile.BadZipFile("it is no npz file.")
            opened.seek(0)
            with np.load(opened, allow_pickle=False) as file:
                names = list(file.files)
                return {name: _array(file, name, path) for name in NAMES if name in names}, names
    except (TypeError, EOFError, zipfile.BadZipFile, zlib.error, OSError) as error:
        raise ValueError(
            f"Expected a file of arrays, written by numpy.savez(path, x=x, y=y), but cannot read {path}: {error}"
        ) from error


def _array(file: "np.lib.npyio.NpzFile", name: str, path: Path) -> np.ndarray:
    """Return an array of a file; objects, which would execute code of the file, are refused."""
    try:
        return file[name]
    except ValueError as error:
        raise ValueError(
            f"Expected a file of arrays, written by numpy.savez(path, x=x, y=y), but {name} in {path} is damaged or "
            "holds Python objects, which are not read. Save numbers as x.astype(float), texts as y.astype(str)."
        ) from error


def _kind_by_type(y: np.ndarray, path: Path) -> TargetKind:
    """Return what targets are that nobody called anything; raise ``ValueError`` for integers that may be either."""
    if y.dtype.kind == "f":
        warn_of_float_classes(y, f"y in {path}", "save y.astype(int), or give --likelihood classification.")
        return "numbers"
    if y.dtype.kind in "iu" and y.size:
        distinct, low, high = count_distinct(y), int(y.min()), int(y.max())
        if distinct > FEW and (low not in (0, 1) or high - low != distinct - 1):
            raise ValueError(
                f"Expected integers y in {path} as classes, from 0 without gaps or at most {FEW} different ones, got "
                f"{distinct} in {low}..{high}. Save y.astype(float) for a regression, or y.astype(str) for classes."
            )
    return "classes"


def _check_alike(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Raise ``ValueError`` unless training and test points have the same shapes and kinds of targets."""
    expected, got = (
        f"{list(arrays[x].shape[1:])} and {list(arrays[y].shape[1:])} {_TYPES[arrays[y].dtype.kind]}"
        for x, y in (("x", "y"), ("x_test", "y_test"))
    )
    if expected != got:
        raise ValueError(f"Expected x_test and y_test in {path} like x and y, shapes {expected}, got {got}.")


_TYPES = {"b": "truth values", "i": "integers", "u": "integers", "f": "floats", "U": "texts", "S": "texts"}


def _check_shapes(x: np.ndarray, y: np.ndarray, path: Path) -> None:
    """Raise ``ValueError`` unless inputs and targets fit each other, and have types that can be used."""
    if x.ndim not in (2, 3, 4) or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
        raise ValueError(
            f"Expected x of shape (N, features), (N, height, width) or (N, channels, height, width) and N targets "
            f"in {path}, got x {x.shape} and y {y.shape}."
        )
    if x.dtype.kind not in "biuf" or y.dtype.kind not in _TYPES:
        raise ValueError(
            f"Expected numbers as x, and integers or texts for classes or floating-point targets as y in {path}, got x "
            f"of dtype {x.dtype} and y of dtype {y.dtype}."
        )


def _inputs(x: np.ndarray, path: Path) -> Tensor:
    """Return inputs in double precision, since large numbers may differ only in their last digits."""
    inputs = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))
    bad = int((~inputs.flatten(1).isfinite()).any(1).sum())
    if bad:
        raise ValueError(
            f"Expected finite inputs in {path}, got NaN or infinity in {bad} of {len(x)} points. Remove or impute "
            "these points."
        )
    return inputs[:, None] if x.ndim == 3 else inputs
