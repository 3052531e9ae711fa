"""Figures of diagnostics, comparisons and uncertainty. Every function takes matplotlib axes, or makes them."""

from collections.abc import Mapping, Sequence

import arviz as az
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pyro_vds.canvas import BLUE, GREEN, GREY, ORANGE, RED, axes_or_new
from pyro_vds.comparison import power_scaled_posterior, stacking_weights
from pyro_vds.diagnostics import depth_log_likelihood, depth_probs, guide_gap
from pyro_vds.uncertainty import RiskCoverage


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


def plot_bound_gap(gap: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the gap between evidence and bound over training, and the expected depth under guide and exact posterior.

    Args:
        gap: A dataset of :meth:`pyro_vds.BoundGap.to_dataset`.
        ax: Where to draw; a new figure unless given.
    """
    ax = axes_or_new(ax, (7, 3.6))
    ax.plot(gap["epoch"], gap["gap"], color=RED, lw=1.2, label="gap")
    ax.set(xlabel="epoch", ylabel="log evidence - ELBO (nats)", yscale="log")
    twin = ax.twinx()
    for name, color, label in (("q", BLUE, "guide"), ("exact", GREEN, "exact posterior")):
        twin.plot(gap["epoch"], gap[f"expected_depth_{name}"], color=color, lw=1.2, label=f"expected depth, {label}")
    twin.set_ylabel("depth (residual blocks)")
    handles = [line for one in (ax, twin) for line in one.get_lines()]
    ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=3, frameon=False, fontsize=8)
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


def plot_risk_coverage(curves: Mapping[str, RiskCoverage], ax: Axes | None = None) -> Axes:
    """Draw risk-coverage curves with their areas.

    Args:
        curves: Curves of :func:`pyro_vds.uncertainty.risk_coverage` by name.
        ax: Where to draw; a new figure unless given.
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

    The isotonic regression of the outcome on the predicted frequency (Dimitriadis et al. 2021, "Stable Reliability
    Diagrams"), with the band that a calibrated model would be in. Frequencies come from the draws of the tree, so they
    have steps of one over their number.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree` of a classification.
        label: The class.
        ax: Where to draw; a new figure unless given.
        prob: Mass of the band; ArviZ's default.
    """
    ax = axes_or_new(ax, (4, 4))
    groups = ("posterior_predictive", "observed_data")
    binary = xr.DataTree.from_dict({name: (tree[name].to_dataset()[["obs"]] == label).astype(int) for name in groups})
    # ArviZ draws into the axes that its collection names.
    drawing = {"/": {"figure": ax.figure}, "plot": {"obs": ax}, "row_index": {"obs": 0}, "col_index": {"obs": 0}}
    viz = xr.DataTree.from_dict({path: xr.Dataset(_objects(values)) for path, values in drawing.items()})
    collection = az.PlotCollection(xr.Dataset({"obs": 0}), viz, backend="matplotlib")
    az.plot_ppc_pava(binary, plot_collection=collection, ci_prob=prob)
    ax.set(xlabel=f"predicted frequency of class {label}", ylabel="observed frequency", title="")
    return ax


def _objects(values: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Return every value in an array of its own."""
    return {name: np.array(value, dtype=object) for name, value in values.items()}


def _of_one_model(values: xr.DataArray) -> xr.DataArray:
    """Return values over depth; raise if they have other dimensions."""
    others = sorted({str(dim) for dim in values.dims} - {"depth", "distribution"})
    if others:
        raise ValueError(
            f"Expected the tree of one model with values over depth alone, got {others} too. Draw replicates one "
            "by one."
        )
    return values
