"""Figures. Every function takes matplotlib axes, or makes them, and returns them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import ArrayLike
from torch import Tensor

from pyro_vds.bands import plot_band, plot_intervals
from pyro_vds.calibration import Binning, reliability_table
from pyro_vds.canvas import BLUE, GREEN, GREY, ORANGE, RED, axes_or_new, open_frame
from pyro_vds.history import History
from pyro_vds.model import VDSModel, eval_mode

__all__ = [
    "plot_band", "plot_depth_functions", "plot_depth_posterior", "plot_history", "plot_intervals", "plot_reliability"
]  # fmt: skip

ManyAxes = Sequence[Axes] | np.ndarray

_TWO_CLASSES = LinearSegmentedColormap.from_list("two_classes", ["#E69F00", "#FFFFFF", "#0072B2"])


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
        ax: Where to draw; a new figure unless given.
        bins: Number of bins.
        binning: ``"width"`` or ``"mass"``, as in :func:`pyro_vds.calibration.reliability_table`.
        title: Shown above, before the expected calibration error.

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


def plot_history(
    history: History, axes: ManyAxes | None = None, *, coords: Mapping[str, Sequence[int]] | None = None
) -> ManyAxes:
    """Draw the ELBO with its parts, the guide's probabilities and the validation metrics over the epochs.

    Args:
        history: A record of :func:`pyro_vds.fit`.
        axes: One for the objective, one for each axis of architectures, and one for the validation metrics if
            there are any; a new figure unless given.
        coords: The entries of the axes of architectures, ``model.coords``; counted from 0 unless given.

    Returns:
        The axes.
    """
    if axes is None:
        columns = 1 + len(history.probs) + bool(history.validation)
        axes = plt.subplots(1, columns, figsize=(4.2 * columns, 3.4), layout="constrained")[1]
        axes = list(np.atleast_1d(np.asarray(axes)))
    panels = iter(axes)
    _draw_objective(history, next(panels))
    for (axis, probs), ax in zip(history.probs.items(), panels, strict=False):
        image = ax.imshow(
            probs.T.numpy(), origin="lower", aspect="auto", interpolation="nearest", cmap="viridis",
            extent=(0.5, max(len(history), 1) + 0.5, -0.5, probs.shape[1] - 0.5),
        )  # fmt: skip
        ax.set(xlabel="epoch", ylabel=axis, title=f"q({axis})")
        entries = range(probs.shape[1]) if coords is None else coords[axis]
        shown = range(0, len(entries), 1 + (len(entries) - 1) // 8)
        ax.set_yticks(shown, [str(entries[i]) for i in shown])
        ax.figure.colorbar(image, ax=ax)
        open_frame(ax)
    for ax in panels if history.validation else ():
        _draw_validation(history, ax)
    return axes


def _draw_objective(history: History, ax: Axes) -> None:
    """Draw the negative ELBO, and its parts where there are latents."""
    lines = {"negative ELBO": (-history.elbo, BLUE, "-")}
    if history.probs:
        lines["negative expected log-likelihood"] = (-history.expected_log_prob, ORANGE, "--")
        lines["KL(q || prior)"] = (history.kl, GREEN, ":")
    for label, (values, color, style) in lines.items():
        ax.plot(_epochs(history), values.numpy(), color=color, ls=style, label=label)
    ax.axvline(_best_epoch(history) + 1, color=GREY, lw=1, label="best")
    ax.set(xlabel="epoch", ylabel="nats")
    if len(history) and all(bool((values > 0).all()) for values, *_ in lines.values()):
        ax.set_yscale("log")
    else:  # densities can be above 1, and a KL 0: linear within one nat of zero
        ax.set_yscale("symlog", linthresh=1)
    _legend_above(ax)
    open_frame(ax)


def _draw_validation(history: History, ax: Axes) -> None:
    """Draw the log predictive density of the validation data, and for classes the error on a twin axis."""
    drawn = [ax]
    ax.plot(_epochs(history), history.validation["log_prob"].numpy(), color=BLUE, label="validation log density")
    ax.axvline(_best_epoch(history) + 1, color=GREY, lw=1, label="best")
    ax.set(xlabel="epoch", ylabel="log density (nats per point)")
    if "error" in history.validation:
        twin = ax.twinx()
        twin.plot(
            _epochs(history), 100 * history.validation["error"].numpy(), color=ORANGE, ls="--", label="validation error"
        )
        twin.set_ylabel("error (%)")
        twin.spines["top"].set_visible(False)
        drawn.append(twin)
    _legend_above(*drawn)
    open_frame(ax)


def _best_epoch(history: History) -> int:
    if isinstance(history.best_epoch, tuple):
        raise ValueError(
            "Expected the history of one run, got that of replicates. Draw history.replicate(0) and so on."
        )
    return history.best_epoch


def _epochs(history: History) -> np.ndarray:
    return np.arange(1, len(history) + 1)


def _legend_above(*axes: Axes, columns: int = 2) -> None:
    """Put one legend of all axes above the first, where it hides nothing."""
    handles = [h for ax in axes for h in ax.get_legend_handles_labels()[0]]
    axes[0].legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=columns, frameon=False, fontsize=8
    )


@torch.inference_mode()
def plot_depth_functions(
    model: VDSModel,
    x: Float[Tensor, "batch two"],
    y: Tensor,
    axes: ManyAxes | None = None,
    *,
    depths: Sequence[int] | None = None,
    resolution: int = 120,
) -> ManyAxes:
    """Draw the decision function of single depths of a two-class model of two inputs (paper, figure 3).

    Args:
        model: A classification model with a depth axis, two inputs and two classes.
        x: Points to draw, ``(N, 2)``; they set the range of the picture.
        y: Their classes.
        axes: One for each depth; a new figure unless given.
        depths: The depths to draw; all unless given.
        resolution: Pixels along each side.

    Returns:
        The axes.

    Raises:
        ValueError: If the inputs do not have two features.
    """
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"Expected points of two features, (N, 2), to draw functions of; got {tuple(x.shape)}.")
    depths = range(model.sizes[0]) if depths is None else depths
    axes = _grid(len(depths)) if axes is None else axes
    low, high = x.amin(0) - 0.2, x.amax(0) + 0.2
    sides = [np.linspace(float(a), float(b), resolution) for a, b in zip(low, high, strict=True)]
    grid = torch.cartesian_prod(*(torch.from_numpy(side) for side in sides)).to(model.device_tensor())
    with eval_mode(model):
        second = model.outputs(grid).softmax(-1)[..., 1].reshape(-1, resolution, resolution).cpu()
    points, classes = x.cpu().numpy(), y.cpu().numpy()
    for ax, depth in zip(axes, depths, strict=False):
        ax.pcolormesh(*sides, second[depth].T.numpy(), cmap=_TWO_CLASSES, vmin=0, vmax=1, rasterized=True)
        ax.scatter(points[:, 0], points[:, 1], c=classes, cmap=_TWO_CLASSES, s=6, lw=0.3, edgecolors="black")
        ax.set(title=f"depth {depth}", xticks=[], yticks=[])
    return axes


def _grid(count: int) -> list[Axes]:
    columns = min(count, 7)
    rows = -(-count // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(1.6 * columns, 1.8 * rows), layout="constrained", squeeze=False)
    for spare in grid.flat[count:]:
        figure.delaxes(spare)
    return list(grid.flat[:count])
