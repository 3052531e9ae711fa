"""Figures of the posterior. Every function draws in given or new matplotlib axes, and returns them.

The entries of an axis of architectures are side by side in its order, with their labels below.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pyro_vds.diagnostics.agreement import LARGE_GAP, agreement_note
from pyro_vds.diagnostics.comparison import power_scaled_posterior, stacking_weights
from pyro_vds.diagnostics.quantities import (
    Label,
    architecture_dims,
    axis_of,
    entry_index,
    exact_quantities,
    quantities_of_one_model,
)
from pyro_vds.diagnostics.summaries import axis_probs, guide_gap, log_likelihood
from pyro_vds.plots.style import BLUE, GREEN, GREY, ORANGE, RED, axes_or_new, legend_above, name_entries, write_note

_PROBABILITIES, _LOG_LIKELIHOODS = (0.0, 0.62), (0.72, 0.98)
"""The parts of the height of a figure in which probabilities and log-likelihoods are drawn."""


def plot_posterior(
    tree: xr.DataTree,
    ax: Axes | None = None,
    *,
    axis: str | None = None,
    chosen: Label | None = None,
    points: str = "",
    note: str | None = None,
) -> Axes:
    """Draw guide and exact posterior over one axis side by side, the prior, and above them each log-likelihood.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree`; for replicates the mean is drawn.
        ax: Axes to draw in; ``None`` makes a new figure.
        axis: Name of the axis of architectures; ``None`` is the first of the tree. Other axes are summed over.
        chosen: The label of an entry to mark.
        points: The name of the points of the tree, such as ``"test"``, for the legend. Those of the posterior are
            others: it is given the training data, and need not favour the entry that predicts test data best.
        note: A sentence above the figure; ``None`` says that guide and exact posterior disagree, where they are more
            than a nat apart.

    Returns:
        The axes of the probabilities; the log-likelihoods are on a twin axis on the right.

    Raises:
        ValueError: If the tree lacks the exact quantities or the axis, or no entry has the label.
    """
    exact = exact_quantities(tree)
    axis = axis_of(exact, axis)
    mark = None if chosen is None else entry_index(exact, axis, chosen)
    probs = _mean_of_replicates(axis_probs(tree, axis))
    q, prior, posterior = (probs.sel(distribution=name).to_numpy() for name in ("q", "prior", "exact"))
    ax = axes_or_new(ax, (5.6, 4.4))
    places = _name_axis(ax, exact, axis)
    ax.bar(places - 0.2, q, 0.4, color=BLUE, label=f"posterior q({axis})")
    ax.bar(places + 0.2, posterior, 0.4, color=GREEN, label="exact posterior")
    ax.plot(places, prior, color=GREY, ls="--", lw=1.2, label="prior")
    if mark is not None:
        ax.axvline(mark, color=RED, lw=1.2, ls=":", label=f"chosen {axis} {chosen}")
    _into_band(ax, (0.0, float(probs.max())), _PROBABILITIES, "left")
    twin = ax.twinx()
    mean = _mean_of_replicates(log_likelihood(tree, axis)["mean"]).to_numpy()
    of_points = f" ({points})" if points else ""
    label = f"log-likelihood of each {axis}{of_points}"
    twin.plot(places, mean, "o-", ms=3.5, lw=1.2, color=ORANGE, label=label)
    twin.spines[["top", "left"]].set_visible(False)
    finite = mean[np.isfinite(mean)]
    _into_band(twin, (finite.min(), finite.max()) if finite.size else (0.0, 1.0), _LOG_LIKELIHOODS, "right")
    ax.set_ylabel("probability", y=sum(_PROBABILITIES) / 2)
    twin.set_ylabel("log-likelihood\n(nats per point)", y=sum(_LOG_LIKELIHOODS) / 2)
    legend_above(ax, twin, size=9)
    write_note(ax.figure, _note_on_gap(tree, probs, axis) if note is None else note)
    return ax


def plot_prior_to_posterior(tree: xr.DataTree, ax: Axes | None = None, *, axis: str | None = None) -> Axes:
    """Draw the prior over one axis beside the guide and the exact posterior.

    The title is the gap between guide and exact posterior over all axes, in nats.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of one model.
        ax: Axes to draw in; ``None`` makes a new figure.
        axis: Name of the axis of architectures; ``None`` is the first of the tree. Other axes are summed over.

    Raises:
        ValueError: If the tree is of replicates, or lacks the axis.
    """
    exact = quantities_of_one_model(tree)
    axis = axis_of(exact, axis)
    probs = axis_probs(tree, axis)
    ax = axes_or_new(ax, (7, 3.6))
    places = _name_axis(ax, exact, axis)
    styles = {"prior": (GREY, "prior"), "q": (BLUE, f"posterior q({axis})"), "exact": (GREEN, "exact posterior")}
    for i, (name, (color, label)) in enumerate(styles.items()):
        ax.bar(places + 0.28 * (i - 1), probs.sel(distribution=name), 0.28, color=color, label=label)
    ax.set(ylabel="probability", title=f"gap {float(guide_gap(tree)['gap']):.2f} nats")
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_log_likelihood(
    tree: xr.DataTree, ax: Axes | None = None, *, axis: str | None = None, points: str = ""
) -> Axes:
    """Draw the mean log-likelihood of each entry of one axis, with bars of two standard errors.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of one model.
        ax: Axes to draw in; ``None`` makes a new figure.
        axis: Name of the axis of architectures; ``None`` is the first of the tree. The guide averages over other axes,
            as in :func:`pyro_vds.diagnostics.log_likelihood`.
        points: The name of the points of the tree, such as ``"test"``.

    Raises:
        ValueError: If the tree is of replicates, or lacks the axis.
    """
    exact = quantities_of_one_model(tree)
    axis = axis_of(exact, axis)
    values = log_likelihood(tree, axis)
    ax = axes_or_new(ax, (7, 3.6))
    places = _name_axis(ax, exact, axis)
    mean, se = (values[name].to_numpy() for name in ("mean", "se"))
    ax.errorbar(places, mean, 2 * se, fmt="o-", ms=3.5, lw=1.2, capsize=2, color=ORANGE)
    ax.set_ylabel(f"log-likelihood ({f'{points}, ' if points else ''}nats per point)")
    return ax


def plot_stacking(tree: xr.DataTree, ax: Axes | None = None, *, axis: str | None = None) -> Axes:
    """Draw the stacking weights over one axis beside the guide.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of held-out data of one model.
        ax: Axes to draw in; ``None`` makes a new figure.
        axis: Name of the axis of architectures; ``None`` is the first of the tree.

    Raises:
        ValueError: If the tree is of replicates, or lacks the axis.
    """
    exact = quantities_of_one_model(tree)
    axis = axis_of(exact, axis)
    weights, q = stacking_weights(tree, axis), axis_probs(tree, axis).sel(distribution="q")
    ax = axes_or_new(ax, (7, 3.6))
    places = _name_axis(ax, exact, axis)
    ax.bar(places - 0.2, q, 0.4, color=BLUE, label=f"posterior q({axis})")
    ax.bar(places + 0.2, weights, 0.4, color=ORANGE, label="stacking weight")
    ax.set_ylabel("weight")
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_power_scaling(
    tree: xr.DataTree, ax: Axes | None = None, *, axis: str | None = None, powers: Sequence[float] = (0.5, 1.0, 2.0)
) -> Axes:
    """Draw the exact posterior over one axis under powers of the prior.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of one model.
        ax: Axes to draw in; ``None`` makes a new figure.
        axis: Name of the axis of architectures; ``None`` is the first of the tree. Other axes are summed over.
        powers: The exponents.

    Raises:
        ValueError: If a power is negative, the tree is of replicates, or it lacks the axis.
    """
    exact = quantities_of_one_model(tree)
    axis = axis_of(exact, axis)
    scaled = power_scaled_posterior(tree, powers).sum([dim for dim in architecture_dims(exact) if dim != axis])
    ax = axes_or_new(ax, (7, 3.6))
    places = _name_axis(ax, exact, axis)
    for power in powers:
        ax.plot(places, scaled.sel(power=power), "o-", ms=3, label=f"prior to the power {power:g}")
    ax.set_ylabel("exact posterior")
    ax.legend(frameon=False, fontsize=8)
    return ax


def _name_axis(ax: Axes, exact: xr.Dataset, axis: str) -> np.ndarray:
    """Write the name and the labels of an axis below a figure, and return the positions of its entries."""
    labels = exact[axis].to_numpy()
    name_entries(ax.xaxis, labels)
    ax.set_xlabel(axis)
    return np.arange(len(labels))


def _into_band(ax: Axes, values: tuple[float, float], band: tuple[float, float], side: str) -> None:
    """Scale a vertical axis so that a range of values fills a band of the height, and bound its spine and ticks."""
    (low, high), (bottom, top) = values, band
    span = high - low or max(abs(high), 1.0) / 10
    unit = span / (top - bottom)
    ax.set_ylim(low - bottom * unit, low + (1 - bottom) * unit)
    ticks = np.asarray(MaxNLocator(4).tick_values(low, high))
    ax.set_yticks(ticks[(ticks >= low - 1e-9 * span) & (ticks <= high + 1e-9 * span)])
    ax.spines[side].set_bounds(low, low + span)


def _note_on_gap(tree: xr.DataTree, probs: xr.DataArray, axis: str) -> str:
    """Return a sentence if guide and exact posterior are far apart, with the entry that each favours."""
    gap = float(_mean_of_replicates(guide_gap(tree)["gap"]))
    guide, exact = (
        f"{axis} {probs[axis].to_numpy()[int(probs.sel(distribution=name).argmax(axis))]}" for name in ("q", "exact")
    )
    return agreement_note(gap, guide, exact) if gap > LARGE_GAP else ""


def _mean_of_replicates(values: xr.DataArray) -> xr.DataArray:
    return values.mean("chain") if "chain" in values.dims else values
