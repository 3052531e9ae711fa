"""Figures of calibration. Every function draws in given or new matplotlib axes, and returns them."""

from collections.abc import Mapping

import arviz as az
import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, StrMethodFormatter
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from pyro_vds.metrics.calibration import Binning, reliability_table
from pyro_vds.metrics.intervals import interval_table
from pyro_vds.metrics.uncertainty import RiskCoverage
from pyro_vds.plots.style import BLUE, GREY, axes_or_new

_UNIT = (-0.03, 1.03)
"""Limits of an axis from 0 to 1, with room for a marker at each end."""


def plot_reliability(
    probs: ArrayLike,
    labels: ArrayLike,
    ax: Axes | None = None,
    *,
    bins: int = 15,
    binning: Binning = "width",
    title: str = "",
) -> Axes:
    """Draw a reliability diagram: accuracy against confidence, and below it the number of points in each bin.

    A vertical line is the 95 % interval of the accuracy in a bin (Wilson 1927, "Probable Inference, the Law of
    Succession, and Statistical Inference"): it is wide where a bin has few points.

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
    ax = axes_or_new(ax, (4, 4.6))
    filled = table.counts > 0
    confidence, accuracy, counts = (part[filled] for part in (table.confidence, table.accuracy, table.counts))
    ax.plot([0, 1], [0, 1], ls="--", lw=1, color=GREY, label="perfect calibration")
    ax.text(0.13, 0.15, "perfect calibration", rotation=45, rotation_mode="anchor", fontsize=8, color=GREY)
    low, high = _wilson(np.rint(accuracy * counts).astype(int), counts)
    ax.vlines(confidence, low, high, color=BLUE, lw=1.2, alpha=0.6, label="95 % interval")
    ax.plot(confidence, accuracy, "o", ms=5, color=BLUE, label="accuracy")
    head = f"{title}: " if title else ""
    ax.set(
        xlim=_UNIT, ylim=_UNIT, aspect="equal", ylabel="accuracy, with 95 % interval",
        title=f"{head}ECE {100 * table.ece:.1f} %",
    )  # fmt: skip
    _draw_counts(ax, table.edges, table.counts)
    return ax


def _wilson(hits: Int[np.ndarray, " bins"], counts: Int[np.ndarray, " bins"]) -> Float[np.ndarray, "2 bins"]:
    """Return the ends of the 95 % interval of Wilson (1927) of each share ``hits / counts``."""
    intervals = [binomtest(k, n).proportion_ci(0.95, method="wilson") for k, n in zip(hits, counts, strict=True)]
    return np.array(intervals).reshape(-1, 2).T


def _draw_counts(ax: Axes, edges: Float[np.ndarray, " edges"], counts: Int[np.ndarray, " bins"]) -> None:
    """Draw the number of points in each bin in a strip below the axes, on a logarithmic scale, and write it."""
    strip = ax.inset_axes((0.0, -0.32, 1.0, 0.22), sharex=ax)
    strip.bar((edges[:-1] + edges[1:]) / 2, counts, np.diff(edges), color=GREY, alpha=0.4, ec="white", lw=0.5)
    for left, right, count in zip(edges, edges[1:], counts, strict=False):
        if count and right - left > 0.04:  # the number is as wide as this
            text = f"{count}" if count < 1000 else f"{count / 1000:.1f}k" if count < 10_000 else f"{count // 1000}k"
            strip.text((left + right) / 2, 1.15 * count, text, ha="center", va="bottom", fontsize=6)
    strip.set(yscale="log", ylim=(0.5, 10.0 * max(int(counts.max()), 1)), ylabel="points", xlabel="confidence")
    strip.yaxis.set_minor_locator(NullLocator())
    strip.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    strip.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelbottom=False)


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
        xlim=_UNIT, ylim=_UNIT, aspect="equal", xlabel="nominal coverage", ylabel="empirical coverage",
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
