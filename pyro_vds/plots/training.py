"""Figures of training. Every function takes matplotlib axes, or makes them, and returns them."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from pyro_vds.plots.style import BLUE, GREEN, GREY, ORANGE, RED, ManyAxes, _legend_above, axes_or_new, open_frame
from pyro_vds.training.history import History


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
