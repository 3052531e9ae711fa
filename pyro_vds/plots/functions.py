"""Figures of functions. Every function takes matplotlib axes, or makes them, and returns them."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor

from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.predictive import predict_components, predict_variance_parts
from pyro_vds.models.checks import refuse_replicates
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.modes import eval_mode
from pyro_vds.plots.style import BLUE, ORANGE, RED, ManyAxes, axes_or_new
from pyro_vds.spaces.typing import Data

_TWO_CLASSES = LinearSegmentedColormap.from_list("two_classes", ["#E69F00", "#FFFFFF", "#0072B2"])


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
