"""The tables of a run's page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyro_vds.runs.site_text import site_rows

BARS = "q (blue), exact (green)"
"""The head of the column of bars."""


@dataclass(frozen=True)
class Table:
    """A table of the page; the first cell of each row is its name.

    Attributes:
        title: The caption.
        head: Names of the columns; empty for a list of names and values.
        rows: The cells.
        bars: Lengths of the bars of each row, of the guide and the exact posterior, per cent; empty without bars.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: Sequence[Sequence[float]] = ()


def table_of_axis(posterior: Mapping[str, Any], axis: str) -> Table:
    """Return the probability and the training log-likelihood of every entry of an axis, with bars.

    Args:
        posterior: The posterior part of a run's metrics.
        axis: The name of the axis.
    """
    entries = posterior["axes"][axis]
    if "sites" in entries:
        head, rows = site_rows(entries, axis, posterior["chosen"][axis])
        kinds = [name for name in ("q", "exact", "stacked") if name in entries]
        bars = _bars([[float(cell) for cell in row[-len(kinds) :][:2]] for row in rows], largest=1.0)
        return Table(f"Posterior over {axis}", [*head, BARS], rows, bars)
    # With several axes the log-likelihood is that of a pair, which has no place in the table of one axis.
    likelihood = [[f"{p:.6f}"] for p in posterior["train_log_likelihood"]] if len(posterior["axes"]) == 1 else None
    columns = [name for name in ("q", "exact", "stacked") if name in entries]
    rows = [
        [str(label), *(f"{entries[name][i]:.3f}" for name in columns), *(likelihood[i] if likelihood else [])]
        for i, label in enumerate(entries["labels"])
    ]
    head = [axis, f"q({axis})", *columns[1:], *(["train log-likelihood (nats per point)"] if likelihood else []), BARS]
    pairs = list(zip(entries["q"], entries["exact"], strict=True))
    return Table(f"Posterior over {axis}", head, rows, _bars(pairs, largest=max(map(max, pairs))))


def joint_table(posterior: Mapping[str, Any]) -> Table:
    """Return the probability of every pair of entries of two axes.

    Args:
        posterior: The posterior part of a run's metrics.
    """
    (first, rows), (second, columns) = posterior["axes"].items()
    pairs = zip(rows["labels"], posterior["q_joint"], strict=True)
    cells = [[str(label), *(f"{p:.3f}" for p in row)] for label, row in pairs]
    return Table(f"q({first}, {second})", [first, *(f"{second} {label}" for label in columns["labels"])], cells)


def _bars(rows: Sequence[Sequence[float]], largest: float) -> list[list[float]]:
    """Return probabilities as lengths of bars, per cent of the largest."""
    return [[round(100 * p / largest, 1) for p in row] for row in rows]
