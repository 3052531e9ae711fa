"""Columns of a table as arrays of numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from pyro_vds.datasets.labels import FEW

if TYPE_CHECKING:
    from pandas import Series

MANY = 1000
"""Most categories of a column: each is a feature."""


@dataclass(frozen=True)
class Column:
    """A column as features.

    Attributes:
        name: Its name.
        features: The name of each feature: that of the column, or ``colour=red`` for a category.
        values: The features of each row; 0 or 1 for categories.
        coded: Whether they are categories.
    """

    name: str
    features: tuple[str, ...]
    values: Float[np.ndarray, "batch features"]
    coded: bool


def encode_column(column: "Series", where: str) -> Column:
    """Return a column of inputs as features: numbers as they are, and others as 0 and 1 for each category.

    Args:
        column: A column without missing values.
        where: What it is called in messages, such as ``column age of my.csv``.

    Raises:
        ValueError: If a number is not finite, the values are neither numbers nor categories, or there are too many
            categories.
    """
    name, values = str(column.name), target_values(column, where)
    if values.dtype.kind in "iuf":
        numbers = values.astype(np.float64)
        bad = int((~np.isfinite(numbers)).sum())
        if bad:
            raise ValueError(f"Expected finite numbers in {where}, got infinity in {bad} of {len(numbers)} rows.")
        return Column(name, (name,), numbers[:, None], coded=False)
    categories, codes = np.unique(values, return_inverse=True)
    if len(categories) > MANY or (len(categories) == len(values) and len(values) > FEW):
        raise ValueError(
            f"Expected at most {MANY} categories that several rows share in {where}, got {len(categories)} in "
            f"{len(values)} rows, such as {str(categories[0])!r}. Remove the column, or turn it into numbers."
        )
    one_hot = (codes[:, None] == np.arange(len(categories))).astype(np.float64)
    return Column(name, tuple(f"{name}={category}" for category in categories), one_hot, coded=True)


def target_values(column: "Series", where: str) -> np.ndarray:
    """Return a column as integers, floats, truth values or texts.

    Args:
        column: A column without missing values.
        where: What it is called in messages.

    Raises:
        ValueError: If it holds other values, such as dates, or texts among many numbers.
    """
    from pandas import CategoricalDtype
    from pandas.api import types

    dtype = column.dtype
    if types.is_bool_dtype(dtype) and not isinstance(dtype, CategoricalDtype):
        return column.to_numpy(dtype=bool)
    if types.is_integer_dtype(dtype):
        # Beyond 63 bit an integer would become negative.
        return column.to_numpy(dtype=np.int64 if int(column.max()) < 2**63 else np.float64)
    if types.is_float_dtype(dtype):
        return column.to_numpy(dtype=np.float64)
    if isinstance(dtype, CategoricalDtype):
        return np.array([str(value) for value in column])
    kinds = {type(value).__name__ for value in column}
    if kinds - {"str", "bool"}:
        raise ValueError(
            f"Expected numbers, texts, categories or truth values in {where}, got {', '.join(sorted(kinds))} "
            f"({dtype}). Remove the column, or turn it into numbers."
        )
    texts = np.array([str(value) for value in column])
    _check_no_numbers(texts, where)
    return texts


def _check_no_numbers(texts: np.ndarray, where: str) -> None:
    """Raise ``ValueError`` for texts that are mostly different numbers, with a few words such as ``?`` among them."""
    found = np.unique(texts)
    words = [text for text in found.tolist() if not _is_number(text)]
    if words and len(found) > FEW and 2 * len(words) < len(found):
        rows = int(np.isin(texts, words).sum())
        raise ValueError(
            f"Expected only numbers in {where}, since most of its values are, got {rows} of {len(texts)} rows with "
            f"texts such as {words[0]!r}. Remove these rows, or write numbers there."
        )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
