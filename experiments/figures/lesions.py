"""The figure of the experiment ``lesions``: ``python -m experiments.figures.lesions`` writes it from the results."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from experiments.claims.lesions import damages, last, of, percent
from experiments.engine.results import RESULTS, results
from experiments.figures.parts import Result, Results, make_axes, need
from pyro_vds.plots.style import BLUE, GREEN, GREY, ORANGE, RED, legend_above

PATH = RESULTS / "lesions" / "lesions.png"
STYLES = {
    "learnt": (BLUE, "learnt depth, marginal"),
    "plain": (ORANGE, "plain"),
    "stochastic_depth": (GREEN, "stochastic depth"),
    "no_skips": (GREY, "no skips"),
}


def figure_lesions(found: Results, axes: Any = None) -> list[Axes]:
    """Draw the error by deleted block, the mean error by number of deleted blocks, and mass against damage.

    The first two are means over the seeds, with standard deviations as bars. In the third a point is a block of a
    network with learnt depth, and its damage that to the marginal prediction.

    Args:
        found: Results of ``lesions``.
        axes: Three axes.
    """
    need(found, "lesions")
    single, several, mass = make_axes(axes, 3)
    for name, (color, label) in STYLES.items():
        runs = of(found, name)
        errors = np.array([percent(r["single"], last(r)) for r in runs])
        _draw(single, np.arange(1, errors.shape[1] + 1), errors, color=color, label=label)
        errors = np.array([percent(r["deleted"], last(r)) for r in runs])
        _draw(several, np.arange(errors.shape[1]), errors, color=color, label=label)
    single.set(xlabel="deleted block", ylabel="test error (%)")
    several.set(xlabel="number of deleted blocks (mean over all masks)", ylabel="test error (%)")
    _draw_mass(mass, of(found, "learnt"))
    for ax in (single, several):
        legend_above(ax)
    return [single, several, mass]


def _draw(ax: Axes, x: np.ndarray, values: np.ndarray, **style: Any) -> None:
    spread = values.std(0, ddof=len(values) > 1)
    ax.errorbar(x, values.mean(0), spread, marker="o", ms=4, lw=1.2, capsize=2, **style)


def _draw_mass(ax: Axes, runs: list[Result]) -> None:
    """Draw the damage of each block against the mass of the depths that use it."""
    for number, run in enumerate(runs):
        label = "_nolegend_" if number else "a block, of each seed"
        ax.plot(run["mass_above"], damages(run, "marginal"), "o", ms=4, mfc="none", color=BLUE, label=label)
    ax.axhline(1, color=RED, lw=1, ls=":", label="a point of error")
    ax.set_yscale("symlog", linthresh=1)
    ax.set(xlabel="posterior mass of the depths that use it", ylabel="damage (points of error)")
    legend_above(ax)


if __name__ == "__main__":
    figure_lesions(results("lesions"))[0].figure.savefig(PATH, dpi=120)  # pyright: ignore[reportAttributeAccessIssue]
    plt.close("all")
