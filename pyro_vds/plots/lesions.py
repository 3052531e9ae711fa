"""The figure of a study of lesions. It draws in given or new matplotlib axes, and returns them."""

from math import comb

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from pyro_vds.plots.style import BLUE, GREEN, GREY, ORANGE, ManyAxes, legend_above, open_frame, panels, whole_numbers

STYLES = {"last": (ORANGE, "last read-out"), "marginal": (BLUE, "marginal")}


def plot_lesions(study: xr.Dataset, axes: ManyAxes | None = None, *, measure: str | None = None) -> ManyAxes:
    """Draw a study of lesions (Veit et al. 2016, figures 3, 5 and 6).

    A panel each for single deletions, with the mass of the depths that use a block if the study has it; for several
    deletions, the mean and the range over the draws; for reorderings, against Kendall's tau; and for the share of the
    gradient that paths of each length carry. The last two are left out if the study has no ``reordered`` or no
    ``path_gradient``.

    Args:
        study: A dataset from :func:`pyro_vds.lesion_study`. For the panel of paths, with ``study["path_gradient"] =
            ("length", pyro_vds.path_gradients(model, x, y))``.
        axes: Axes to draw in, one for each panel; ``None`` makes a new figure.
        measure: Name of the measure; ``None`` is the first besides ``log_likelihood``: the error, or the RMSE.

    Returns:
        The axes.

    Raises:
        ValueError: If the study has no such measure, or the number of axes does not fit.
    """
    names = [str(name) for name in study["measure"].to_numpy()]
    measure = next((n for n in names if n != "log_likelihood"), names[0]) if measure is None else measure
    if measure not in names:
        raise ValueError(f"Expected one of the measures {', '.join(names)} of the study, got {measure!r}.")
    draw = [_draw_single, _draw_deleted] + [_draw_reordered] * ("reordered" in study)
    count = len(draw) + ("path_gradient" in study)
    axes = panels(count, most=2, size=(5, 3.4)) if axes is None else axes
    if len(axes) != count:
        raise ValueError(f"Expected {count} axes to draw on, got {len(axes)}.")
    shown = study.sel(measure=measure)
    unit = str(shown["unit"].item())
    if unit == "share of points":
        unit, parts = "%", [name for name in ("intact", "single", "random", "reordered") if name in study]
        shown = shown.assign({name: 100 * shown[name] for name in parts})
    for ax, one in zip(axes, draw, strict=False):
        one(open_frame(ax), shown)
        ax.set_ylabel(f"{measure.replace('_', ' ')} ({unit})" if unit else measure)
    if "path_gradient" in study:
        _draw_paths(open_frame(axes[-1]), study["path_gradient"].to_numpy())
    return axes


def _draw_single(ax: Axes, study: xr.Dataset) -> None:
    """Draw one measure with each block deleted, beside the whole network, and the mass above each block."""
    for name in study["prediction"].to_numpy():
        color, label = STYLES[str(name)]
        ax.axhline(float(study["intact"].sel(prediction=name)), color=color, lw=1, ls=":")
        ax.plot(study["block"], study["single"].sel(prediction=name), "o-", ms=4, lw=1.2, color=color, label=label)
    ax.set_xlabel("deleted block (dotted: none)")
    whole_numbers(ax.xaxis)
    if "mass_above" not in study:
        legend_above(ax)
        return
    twin = ax.twinx()
    twin.plot(study["block"], study["mass_above"], "D--", ms=3.5, lw=1, color=GREEN, label="mass of depths with it")
    twin.set(ylabel="probability", ylim=(0, 1.05))
    twin.spines["top"].set_visible(False)
    legend_above(ax, twin, columns=3)


def _draw_deleted(ax: Axes, study: xr.Dataset) -> None:
    """Draw mean and range of one measure over the draws of each number of deleted blocks."""
    for name in study["prediction"].to_numpy():
        color, label = STYLES[str(name)]
        values = study["random"].sel(prediction=name)
        ax.fill_between(study["deleted"], values.min("draw"), values.max("draw"), color=color, alpha=0.15, lw=0)
        ax.plot(study["deleted"], values.mean("draw"), "o-", ms=4, lw=1.2, color=color, label=label)
    exact = "all masks" if bool(study["exact"].all()) else "an estimate where there are more masks than draws"
    whole_numbers(ax.xaxis)
    ax.set_xlabel(f"number of deleted blocks: mean and range\n({exact})")
    legend_above(ax)


def _draw_reordered(ax: Axes, study: xr.Dataset) -> None:
    """Draw one measure of each reordering against the tau of its order."""
    for name in study["prediction"].to_numpy():
        color, label = STYLES[str(name)]
        values = study["reordered"].sel(prediction=name)
        ax.plot(study["tau"], values, "o", ms=3.5, mfc="none", color=color, label=label)
    ax.set_xlabel("Kendall's tau of the order of the blocks")
    ax.invert_xaxis()
    legend_above(ax)


def _draw_paths(ax: Axes, norms: np.ndarray) -> None:
    """Draw the share of paths and of the gradient by length, and the gradient of a single path."""
    lengths = np.arange(len(norms))
    paths = np.array([comb(len(norms) - 1, k) for k in lengths], dtype=float)
    gradient = paths * norms
    ax.bar(lengths - 0.2, paths / paths.sum(), 0.4, color=GREY, label="share of paths")
    ax.bar(lengths + 0.2, gradient / gradient.sum(), 0.4, color=BLUE, label="share of the gradient")
    ax.set(xlabel="length of the path (blocks)", ylabel="share")
    whole_numbers(ax.xaxis)
    twin = ax.twinx()
    twin.plot(lengths, norms, "o-", ms=3.5, lw=1.2, color=ORANGE, label="gradient of one path")
    twin.set(ylabel="norm (nats per activation)", yscale="log")
    twin.spines["top"].set_visible(False)
    legend_above(ax, twin, columns=3)
