"""Figures of the posterior. Every function takes matplotlib axes, or makes them, and returns them."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pyro_vds.diagnostics.comparison import power_scaled_posterior, stacking_weights
from pyro_vds.diagnostics.summaries import depth_log_likelihood, depth_probs, guide_gap
from pyro_vds.plots.style import BLUE, GREEN, GREY, ORANGE, RED, _legend_above, axes_or_new


def plot_depth_posterior(tree: xr.DataTree, ax: Axes | None = None, *, chosen: int | None = None) -> Axes:
    """Draw the guide's depth posterior, the exact one, the prior, and the log-likelihood of each depth.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree`; of replicates the mean is drawn.
        ax: Where to draw; a new figure unless given.
        chosen: A depth to mark.

    Returns:
        The axes of the probabilities; the log-likelihoods are on a twin axis to the right.
    """
    exact = tree["depth_posterior"].to_dataset()
    others = [dim for dim in exact["log_q"].dims if dim != "depth"]
    names = ["log_q", "log_prior", "log_exact_posterior"]
    probs = exact[names].map(np.exp).sum([dim for dim in others if dim != "chain"])
    probs = probs.mean("chain") if "chain" in probs.dims else probs
    q, prior, posterior = (probs[name] for name in names)
    depth = exact["depth"].to_numpy()
    ax = axes_or_new(ax, (7, 3.6))
    ax.bar(depth, q, color=BLUE, width=0.75, label="posterior q(depth)")
    ax.plot(depth, prior, color=GREY, ls="--", lw=1.2, label="prior")
    top = 1.3 * float(max(q.max(), prior.max()))
    ax.plot(depth, posterior, "D", ms=4, mfc="none", color=GREEN, label="exact posterior")
    for d, p in zip(depth, posterior.to_numpy(), strict=True):
        if p > top:  # above the picture, which is scaled for q: an arrow and the number
            ax.plot(d, 0.95 * top, "^", ms=5, mfc="none", color=GREEN)
            ax.annotate(f"{p:.2f}", (d, 0.95 * top), (5, -3), textcoords="offset points", fontsize=7, color=GREEN)
    if chosen is not None:
        ax.axvline(chosen, color=RED, lw=1.2, ls=":", label=f"chosen depth {chosen}")
    ax.set(xlabel="depth (residual blocks)", ylabel="probability", ylim=(0, top))
    twin = ax.twinx()
    mean = exact["log_likelihood"].mean(["obs_id", *others])
    twin.plot(depth, mean, "o-", ms=3.5, lw=1.2, color=ORANGE, label="log-likelihood of each depth")
    twin.set_ylabel("log-likelihood (nats per point)")
    twin.spines["top"].set_visible(False)
    _legend_above(ax, twin, columns=3)
    return ax


def plot_prior_to_posterior(tree: xr.DataTree, ax: Axes | None = None) -> Axes:
    """Draw the prior over depth beside the guide and the exact posterior, with the gap between these in nats.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree` of one model.
        ax: Where to draw; a new figure unless given.

    Raises:
        ValueError: If the tree is of replicates, or lacks a depth axis.
    """
    probs = _of_one_model(depth_probs(tree))
    ax = axes_or_new(ax, (7, 3.6))
    styles = {"prior": (GREY, "prior"), "q": (BLUE, "posterior q(depth)"), "exact": (GREEN, "exact posterior")}
    for i, (name, (color, label)) in enumerate(styles.items()):
        ax.bar(probs["depth"] + 0.28 * (i - 1), probs.sel(distribution=name), 0.28, color=color, label=label)
    ax.set(
        xlabel="depth (residual blocks)", ylabel="probability", title=f"gap {float(guide_gap(tree)['gap']):.2f} nats"
    )
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_depth_log_likelihood(tree: xr.DataTree, ax: Axes | None = None) -> Axes:
    """Draw the mean log-likelihood of each depth, with bars of two standard errors.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree` of one model whose only axis is the depth.
        ax: Where to draw; a new figure unless given.

    Raises:
        ValueError: If the tree has other dimensions.
    """
    values = depth_log_likelihood(tree)
    _of_one_model(values["mean"])
    ax = axes_or_new(ax, (7, 3.6))
    depth, mean, se = (values[name].to_numpy() for name in ("depth", "mean", "se"))
    ax.errorbar(depth, mean, 2 * se, fmt="o-", ms=3.5, lw=1.2, capsize=2, color=ORANGE)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(xlabel="depth (residual blocks)", ylabel="log-likelihood (nats per point)")
    return ax


def plot_stacking(tree: xr.DataTree, ax: Axes | None = None) -> Axes:
    """Draw the stacking weights over depth beside the guide.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree` of held-out data of one model.
        ax: Where to draw; a new figure unless given.

    Raises:
        ValueError: If the tree is of replicates, or lacks a depth axis.
    """
    weights, q = stacking_weights(tree), depth_probs(tree).sel(distribution="q")
    ax = axes_or_new(ax, (7, 3.6))
    ax.bar(q["depth"] - 0.2, q, 0.4, color=BLUE, label="posterior q(depth)")
    ax.bar(weights["depth"] + 0.2, weights, 0.4, color=ORANGE, label="stacking weight")
    ax.set(xlabel="depth (residual blocks)", ylabel="weight")
    ax.legend(frameon=False, fontsize=8)
    return ax


def plot_power_scaling(tree: xr.DataTree, ax: Axes | None = None, *, powers: Sequence[float] = (0.5, 1.0, 2.0)) -> Axes:
    """Draw the exact posterior over depth under powers of the prior.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree` of one model whose only axis is the depth.
        ax: Where to draw; a new figure unless given.
        powers: The exponents.

    Raises:
        ValueError: If a power is negative, or the tree has other dimensions.
    """
    scaled = power_scaled_posterior(tree, powers)
    ax = axes_or_new(ax, (7, 3.6))
    for power in powers:
        ax.plot(
            scaled["depth"], _of_one_model(scaled.sel(power=power)), "o-", ms=3, label=f"prior to the power {power:g}"
        )
    ax.set(xlabel="depth (residual blocks)", ylabel="exact posterior")
    ax.legend(frameon=False, fontsize=8)
    return ax


def _of_one_model(values: xr.DataArray) -> xr.DataArray:
    """Return values over depth; raise if they have other dimensions."""
    others = sorted({str(dim) for dim in values.dims} - {"depth", "distribution"})
    if others:
        raise ValueError(
            f"Expected the tree of one model with values over depth alone, got {others} too. Draw replicates one "
            "by one."
        )
    return values
