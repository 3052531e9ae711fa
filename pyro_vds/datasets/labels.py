"""Targets as a user's file has them: classes by name, numbers or counts."""

import warnings

import numpy as np
import torch
from torch import Tensor

from pyro_vds.datasets.dataset import DataSet, TargetKind

FEW = 20
"""Whole numbers are taken for classes if there are at most so many different ones, where nothing else says so."""

_WORDS: dict[TargetKind, str] = {
    "classes": "whole numbers, for classes",
    "counts": "whole numbers of at least 0, for counts",
    "numbers": "numbers",
}


def encode_targets(y: np.ndarray, kind: TargetKind, where: str) -> tuple[Tensor, tuple[str, ...] | None]:
    """Return targets as a tensor, and the names of the classes.

    Classes are numbered in the order of their names, or of their values if they are whole numbers. A column ``(N, 1)``
    is taken as ``(N,)``.

    Args:
        y: Texts, truth values or numbers, ``(N,)`` or ``(N, targets)``.
        kind: What they are.
        where: What the targets are called in messages, such as ``y in data.npz``.

    Returns:
        Classes as long integers, numbers and counts in double precision. The names are ``None`` for targets without
        classes, and for the whole numbers from 0, which are their own names.

    Raises:
        ValueError: If the targets are not of that kind, or there is only one class.
    """
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    texts = y.dtype.kind in "US"
    if texts and kind != "classes":
        raise ValueError(f"Expected {where} as {_WORDS[kind]}, got texts such as {str(y.flat[0])!r}.")
    if not texts:
        _check_numbers(y, kind, where)
    if kind != "classes":
        return torch.from_numpy(y.astype(np.float64)), None
    if y.ndim != 1:
        raise ValueError(
            f"Expected one class for each point as {where}, got shape {y.shape}. Use y.argmax(1) for one-hot, or give "
            "floats for a regression with several targets."
        )
    labels = y.astype(np.int64) if y.dtype.kind in "iuf" else y.astype(str)
    found, codes = np.unique(labels, return_inverse=True)
    if len(found) < 2:
        raise ValueError(f"Expected at least two classes as {where}, got only {found[0]}.")
    plain = labels.dtype.kind == "i" and int(found[0]) == 0 and int(found[-1]) == len(found) - 1
    return torch.from_numpy(codes.astype(np.int64)), None if plain else tuple(map(str, found.tolist()))


def count_distinct(y: np.ndarray) -> int:
    """Return the number of different targets.

    Args:
        y: The targets, of any shape.
    """
    return len(np.unique(y))


def warn_of_float_classes(y: np.ndarray, where: str, remedy: str) -> None:
    """Warn that floats which are a regression are few whole numbers, as labels are that became floats.

    Args:
        y: Targets that nobody called numbers.
        where: What they are called in the message.
        remedy: How to call them classes.
    """
    if y.dtype.kind != "f" or not (y == np.round(y)).all():
        return
    found = np.unique(y)
    if len(found) <= FEW and len(found) < len(y):
        shown = ", ".join(f"{value:g}" for value in found[:6]) + (" and others" if len(found) > 6 else "")
        warnings.warn(
            f"{where[0].upper()}{where[1:]} has floats, so this is a regression, but they are only the whole numbers "
            f"{shown}. If they are classes: {remedy}",
            stacklevel=2,
        )


def warn_of_unseen_classes(data: DataSet, where: str) -> None:
    """Warn of classes that no point to train on has, so that the network cannot learn them.

    Args:
        data: The data set, split.
        where: What the targets are called in the message.
    """
    if data.classes is None:
        return
    seen = set(data.train[1].unique().tolist())
    names = data.class_names or tuple(map(str, range(data.classes)))
    unseen = [name for code, name in enumerate(names) if code not in seen]
    if unseen:
        shown = ", ".join(unseen[:6]) + (" and others" if len(unseen) > 6 else "")
        warnings.warn(
            f"{len(unseen)} of {data.classes} classes, {shown}, are in {where}, but not in the part to train on: the "
            "network cannot learn them. Leave them out, join them with others, or give more points of them.",
            stacklevel=2,
        )


def _check_numbers(y: np.ndarray, kind: TargetKind, where: str) -> None:
    """Raise ``ValueError`` unless numbers, or truth values for classes, can be targets of a kind."""
    if y.dtype.kind not in "biuf":
        raise ValueError(f"Expected {where} as {_WORDS[kind]}, got values of type {y.dtype}.")
    if kind == "numbers":
        return
    wrong = (y != np.round(y)) | ((y < 0) & (kind == "counts")) if y.dtype.kind == "f" else (y < 0) & (kind == "counts")
    if wrong.any():
        raise ValueError(f"Expected {where} as {_WORDS[kind]}, got {y[wrong][0]:g}.")
