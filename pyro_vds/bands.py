"""Figures of a regression. Every function takes matplotlib axes, or makes them, and returns them."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from torch import Tensor

from pyro_vds.canvas import BLUE, GREY, ORANGE, RED, axes_or_new
from pyro_vds.guides import Guide
from pyro_vds.intervals import interval_table
from pyro_vds.model import VDSModel, refuse_replicates
from pyro_vds.moments import predict_components, predict_variance_parts
from pyro_vds.typing import Data


def plot_intervals(pit: ArrayLike, ax: Axes | None = None, *, title: str = "") -> Axes:
    """Draw the empirical coverage of central predictive intervals against the nominal one.

    A curve below the diagonal tells of intervals that are too narrow, above it of too wide ones.

    Args:
        pit: Values of :func:`pyro_vds.intervals.mixture_pit`, ``(N,)``.
        ax: Where to draw; a new figure unless given.
        title: Shown above, before the interval calibration error.

    Returns:
        The axes.

    Raises:
        ValueError: If there are no values, or they are out of range.
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
        xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="nominal coverage", ylabel="empirical coverage",
        title=f"{head}error {100 * table.error:.1f} %",
    )  # fmt: skip
    ax.legend(loc="upper left", frameon=False, fontsize=8)
    return ax


def plot_band(
    model: VDSModel,
    guide: Guide,
    x: Float[Tensor, "batch 1"],
    data: Data,
    ax: Axes | None = None,
    *,
    depth: int | None = None,
    deviations: float = 2.0,
) -> Axes:
    """Draw the predictive of a regression of one input: mean, noise, disagreement, and each depth's function.

    The inner band is the noise, ``mean ± c s``; the outer one all of the variance, ``mean ± c sqrt(s**2 + sum_i q_i
    (f_i - mean)**2)`` (Antorán et al. 2020, "Depth Uncertainty in Neural Networks", arXiv 2006.08437, figure 3). The
    function of a depth is drawn the darker the more probable the depth.

    Args:
        model: A model with a ``Gaussian`` likelihood, one input and one target.
        guide: Its guide; ``None`` for a model without axes.
        x: Where to draw, ``(batch, 1)``, in increasing order, in the units of the training inputs.
        data: Points to draw, such as the training points, ``(N, 1)`` and ``(N,)``.
        ax: Where to draw; a new figure unless given.
        depth: ``k`` draws the prediction pruned to depth ``k``.
        deviations: Half the width of the bands in standard deviations, ``c``.

    Returns:
        The axes.

    Raises:
        TypeError: If the likelihood is not ``Gaussian``.
        ValueError: If inputs do not have one feature, the model has several targets, or it has replicates.
    """
    refuse_replicates(model)
    if x.ndim != 2 or x.shape[1] != 1:
        raise ValueError(f"Expected inputs of one feature, (N, 1), to draw a band over; got {tuple(x.shape)}.")
    parts = predict_variance_parts(model, guide, x, depth)
    if parts[0].shape[-1] != 1:
        raise ValueError(f"Expected a model of one target to draw, got one of {parts[0].shape[-1]}.")
    mean, noise, disagreement = (part.squeeze(-1).cpu().numpy() for part in parts)
    functions, weights, _ = (part.cpu() for part in predict_components(model, guide, x, depth))
    inputs = x.squeeze(-1).cpu().numpy()
    ax = axes_or_new(ax, (7, 3.6))
    for variance, alpha, label in ((noise + disagreement, 0.2, "noise and depths"), (noise, 0.3, "noise")):
        half = deviations * np.sqrt(variance)
        ax.fill_between(
            inputs, mean - half, mean + half, color=BLUE, alpha=alpha, lw=0, label=f"{label}, {deviations:g} sd"
        )
    shares = weights.reshape(len(weights), -1).mean(1)
    for function, weight in zip(functions, (shares / shares.max()).tolist(), strict=True):
        ax.plot(inputs, function.squeeze(-1).numpy(), color=ORANGE, lw=1, alpha=0.15 + 0.85 * weight)
    ax.plot([], [], color=ORANGE, lw=1, label="single depths")
    ax.plot(inputs, mean, color=RED, lw=1.8, label="mean")
    ax.plot(data[0].squeeze(-1).cpu().numpy(), data[1].cpu().numpy(), ".", ms=3, color="black", label="points")
    ax.set(xlabel="x", ylabel="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=5, frameon=False, fontsize=8)
    return ax
