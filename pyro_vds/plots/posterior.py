"""Figures of the posterior. Every function draws in given or new matplotlib axes, and returns them.

The entries of an axis of architectures are side by side in its order, with their labels below.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

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
from pyro_vds.plots.style import BLUE, GREEN, GREY, ORANGE, RED, axes_or_new, legend_above, name_entries


def plot_posterior(
    tree: xr.DataTree, ax: Axes | None = None, *, axis: str | None = None, chosen: Label | None = None
) -> Axes:
    """Draw the guide over one axis, the exact posterior, the prior, and the log-likelihood of each entry.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree`; for replicates the mean is drawn.
        ax: Axes to draw in; ``None`` makes a new figure.
        axis: Name of the axis of architectures; ``None`` is the first of the tree. Other axes are summed over.
        chosen: The label of an entry to mark.

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
    ax = axes_or_new(ax, (7, 3.6))
    places = _name_axis(ax, exact, axis)
    ax.bar(places, q, color=BLUE, width=0.75, label=f"posterior q({axis})")
    ax.plot(places, prior, color=GREY, ls="--", lw=1.2, label="prior")
    ax.plot(places, posterior, "D", ms=4, mfc="none", color=GREEN, label="exact posterior")
    top = 1.3 * float(max(q.max(), prior.max()))
    _write_above(ax, posterior, top)
    if mark is not None:
        ax.axvline(mark, color=RED, lw=1.2, ls=":", label=f"chosen {axis} {chosen}")
    ax.set(ylabel="probability", ylim=(0, top))
    twin = ax.twinx()
    mean = _mean_of_replicates(log_likelihood(tree, axis)["mean"])
    twin.plot(places, mean, "o-", ms=3.5, lw=1.2, color=ORANGE, label=f"log-likelihood of each {axis}")
    twin.set_ylabel("log-likelihood (nats per point)")
    twin.spines["top"].set_visible(False)
    legend_above(ax, twin, columns=3)
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


def plot_log_likelihood(tree: xr.DataTree, ax: Axes | None = None, *, axis: str | None = None) -> Axes:
    """Draw the mean log-likelihood of each entry of one axis, with bars of two standard errors.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of one model.
        ax: Axes to draw in; ``None`` makes a new figure.
        axis: Name of the axis of architectures; ``None`` is the first of the tree. The guide averages over other axes,
            as in :func:`pyro_vds.diagnostics.log_likelihood`.

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
    ax.set_ylabel("log-likelihood (nats per point)")
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


def _write_above(ax: Axes, posterior: np.ndarray, top: float) -> None:
    """Mark values above the figure, which is scaled for the guide, by an arrow and the number."""
    for place in np.flatnonzero(posterior > top):
        ax.plot(place, 0.95 * top, "^", ms=5, mfc="none", color=GREEN)
        ax.annotate(
            f"{posterior[place]:.2f}", (place, 0.95 * top), (5, -3), textcoords="offset points", fontsize=7, color=GREEN
        )


def _mean_of_replicates(values: xr.DataArray) -> xr.DataArray:
    return values.mean("chain") if "chain" in values.dims else values
