"""Figures of calibration. Every function draws in given or new matplotlib axes, and returns them."""

from collections.abc import Mapping

import arviz as az
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from pyro_vds.metrics.calibration import Binning, reliability_table
from pyro_vds.metrics.intervals import interval_table
from pyro_vds.metrics.uncertainty import RiskCoverage
from pyro_vds.plots.style import BLUE, GREY, axes_or_new


def plot_reliability(
    probs: ArrayLike,
    labels: ArrayLike,
    ax: Axes | None = None,
    *,
    bins: int = 15,
    binning: Binning = "width",
    title: str = "",
) -> Axes:
    """Draw a reliability diagram: accuracy against confidence, with the share of points in each bin.

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.
        ax: Axes to draw in; ``None`` makes a new figure.
        bins: Number of bins.
        binning: ``"width"`` or ``"mass"``, as in :func:`pyro_vds.calibration.reliability_table`.
        title: Title, before the expected calibration error.

    Returns:
        The axes.
    """
    table = reliability_table(probs, labels, bins, binning=binning)
    ax = axes_or_new(ax, (4, 4))
    centres = (table.edges[:-1] + table.edges[1:]) / 2
    ax.bar(
        centres,
        table.counts / table.counts.sum(),
        np.diff(table.edges),
        color=GREY,
        alpha=0.25,
        label="share of points",
    )
    ax.plot([0, 1], [0, 1], ls="--", lw=1, color=GREY, label="perfect calibration")
    ax.plot(table.confidence, table.accuracy, "o-", ms=4, color=BLUE, label="accuracy")
    head = f"{title}: " if title else ""
    ax.set(
        xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="confidence", ylabel="accuracy",
        title=f"{head}ECE {100 * table.ece:.1f} %",
    )  # fmt: skip
    ax.legend(loc="upper left", frameon=False, fontsize=8)
    return ax


def plot_intervals(pit: ArrayLike, ax: Axes | None = None, *, title: str = "") -> Axes:
    """Draw the empirical coverage of central predictive intervals against the nominal one.

    A curve below the diagonal shows too narrow intervals, a curve above it too wide ones.

    Args:
        pit: Values from :func:`pyro_vds.predict_pit`, ``(N,)``.
        ax: Axes to draw in; ``None`` makes a new figure.
        title: Title, before the interval calibration error.

    Returns:
        The axes.

    Raises:
        ValueError: If there are no values, or one is out of range.
    """
    table = interval_table(pit)
    ax = axes_or_new(ax, (4, 4))
    ax.plot([0, 1], [0, 1], ls="--", lw=1, color=GREY, label="perfect calibration")
    noise = 2 * np.sqrt(table.levels * (1 - table.levels) / table.count)
    ax.fill_between(
        table.levels,
        table.levels - noise,
        table.levels + noise,
        color=GREY,
        alpha=0.2,
        lw=0,
        label="two standard errors",
    )
    ax.plot(table.levels, table.coverage, "o-", ms=4, color=BLUE, label="coverage")
    head = f"{title}: " if title else ""
    ax.set(
        xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="nominal coverage", ylabel="empirical coverage",
        title=f"{head}error {100 * table.error:.1f} %",
    )  # fmt: skip
    ax.legend(loc="upper left", frameon=False, fontsize=8)
    return ax


def plot_risk_coverage(curves: Mapping[str, RiskCoverage], ax: Axes | None = None) -> Axes:
    """Draw risk-coverage curves with their areas.

    Args:
        curves: Curves from :func:`pyro_vds.uncertainty.risk_coverage`, by name.
        ax: Axes to draw in; ``None`` makes a new figure.
    """
    ax = axes_or_new(ax, (4.5, 3.6))
    for name, curve in curves.items():
        ax.plot(curve.coverage, curve.risk, lw=1.2, label=f"{name}: area {curve.area:.4f}")
    ax.set(xlabel="coverage (share predicted)", ylabel="risk (mean error)", xlim=(0, 1))
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_pava(tree: xr.DataTree, label: int, ax: Axes | None = None, *, prob: float = 0.89) -> Axes:
    """Draw ArviZ's calibration curve of one class against the others, without bins (``az.plot_ppc_pava``).

    It is the isotonic regression of the outcome on the predicted frequency (Dimitriadis et al. 2021, "Stable
    Reliability Diagrams"), with the band of a calibrated model. Frequencies come from the draws of the tree, and are
    multiples of one over their number.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of a classification.
        label: The class.
        ax: Axes to draw in; ``None`` makes a new figure.
        prob: Mass of the band; ArviZ's default.
    """
    ax = axes_or_new(ax, (4, 4))
    groups = ("posterior_predictive", "observed_data")
    binary = xr.DataTree.from_dict({name: (tree[name].to_dataset()[["obs"]] == label).astype(int) for name in groups})
    # ArviZ draws in the axes of a plot collection.
    drawing = {"/": {"figure": ax.figure}, "plot": {"obs": ax}, "row_index": {"obs": 0}, "col_index": {"obs": 0}}
    viz = xr.DataTree.from_dict({path: xr.Dataset(_objects(values)) for path, values in drawing.items()})
    collection = az.PlotCollection(xr.Dataset({"obs": 0}), viz, backend="matplotlib")
    az.plot_ppc_pava(binary, plot_collection=collection, ci_prob=prob)
    ax.set(xlabel=f"predicted frequency of class {label}", ylabel="observed frequency", title="")
    return ax


def _objects(values: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Return each value in its own array."""
    return {name: np.array(value, dtype=object) for name, value in values.items()}
