"""Measures under growing corruptions, for each kind of network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from experiments.figures.parts import LABELS
from pyro_vds.plots.style import BLUE, GREEN, GREY, ORANGE, RED

NAMES = {
    "ldn": "LDN",
    "ldn_pruned": "LDN pruned",
    "ddn": "DDN",
    "ensemble": "ensemble of DDNs",
    "dropout": "MC dropout",
}
COLOURS = dict(zip(NAMES, (BLUE, GREEN, GREY, RED, ORANGE), strict=True))
UNITS = {"rotation": "rotation (degrees)", "noise": "noise (sd, normalised pixels)", "blur": "blur (sd, pixels)"}


def draw_corruptions(measured: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a figure: a row for each measure, a column for each corruption; bars are standard deviations over seeds.

    Args:
        measured: Kind, level, and the measures of each kind of network; rotation by 0 is no corruption.
        path: The PNG file.
    """
    kinds, measures = list(dict.fromkeys(found["kind"] for found in measured)), ("error", "log_likelihood", "ece")
    figure, axes = plt.subplots(
        len(measures), len(kinds), figsize=(4 * len(kinds), 8.4), layout="constrained", sharex="col",
        squeeze=False,
    )  # fmt: skip
    clean = measured[0]
    for column, kind in enumerate(kinds):
        found = [one for one in measured if one["kind"] == kind]
        found = found if found[0]["level"] == 0 else [dict(clean) | {"level": 0}, *found]
        for row, measure in enumerate(measures):
            ax = axes[row, column]
            for method, name in NAMES.items():
                values = np.array([[one[method][measure][part] for part in ("mean", "std")] for one in found]).T
                levels = [one["level"] for one in found]
                ax.errorbar(
                    levels,
                    *values,
                    marker="o",
                    ms=3,
                    lw=1.2,
                    capsize=2,
                    color=COLOURS[method],
                    label=name,
                    ls="--" if method == "ldn_pruned" else "-",
                )
            if measure != "log_likelihood":
                ax.set_ylim(0, 1)
            if column == 0:
                ax.set_ylabel(LABELS[measure])
        axes[-1, column].set_xlabel(UNITS[kind])
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncol=len(NAMES), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
