"""A user's own table, from a file of columns."""

import logging
import warnings
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pyro_vds.datasets.arrays import TABLES
from pyro_vds.datasets.columns import Column, encode_column, target_values
from pyro_vds.datasets.dataset import DataSet, TargetKind, split_and_normalise, split_off
from pyro_vds.datasets.labels import (
    FEW,
    count_distinct,
    encode_targets,
    warn_of_float_classes,
    warn_of_unseen_classes,
)

if TYPE_CHECKING:
    from pandas import DataFrame

logger = logging.getLogger(__name__)


def table(
    path: str | Path,
    target: str,
    *,
    targets: TargetKind | None = None,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Return a user's table, a csv, tsv or parquet file with a header: one column to predict, the others as inputs.

    Columns of numbers are standardised by the training part, and constant ones become zeros. Columns of texts,
    categories and truth values become a feature of 0 and 1 for each category of the training part, ``colour=red``; a
    category that is only in the other parts has zeros in all of them. Missing values are refused.

    The target is a class if it is text, a category or a truth value, or a whole number with at most 20 different
    values; otherwise it is a number for a regression; or ``targets`` says what it is. Classes keep their names. What
    became of the columns is logged.

    Args:
        path: The file.
        target: Name of the column to predict.
        targets: What it holds: ``"classes"``; ``"numbers"``, which are standardised; or ``"counts"``, whole numbers of
            at least 0 that are not. ``None`` goes by the rule above.
        test_fraction: Share of the rows to test on, ``(0, 1)``, drawn at random.
        validation_fraction: Share of the training rows to validate on.
        train_size: Number of training rows to use; ``None`` uses all.
        generator: Generator of the split.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the file is parquet, and pyarrow is not installed.
        ValueError: If the file cannot be read, has no such column, or values are missing or not usable.
    """
    path = Path(path)
    frame = _read(path)
    _check_target(frame, target, path)
    frame = _without_row_numbers(frame, path)
    _check_missing(frame, path)
    where = f"column {target} of {path}"
    series = {str(name): column for name, column in frame.items()}
    y = target_values(series.pop(target), where)
    kind = targets or _usual_kind(y, where)
    values, class_names = encode_targets(y, kind, where)
    columns = [encode_column(column, f"column {name} of {path}") for name, column in series.items()]
    if not columns:
        raise ValueError(f"Expected columns of inputs beside {target} in {path}, found none.")
    order = torch.randperm(len(frame), generator=generator)
    x = torch.from_numpy(np.concatenate([column.values for column in columns], axis=1))
    coded = torch.tensor([column.coded for column in columns for _ in column.features])
    train, test = split_off(x[order], values[order], test_fraction, "test_fraction")
    data = split_and_normalise(
        train,
        test,
        classes=None if values.is_floating_point() else count_distinct(values.numpy()),
        counts=kind == "counts",
        as_they_are=coded,
        validation_fraction=validation_fraction,
        train_size=train_size,
        generator=generator,
    )
    features = tuple(feature for column in columns for feature in column.features)
    data = _of_training(replace(data, class_names=class_names, feature_names=features), coded)
    warn_of_unseen_classes(data, where)
    logger.info("%s", _told(path, columns, target, data, by_rule=targets is None and y.dtype.kind in "iu"))
    return data


def _read(path: Path) -> "DataFrame":
    """Return the columns of a file, with texts as names."""
    import pandas

    if not path.is_file():
        raise FileNotFoundError(f"Expected a table at {path}, a csv, tsv or parquet file, found none.")
    if path.suffix == ".npz":
        raise ValueError(f"Expected a table, but {path} holds arrays: pyro-vds fit npz --data-path {path}")
    if path.suffix not in TABLES:
        raise ValueError(f"Expected a file that ends in {', '.join(TABLES)}, got {path}. Save the table as csv.")
    readers: dict[str, tuple[Any, dict[str, Any]]] = {
        ".csv": (pandas.read_csv, {"low_memory": False}),
        ".tsv": (pandas.read_csv, {"low_memory": False, "sep": "\t"}),
        ".parquet": (pandas.read_parquet, {"engine": "pyarrow"}),
    }
    reader, options = readers[path.suffix]
    try:
        frame = reader(path, **options)
    except ImportError as error:
        raise ImportError("Expected pyarrow to read parquet. Install it: pip install 'pyro-vds[parquet]'") from error
    except (ValueError, OSError) as error:
        raise ValueError(f"Expected a table with a header in {path}, but cannot read it: {error}") from error
    if len(frame) < 2:
        raise ValueError(f"Expected at least 2 rows below the header of {path}, got {len(frame)}.")
    frame = frame.reset_index(drop=frame.index.names == [None]).rename(columns=str)
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"Expected columns of different names in {path}, got {twice} twice.")
    return frame


def _check_target(frame: "DataFrame", target: str, path: Path) -> None:
    """Raise ``ValueError`` with the columns there are unless one is the target."""
    names = list(frame.columns)
    if target in names:
        return
    near = get_close_matches(target.casefold().strip(), [name.casefold().strip() for name in names], n=1)
    folded = {name.casefold().strip(): name for name in names}
    hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
    if len(names) == 1 and ";" in names[0]:
        hint = " Columns seem to be separated by semicolons: save the file with commas, or with tabs as .tsv."
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} others" if len(names) > 20 else "")
    raise ValueError(f"Expected the target to be a column of {path}, one of {shown}, got {target!r}.{hint}")


def _without_row_numbers(frame: "DataFrame", path: Path) -> "DataFrame":
    """Return a table without the numbers of its rows, which pandas writes as a first column without a name."""
    first = frame.columns[0]
    if not first.startswith("Unnamed:") or frame[first].tolist() != list(range(len(frame))):
        return frame
    warnings.warn(f"The first column of {path} has no name and numbers the rows; it is not used.", stacklevel=2)
    return frame.drop(columns=first)


def _check_missing(frame: "DataFrame", path: Path) -> None:
    """Raise ``ValueError`` with their numbers if values are missing."""
    missing = frame.isna().sum()
    counts = {name: int(n) for name, n in missing.items() if n}
    if counts:
        shown = ", ".join(f"{name} ({n})" for name, n in list(counts.items())[:10])
        more = f" and {len(counts) - 10} other columns" if len(counts) > 10 else ""
        raise ValueError(
            f"Expected no missing values in {path}, got some of {len(frame)} in {shown}{more}. Empty cells, NA, NaN, "
            "null and None count as missing. Remove these rows or columns, or fill them in: frame.dropna() or "
            "frame.fillna(...) in pandas."
        )


def _usual_kind(y: np.ndarray, where: str) -> TargetKind:
    """Return what a target is that nobody called anything."""
    if y.dtype.kind == "f":
        warn_of_float_classes(y, where, "save them without a decimal point, or give --likelihood classification.")
    whole = y.dtype.kind in "iu" and count_distinct(y) <= FEW
    return "classes" if whole or y.dtype.kind in "bU" else "numbers"


def _of_training(data: DataSet, coded: Tensor) -> DataSet:
    """Return the data without features of categories that are not in the training part."""
    kept = ~coded | (data.train[0] != 0).any(0)
    names = data.feature_names or ()
    return replace(
        data,
        train=(data.train[0][:, kept], data.train[1]),
        test=(data.test[0][:, kept], data.test[1]),
        validation=None if data.validation is None else (data.validation[0][:, kept], data.validation[1]),
        mean=data.mean[kept],
        std=data.std[kept],
        feature_names=tuple(name for name, keep in zip(names, kept.tolist(), strict=True) if keep),
    )


def _told(path: Path, columns: list[Column], target: str, data: DataSet, *, by_rule: bool) -> str:
    """Return what became of the columns as one line."""
    numbers = sum(not column.coded for column in columns)
    kept = set(data.feature_names or ())
    codes = [f"{c.name} ({sum(name in kept for name in c.features)})" for c in columns if c.coded]
    coded = f", categories {', '.join(codes[:10])}{' and others' if len(codes) > 10 else ''}" if codes else ""
    if data.classes is None:
        what = "counts" if data.targets == "counts" else "numbers, a regression"
    else:
        names = data.class_names or tuple(map(str, range(data.classes)))
        what = f"{data.classes} classes, {', '.join(names[:6])}{' and others' if len(names) > 6 else ''}"
    rule = f" (whole numbers are classes if at most {FEW} differ)" if by_rule else ""
    return f"{path.name}: {numbers} column{'' if numbers == 1 else 's'} of numbers{coded}; {target}: {what}{rule}"
