"""Figures of functions. Every function draws in given or new matplotlib axes, and returns them.

They take values on a grid, so that any model can be drawn::

    grid = plots.grid_around(x)
    with torch.inference_mode():
        probs = model.eval().outputs(grid).softmax(-1)[..., 1]  # of each architecture
    plots.plot_functions(grid, probs, (x, y))

    line = torch.linspace(-2, 2, 400)[:, None]
    plots.plot_band(line, predict_components(model, guide, line), (x, y))
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from torch import Tensor

from pyro_vds.plots.style import BLUE, ORANGE, RED, Array, ManyAxes, axes_or_new, panels, to_numpy

_TWO_CLASSES = LinearSegmentedColormap.from_list("two_classes", ["#E69F00", "#FFFFFF", "#0072B2"])


def grid_around(
    x: Float[Array, "points 2"], *, resolution: int = 120, margin: float = 0.2
) -> Float[Tensor, "pixels 2"]:
    """Return the points of a grid around points of two features, for :func:`plot_functions`.

    Args:
        x: The points, ``(N, 2)``.
        resolution: Pixels along each side.
        margin: Distance from the outermost points to the edges of the grid.

    Returns:
        The points of the grid as a tensor, ``(resolution**2, 2)``, with the device and dtype of ``x``.

    Raises:
        ValueError: If the points do not have two features.
    """
    x = torch.as_tensor(x)
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"Expected points with two features, (N, 2), got {tuple(x.shape)}.")
    low, high = x.amin(0) - margin, x.amax(0) + margin
    steps = torch.linspace(0, 1, resolution, dtype=x.dtype, device=x.device)[:, None]
    first, second = (low + steps * (high - low)).unbind(1)
    return torch.cartesian_prod(first, second)


def plot_functions(
    grid: Float[Array, "pixels 2"],
    probs: Float[Array, "architecture pixels"],
    data: tuple[Shaped[Array, "points 2"], Shaped[Array, " points"]],
    axes: ManyAxes | None = None,
    *,
    names: Sequence[str] | None = None,
) -> ManyAxes:
    """Draw the decision functions of single architectures for two classes and two inputs (paper, figure 3).

    Args:
        grid: The points from :func:`grid_around`.
        probs: The probability of the second class at each point of the grid, one row for each architecture to draw.
        data: Points to draw, ``(N, 2)``, and their classes, 0 or 1.
        axes: Axes to draw in, one for each architecture; ``None`` makes a new figure.
        names: A title for each architecture, such as ``"depth 3"``; ``None`` numbers them from 0.

    Returns:
        The axes.

    Raises:
        ValueError: If the points are not a grid, or the numbers of points, values, names and axes do not fit.
    """
    points, classes = (to_numpy(part) for part in data)
    sides, pixels = _sides(to_numpy(grid)), to_numpy(probs)
    names = [str(i) for i in range(len(pixels))] if names is None else names
    if pixels.ndim != 2 or pixels.shape != (len(names), len(sides[0]) * len(sides[1])):
        raise ValueError(
            f"Expected probabilities of {len(names)} architectures at {len(sides[0]) * len(sides[1])} points of the "
            f"grid, got {pixels.shape}. For a model with two classes, use model.outputs(grid).softmax(-1)[..., 1]."
        )
    axes = panels(len(names)) if axes is None else axes
    if len(axes) < len(names):
        raise ValueError(f"Expected axes for {len(names)} architectures, got {len(axes)}.")
    for ax, values, name in zip(axes, pixels, names, strict=False):
        square = values.reshape(len(sides[0]), len(sides[1])).T
        ax.pcolormesh(*sides, square, cmap=_TWO_CLASSES, vmin=0, vmax=1, rasterized=True)
        ax.scatter(points[:, 0], points[:, 1], c=classes, cmap=_TWO_CLASSES, s=6, lw=0.3, edgecolors="black")
        ax.set(title=name, xticks=[], yticks=[])
    return axes


def _sides(grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sides of a grid whose points are in the order of :func:`grid_around`."""
    if grid.ndim == 2 and grid.shape[1] == 2:
        first, second = np.unique(grid[:, 0]), np.unique(grid[:, 1])
        full = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1).reshape(-1, 2)
        if np.array_equal(full, grid):
            return first, second
    raise ValueError(f"Expected the points from plots.grid_around, got other points of shape {grid.shape}.")


def plot_band(
    x: Float[Array, "batch 1"],
    components: tuple[Float[Array, "architecture batch"], Float[Array, "architecture ..."], Float[Array, ""]],
    data: tuple[Shaped[Array, "points 1"], Shaped[Array, " points"]],
    ax: Axes | None = None,
    *,
    deviations: float = 2.0,
) -> Axes:
    """Draw a regression with one input: mean, noise, disagreement, and each architecture's function.

    The inner band is the noise, ``mean ± c s``; the outer band the whole variance,
    ``mean ± c sqrt(s**2 + sum_i q_i (f_i - mean)**2)`` (Antorán et al. 2020, "Depth Uncertainty in Neural Networks",
    arXiv 2006.08437, figure 3). More probable architectures have darker functions.

    Args:
        x: Inputs to draw at, ``(batch, 1)``, in increasing order, in the units of the training inputs.
        components: The result of :func:`pyro_vds.predict_components` for ``x``: the functions ``f_i``, their weights
            ``q_i``, and the noise scale ``s``. That function also takes a cut, such as ``depth=3``.
        data: Points to draw, such as the training points, ``(N, 1)`` and ``(N,)``.
        ax: Axes to draw in; ``None`` makes a new figure.
        deviations: Half the width of the bands in standard deviations, ``c``.

    Returns:
        The axes.

    Raises:
        ValueError: If inputs do not have one feature, or the components are of several targets or of replicates.
    """
    inputs = _one_feature(to_numpy(x))
    functions, weights, scale = (to_numpy(part) for part in components)
    if functions.ndim != 2:
        raise ValueError(
            f"Expected functions of one model and one target, (architecture, batch), got {functions.shape}. Draw "
            "replicates and targets one by one."
        )
    weights = weights.reshape(len(functions), -1)
    mean = (weights * functions).sum(0)
    noise, disagreement = scale**2, (weights * (functions - mean) ** 2).sum(0)
    ax = axes_or_new(ax, (7, 3.6))
    for variance, alpha, label in ((noise + disagreement, 0.2, "noise and disagreement"), (noise, 0.3, "noise")):
        half, name = deviations * np.sqrt(variance), f"{label}, {deviations:g} sd"
        ax.fill_between(inputs, mean - half, mean + half, color=BLUE, alpha=alpha, lw=0, label=name)
    shares = weights.mean(1)
    for function, weight in zip(functions, (shares / shares.max()).tolist(), strict=True):
        ax.plot(inputs, function, color=ORANGE, lw=1, alpha=0.15 + 0.85 * weight)
    ax.plot([], [], color=ORANGE, lw=1, label="single architectures")
    ax.plot(inputs, mean, color=RED, lw=1.8, label="mean")
    ax.plot(_one_feature(to_numpy(data[0])), to_numpy(data[1]), ".", ms=3, color="black", label="points")
    ax.set(xlabel="x", ylabel="y")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=5, frameon=False, fontsize=8)
    return ax


def _one_feature(x: np.ndarray) -> np.ndarray:
    """Return inputs with one feature as a vector."""
    if x.ndim != 2 or x.shape[1] != 1:
        raise ValueError(f"Expected inputs with one feature, (N, 1), to draw a band, got {x.shape}.")
    return x[:, 0]
