"""The figure of the experiment ``connectivity``: ``python -m experiments.figures.connectivity`` writes it."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from experiments.claims.connectivity_parts import TITLES, of
from experiments.claims.parts import load
from experiments.engine.results import RESULTS
from experiments.figures.parts import Results, make_axes, need

PATH = RESULTS / "connectivity" / "evolution.png"
PANELS = (
    ("sigmoid", "gates", "digits"),
    ("exact", "gates", "digits"),
    ("rloo", "gates", "digits"),
    ("sigmoid", "images", "CIFAR-10"),
)


def figure_connectivity(found: Results, axes: Any = None) -> list[Axes]:
    """Draw how weights and edge probabilities evolve, a line for each edge of the first seed, the start at 0.5.

    Args:
        found: Results of ``connectivity``.
        axes: Four axes.
    """
    need(found, "connectivity")
    found_axes = make_axes(axes, len(PANELS), size=(3.6, 3.2))
    for ax, (method, part, data) in zip(found_axes, PANELS, strict=True):
        run = of(found, part, method=method, start=0.0, price=20.0)[0]
        gates = np.array(run["gates"])
        for edge, values in zip(run["edges"], gates.T, strict=True):
            ax.plot(np.arange(1, len(gates) + 1), values, lw=1.2, label=f"{edge[0]} to {edge[1]}")
        ax.set(xlabel="epoch", ylim=(-0.02, 1.02), title=f"{data}, {TITLES[method]}")
        ax.set_ylabel("weight" if method == "sigmoid" else "probability of an open edge")
    found_axes[0].legend(frameon=False, fontsize="small")
    return found_axes


if __name__ == "__main__":
    figure_connectivity(load("connectivity"))[0].figure.savefig(PATH, dpi=120)  # pyright: ignore[reportAttributeAccessIssue]
    plt.close("all")
