"""How each class fares on the test data, by the names that it has in the user's file."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

SHOWN = 20
"""Most classes in a summary: those with the largest error, if there are more."""


def error_by_class(error: Float[Tensor, " batch"], y: Shaped[Tensor, " batch"]) -> dict[str, list[Any]]:
    """Return the number of test points of each class, and the share of them that is predicted wrong.

    Args:
        error: 1 for each point whose predicted class is wrong, otherwise 0.
        y: The classes, whole numbers from 0.

    Returns:
        ``points`` and ``error`` of the classes 0, 1, ... up to the largest one there is; the error of a class without
        points is ``None``.
    """
    labels = y.cpu()
    points = torch.bincount(labels)
    wrong = torch.bincount(labels, weights=error.double().cpu())
    shares = [float(w / n) if n else None for w, n in zip(wrong, points, strict=True)]
    return {"points": points.tolist(), "error": shares}


def with_class_names(metrics: Mapping[str, Any], names: Sequence[str] | None) -> dict[str, Any]:
    """Return metrics in which the classes have names.

    Args:
        metrics: The metrics of a run.
        names: The name of each class; ``None`` for classes without names.
    """
    if names is None or "by_class" not in metrics:
        return dict(metrics)
    by_class = metrics["by_class"]
    missing = len(names) - len(by_class["points"])
    full = {"points": by_class["points"] + [0] * missing, "error": by_class["error"] + [None] * missing}
    return {**metrics, "by_class": {"names": list(names)} | full}


def rows_by_class(metrics: Mapping[str, Any]) -> list[list[str]]:
    """Return the name, the number of test points and the error of each class that has a name.

    Args:
        metrics: The metrics of a run.
    """
    by_class = metrics.get("by_class", {})
    if "names" not in by_class:
        return []
    entries = zip(by_class["names"], by_class["points"], by_class["error"], strict=True)
    return [[name, f"{n:,}", "" if share is None else f"{100 * share:.2f} %"] for name, n, share in entries]


def lines_by_class(metrics: Mapping[str, Any]) -> list[str]:
    """Return the error of each class that has a name as the lines of a table, empty without names.

    Args:
        metrics: The metrics of a run.
    """
    rows = rows_by_class(metrics)
    if not rows:
        return []
    errors = metrics["by_class"]["error"]
    order = sorted(range(len(rows)), key=lambda index: -(errors[index] or 0)) if len(rows) > SHOWN else range(len(rows))
    shown = [rows[index] for index in order][:SHOWN]
    width = max(len("class"), *(len(name) for name, _, _ in shown))
    left_out = [f"({len(rows) - SHOWN} classes with smaller errors are not shown)"] if len(rows) > SHOWN else []
    head = f"{'class':{width}}{'points':>10}{'error':>12}"
    return ["", head, *(f"{name:{width}}{points:>10}{error:>12}" for name, points, error in shown), *left_out]
