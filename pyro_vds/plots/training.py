"""Figures of training. Every function draws in given or new matplotlib axes, and returns them."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from pyro_vds.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    ManyAxes,
    axes_or_new,
    legend_above,
    name_entries,
    open_frame,
    panels,
    whole_numbers,
)


@runtime_checkable
class Recorded(Protocol):
    """A record of training, such as :class:`pyro_vds.History`."""

    def to_dataset(self) -> xr.Dataset:
        """Return the record over the dimension ``epoch``."""
        ...


def plot_history(
    history: Recorded | xr.Dataset,
    axes: ManyAxes | None = None,
    *,
    coords: Mapping[str, Sequence[Hashable]] | None = None,
) -> ManyAxes:
    """Draw the ELBO with its parts, the guide's probabilities and the validation metrics over the epochs.

    Args:
        history: A record from :func:`pyro_vds.fit`, or its :meth:`pyro_vds.History.to_dataset`.
        axes: Axes to draw in: for the objective, for each axis of architectures, and for the validation metrics if
            there are any; ``None`` makes a new figure.
        coords: The labels of each axis of architectures, ``model.coords``, and with ``gate_site`` those of the sites of
            an axis ``gate``; ``None`` counts entries from 0.

    Returns:
        The axes.

    Raises:
        ValueError: If the record is of replicates.
    """
    record = history if isinstance(history, xr.Dataset) else history.to_dataset()
    if "chain" in record.dims:
        raise ValueError(
            "Expected the history of one model, got the history of replicates. Draw one, history.replicate(0)."
        )
    over_axes = {str(name): values for name, values in record.items() if str(name).startswith("q_")}
    validated = "validation_log_prob" in record
    if axes is None:
        count = 1 + len(over_axes) + validated
        axes = panels(count, most=count, size=(4.2, 3.4))
    remaining = iter(axes)
    _draw_objective(record, next(remaining), parts=bool(over_axes))
    for probs, ax in zip(over_axes.values(), remaining, strict=False):
        _draw_probs(probs, ax, coords)
    for ax in remaining if validated else ():
        _draw_validation(record, ax)
    return axes


def _draw_objective(record: xr.Dataset, ax: Axes, *, parts: bool) -> None:
    """Draw the negative ELBO, and its parts if there are latents."""
    lines = {"negative ELBO": (-record["elbo"], BLUE, "-")}
    if parts:
        lines["negative expected log-likelihood (train)"] = (-record["expected_log_prob"], ORANGE, "--")
        lines["KL(q || prior)"] = (record["kl"], GREEN, ":")
    for label, (values, color, style) in lines.items():
        ax.plot(_epochs(record), values, color=color, ls=style, label=label)
    _mark_best(record, ax)
    ax.set(xlabel="epoch", ylabel="nats")
    if record.sizes["epoch"] and all(bool((values > 0).all()) for values, *_ in lines.values()):
        ax.set_yscale("log")
    else:  # densities can be above 1 and a KL can be 0: linear within one nat of zero
        ax.set_yscale("symlog", linthresh=1)
    whole_numbers(ax.xaxis)
    legend_above(ax, columns=1)
    open_frame(ax)


def _draw_probs(probs: xr.DataArray, ax: Axes, coords: Mapping[str, Sequence[Hashable]] | None) -> None:
    """Draw the guide's probabilities of one axis as an image, with epochs from left to right."""
    axis = str(probs.dims[-1])
    labels = probs[axis].to_numpy() if coords is None else np.asarray(coords[axis])
    title = f"q({axis})"
    if probs.ndim == 3:
        names = np.asarray((coords or {}).get(str(probs.dims[1]), np.arange(probs.shape[1])))
        labels, probs, title = names, *_of_sites(probs, axis, labels)
    image = ax.imshow(
        probs.to_numpy().T, origin="lower", aspect="auto", interpolation="nearest", cmap="viridis",
        extent=(0.5, max(len(probs), 1) + 0.5, -0.5, probs.shape[1] - 0.5),
    )  # fmt: skip
    ax.set(xlabel="epoch", ylabel=str(probs.dims[-1]), title=title)
    name_entries(ax.yaxis, labels, most=8)
    whole_numbers(ax.xaxis)
    ax.figure.colorbar(image, ax=ax)
    open_frame(ax)


def _of_sites(probs: xr.DataArray, axis: str, labels: np.ndarray) -> tuple[xr.DataArray, str]:
    """Return one number for each epoch and site, and what it is: a probability of two, or else the entropy."""
    if probs.shape[-1] == 2:
        return probs[..., 1], f"q({axis} = {labels[1]})"
    return (-(probs * np.log(probs.clip(min=1e-300))).sum(axis)), f"entropy of q({axis}), nats"


def _draw_validation(record: xr.Dataset, ax: Axes) -> None:
    """Draw the log predictive density of the validation data, and the error of classes on a twin axis."""
    drawn = [ax]
    ax.plot(_epochs(record), record["validation_log_prob"], color=BLUE, label="validation log density")
    _mark_best(record, ax)
    ax.set(xlabel="epoch", ylabel="log density (nats per point)")
    whole_numbers(ax.xaxis)
    if "validation_error" in record:
        twin = ax.twinx()
        error = 100 * record["validation_error"]
        twin.plot(_epochs(record), error, color=ORANGE, ls="--", label="validation error")
        twin.set_ylabel("error (%)")
        twin.spines["top"].set_visible(False)
        drawn.append(twin)
    legend_above(*drawn)
    open_frame(ax)


def _mark_best(record: xr.Dataset, ax: Axes) -> None:
    ax.axvline(int(record["best_epoch"]) + 1, color=GREY, lw=1, label="best")


def _epochs(record: xr.Dataset) -> np.ndarray:
    """Return the numbers of the epochs, counted from 1 for the figure."""
    return record["epoch"].to_numpy() + 1


def plot_bound_gap(gap: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Draw the gap between evidence and ELBO over training, and the mean labels under guide and exact posterior.

    Args:
        gap: A dataset from :meth:`pyro_vds.BoundGap.to_dataset` of one model.
        ax: Axes to draw in; ``None`` makes a new figure.

    Raises:
        ValueError: If the record is of replicates.
    """
    if gap["gap"].ndim != 1:
        raise ValueError(f"Expected the record of one model over epochs, got the dimensions {list(gap['gap'].dims)}.")
    ax = axes_or_new(ax, (7, 3.6))
    ax.plot(gap["epoch"], gap["gap"], color=RED, lw=1.2, label="gap")
    ax.set(xlabel="epoch", ylabel="log evidence - ELBO (nats)", yscale="log")
    whole_numbers(ax.xaxis)
    prefix, suffix = "expected_", "_q"
    expected = [str(name).removeprefix(prefix) for name in gap if str(name).startswith(prefix)]
    names = [name.removesuffix(suffix) for name in expected if name.endswith(suffix)]
    if not names:
        legend_above(ax)
        return ax
    twin = ax.twinx()
    for name, dashes in zip(names, ("-", "--", ":", "-.") * len(names), strict=False):
        for part, color, label in (("q", BLUE, "guide"), ("exact", GREEN, "exact posterior")):
            values, text = gap[f"expected_{name}_{part}"], f"expected {name}, {label}"
            twin.plot(gap["epoch"], values, color=color, ls=dashes, lw=1.2, label=text)
    twin.set_ylabel(", ".join(names))
    legend_above(ax, twin, columns=3)
    return ax
