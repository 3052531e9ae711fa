"""Figures of axes with a choice at each of many sites, such as the edges of a graph.

Every function draws in given or new matplotlib axes, and returns them. Of trees that are joined with
:func:`pyro_vds.as_chains` the mean over the chains is drawn. A figure of a tree that is an estimate says so under its
title.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from pyro_vds.diagnostics.quantities import estimate_of, probs_of_sites, site_axis_of, site_quantities, sites_of
from pyro_vds.plots.style import BLUE, GREEN, GREY, ORANGE, RED, ManyAxes, axes_or_new, name_entries, panels

_MAPS = {
    name: LinearSegmentedColormap.from_list(name, ["#FFFFFF", color])
    for name, color in (("q", BLUE), ("exact", GREEN), ("dependence", RED))
}
_WRITTEN = 15  # sites up to which each number is written
_WIDTH = 6.0  # of the line of a certain edge, points
_OPERATIONS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#F0E442", "#000000")


def plot_choices(tree: xr.DataTree, axes: ManyAxes | None = None, *, axis: str | None = None) -> ManyAxes:
    """Draw the probability of each option at each site under the guide, and below it under the exact posterior.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of a model with sites.
        axes: Axes to draw in, one, or two if the tree has an exact posterior; ``None`` makes a new figure.
        axis: Name of the axis; ``None`` is the first with sites.

    Returns:
        The axes.

    Raises:
        ValueError: If the tree has no such axis with sites, or the number of axes to draw in does not fit.
    """
    group = site_quantities(tree)
    axis = site_axis_of(group, axis)
    names = ["q", "exact"] if f"log_exact_posterior_{axis}" in group else ["q"]
    sites, labels = (group[dim].to_numpy() for dim in (sites_of(group, axis), axis))
    if axes is None:
        axes = panels(len(names), most=1, size=(max(4.5, 1.5 + 0.5 * min(len(sites), 18)), 0.9 + 0.32 * len(labels)))
    if len(axes) != len(names):
        raise ValueError(f"Expected {len(names)} axes to draw on, one for each of {names}, got {len(axes)}.")
    for ax, name in zip(axes, names, strict=True):
        _draw_table(ax, probs_of_sites(group, axis, name).transpose(axis, ...).to_numpy(), name, top=1.0)
        name_entries(ax.xaxis, sites, most=18)
        name_entries(ax.yaxis, np.array(["closed", "open"]) if labels.tolist() == [0, 1] else labels)
        ax.set(xlabel=sites_of(group, axis), ylabel=axis)
    axes[0].set_title(_titled(f"posterior q({axis})", group))
    if len(names) > 1:
        axes[1].set_title("exact posterior")
    return axes


def plot_graph(
    tree: xr.DataTree, ax: Axes | None = None, *, axis: str | None = None, of: str = "q", nothing: str = "none"
) -> Axes:
    """Draw the graph: its nodes in a row, and each edge as an arc, as wide and as opaque as it is probable.

    With gates this is the probability to be open. With operations it is that of the most probable one, whose colour the
    arc has. A dotted line stands for every edge that there can be.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of a model whose sites are named ``"source->target"``.
        ax: Axes to draw in; ``None`` makes a new figure.
        axis: Name of the axis; ``None`` is the first with sites.
        of: ``"q"`` for the guide, ``"exact"`` for the exact posterior.
        nothing: The operation that carries nothing. Where it is the most probable, only the dotted line is drawn.

    Returns:
        The axes.

    Raises:
        ValueError: If the tree has no such axis with sites or no such distribution, or the sites are no edges.
    """
    group = site_quantities(tree)
    axis = site_axis_of(group, axis)
    edges = _edges([str(label) for label in group[sites_of(group, axis)].to_numpy()])
    probs = probs_of_sites(group, axis, of).transpose(..., axis).to_numpy()
    labels = group[axis].to_numpy().tolist()
    gates = labels == [0, 1]
    entries = np.ones(len(edges), int) if gates else probs.argmax(-1)
    places = {node: place for place, node in enumerate(dict.fromkeys(node for edge in edges for node in edge))}
    longest = max(places[target] - places[source] for source, target in edges)
    ax = axes_or_new(ax, (max(4.0, 1.1 * len(places)), 1.2 + 0.45 * longest))
    for (source, target), entry, row in zip(edges, entries, probs, strict=True):
        start, end = places[source], places[target]
        ax.add_patch(PathPatch(_arc(start, end), fc="none", ec=GREY, lw=0.7, ls=":"))
        if labels[entry] == nothing:
            continue
        color = BLUE if gates else _OPERATIONS[entry % len(_OPERATIONS)]
        prob = min(float(row[entry]), 1.0)  # rounding can make it larger
        ax.add_patch(PathPatch(_arc(start, end), fc="none", ec=color, lw=_WIDTH * prob, alpha=prob, gid="edge"))
        if len(edges) <= _WRITTEN:
            _write(ax, (start + end) / 2, _height(start, end), prob)
    ax.plot(list(places.values()), [0] * len(places), "o", ms=16, mfc="white", mec="black", zorder=4)
    for node, place in places.items():
        ax.text(place, 0, node, ha="center", va="center_baseline", fontsize=8, zorder=5)
    ax.set(xlim=(-0.5, len(places) - 0.5), ylim=(-0.5, _height(0, longest) + 0.4))
    ax.axis("off")
    if not gates:
        _legend_of_operations(ax, labels, entries, nothing)
    name = f"q({axis})" if of == "q" else f"exact posterior of {axis}"
    ax.set_title(_titled(name, group))
    return ax


def plot_dependence(tree: xr.DataTree, ax: Axes | None = None, *, axis: str | None = None) -> Axes:
    """Draw the mutual information of each two sites under the exact posterior, nats.

    It is what a guide of independent choices cannot have. The title is the total correlation over all sites.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of a model with sites.
        ax: Axes to draw in; ``None`` makes a new figure.
        axis: Name of the axis; ``None`` is the first with sites.

    Returns:
        The axes.

    Raises:
        ValueError: If the tree has no such axis with sites, or is an estimate, which knows no dependence.
    """
    group = site_quantities(tree)
    axis = site_axis_of(group, axis)
    if f"dependence_{axis}" not in group:
        raise ValueError(
            f"Expected a tree with an exact posterior, whose mutual information is known, got an {estimate_of(group)}. "
            "Use a smaller graph: up to 65,536 architectures are listed one by one."
        )
    sites = sites_of(group, axis)
    values = group[f"dependence_{axis}"]
    values = (values.mean("chain") if "chain" in values.dims else values).to_numpy().astype(float)
    np.fill_diagonal(values, np.nan)  # the entropies of the sites, which are no dependence
    ax = axes_or_new(ax, (1.8 + 0.45 * min(len(values), 18), 1.2 + 0.42 * min(len(values), 18)))
    _draw_table(ax, values, "dependence", top=float(np.nanmax(values)) if len(values) > 1 else 1.0)
    for side in (ax.xaxis, ax.yaxis):
        name_entries(side, group[sites].to_numpy(), most=18)
    ax.set(xlabel=sites, ylabel=sites)
    ax.tick_params(axis="x", rotation=90)
    joined = "total_correlation" in group  # a variable over the chains, where there are several
    total = float(group["total_correlation"].mean()) if joined else group.attrs["total_correlation"]
    ax.set_title(f"mutual information of {axis} (nats)\ntotal correlation {total:.2f} nats", fontsize=10)
    return ax


def _titled(title: str, group: xr.Dataset) -> str:
    """Return a title, with a line below it if the tree is an estimate."""
    note = estimate_of(group)
    return f"{title}\n{note}" if note else title


def _draw_table(ax: Axes, values: Float[np.ndarray, "rows columns"], name: str, *, top: float) -> None:
    """Draw numbers as colours, from white at 0; few of them are written too, and many have a scale."""
    image = ax.imshow(values, cmap=_MAPS[name], vmin=0, vmax=max(top, 1e-12), aspect="auto")
    if values.shape[1] > _WRITTEN:
        ax.figure.colorbar(image, ax=ax)
        return
    for row, column in np.argwhere(~np.isnan(values)):
        value = values[row, column]
        color = "white" if value > 0.6 * top else "black"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)


def _edges(sites: Sequence[str]) -> list[tuple[str, str]]:
    """Return the source and the target of each site."""
    found = [tuple(site.split("->")) for site in sites]
    if any(len(edge) != 2 for edge in found):
        raise ValueError(
            f"Expected sites that are the edges of a graph, such as '0->1', got {list(sites[:3])}. Name them so with "
            "pyro_vds.Plate(name, size, labels), or use plot_choices."
        )
    return [(source, target) for source, target in found]


def _arc(start: int, end: int) -> Path:
    """Return a curve between two places; neighbours have a straight line."""
    control = 4 / 3 * _height(start, end)
    return Path(
        [(start, 0), (start + 0.15, control), (end - 0.15, control), (end, 0)],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )


def _height(start: int, end: int) -> float:
    """Return how high an arc rises."""
    return 0.6 * (end - start - 1)


def _write(ax: Axes, x: float, y: float, prob: float) -> None:
    box = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.8}
    ax.text(x, y, f"{prob:.2f}", ha="center", va="center", fontsize=7, bbox=box, zorder=3)


def _legend_of_operations(ax: Axes, labels: list, entries: np.ndarray, nothing: str) -> None:
    """Name the colours of the operations that are drawn."""
    handles = [
        Line2D([], [], color=GREY, ls=":", lw=1, label=str(labels[entry]))
        if labels[entry] == nothing
        else Line2D([], [], color=_OPERATIONS[entry % len(_OPERATIONS)], lw=3, label=str(labels[entry]))
        for entry in sorted(set(entries.tolist()))
    ]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=3, frameon=False, fontsize=8)
