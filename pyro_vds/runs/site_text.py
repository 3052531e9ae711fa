"""What a run's texts say of axes with sites: a row for each edge, and how sure the bound is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pyro_vds.infer.evidence import EvidenceEstimate
from pyro_vds.runs.cuts import label_text

MOST = 15
"""The sites in a table of the summary."""


def plural(count: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun, such as ``"1 point"`` or ``"2 points"``.

    Args:
        count: The number.
        one: The noun.
        several: Its plural; ``None`` adds an s.
    """
    return f"{count} {one if count == 1 else several or one + 's'}"


def bound_line(posterior: Mapping[str, Any]) -> str:
    """Return the ELBO and the log evidence as one line, which says if they are estimates.

    Args:
        posterior: The posterior part of a run's metrics.
    """
    if "elbo_se" in posterior:
        values: dict[str, Any] = {field.name: posterior[field.name] for field in fields(EvidenceEstimate)}
        values["khat"] = math.nan if values["khat"] is None else values["khat"]
        return str(EvidenceEstimate(**values))
    return (
        f"ELBO {posterior['elbo']:.2f} nats, log evidence {posterior['log_evidence']:.2f}, "
        f"gap {round(posterior['evidence_gap'], 2) + 0.0:.2f}"  # not -0.00
    )


def has_sites(posterior: Mapping[str, Any]) -> bool:
    """Return whether an axis has sites.

    Args:
        posterior: The posterior part of a run's metrics.
    """
    return any("sites" in axis for axis in posterior["axes"].values())


def chosen_of_sites(posterior: Mapping[str, Any]) -> str:
    """Return the chosen architecture as one line, such as ``chosen gate 1101, 3 of 4 open (guide, rule argmax)``.

    Args:
        posterior: The posterior part of a run's metrics.
    """
    words = []
    for name, labels in posterior["chosen"].items():
        is_gate = isinstance(labels, Sequence) and all(isinstance(label, bool) for label in labels)
        opened = f", {sum(labels)} of {len(labels)} open" if is_gate else ""
        words.append(f"{name} {label_text(labels)}{opened}")
    return f"chosen {'; '.join(words)} (guide, rule {posterior['rule']})"


def site_rows(axis: Mapping[str, Any], name: str, chosen: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table of an axis with sites.

    Gates have the probability to be open; other axes the chosen label of each site, and its probability.

    Args:
        axis: The axis in the posterior part of a run's metrics.
        name: Its name.
        chosen: The chosen label of each site.
    """
    labels = list(axis["labels"])
    gates = labels == [False, True]
    entries = [1] * len(chosen) if gates else [labels.index(label) for label in chosen]
    kinds = [kind for kind in ("q", "exact", "stacked") if kind in axis]
    head = [str(axis["plate"]), *([] if gates else [name]), "q(open)" if gates else "q", *kinds[1:]]
    rows = [
        [
            str(site),
            *([] if gates else [str(chosen[place])]),
            *(f"{axis[kind][place][entries[place]]:.3f}" for kind in kinds),
        ]
        for place, site in enumerate(axis["sites"])
    ]
    return head, rows


def site_table(axis: Mapping[str, Any], name: str, chosen: Sequence[Any]) -> list[str]:
    """Return the lines of the table of an axis with sites, with a bar for the probability under the guide.

    Of many sites only the most probable are listed; the report has all.

    Args:
        axis: The axis in the posterior part of a run's metrics.
        name: Its name.
        chosen: The chosen label of each site.
    """
    head, rows = site_rows(axis, name, chosen)
    first = 1 if head[1] == "q(open)" else 2
    total = len(rows)
    likely = sorted(range(total), key=lambda place: -float(rows[place][first]))[:MOST]
    rows = [rows[place] for place in sorted(likely)]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["   ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    table = [f"{line}   {'█' * round(40 * float(row[first]))}" for line, row in zip(lines[1:], rows, strict=True)]
    rest = [f"({total - len(rows)} others with a smaller {head[first]} are not shown)"] if total > len(rows) else []
    return [lines[0], *(line.rstrip() for line in table), *rest]


def draws_note(metrics: Mapping[str, Any]) -> str:
    """Return what test measures of draws are, in words; empty for exact ones.

    Args:
        metrics: The content of ``metrics.json``.
    """
    return f"; full is the mean of {metrics['draws']} drawn architectures, an estimate" if "draws" in metrics else ""
