"""Helpers of all figures: colours, conversion to numpy, frames, legends, and labels of entries."""

from collections.abc import Sequence
from textwrap import wrap

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import BarContainer
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

ManyAxes = Sequence[Axes] | np.ndarray


Array = Tensor | np.ndarray


# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6E6E6E"


def to_numpy(values: Array) -> np.ndarray:
    """Return an array, or a tensor on any device, as a numpy array."""
    return torch.as_tensor(values).detach().cpu().numpy()


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the axes, or the axes of a new figure with a size in inches, with an open frame."""
    ax = plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax
    return open_frame(ax)


def panels(count: int, most: int = 7, size: tuple[float, float] = (1.6, 1.8)) -> list[Axes]:
    """Return the axes of a new figure, at most ``most`` in a row, each with a size in inches."""
    columns = min(count, most)
    rows = -(-count // columns)
    width, height = size
    figure, grid = plt.subplots(
        rows, columns, figsize=(width * columns, height * rows), layout="constrained", squeeze=False
    )
    for spare in grid.flat[count:]:
        figure.delaxes(spare)
    return list(grid.flat[:count])


def open_frame(ax: Axes) -> Axes:
    """Remove the frame at the top and to the right."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def legend_above(*axes: Axes, columns: int = 2, size: float = 8) -> None:
    """Put one legend for all axes above the first, bars before lines."""
    handles = [h for ax in axes for h in ax.get_legend_handles_labels()[0]]
    handles.sort(key=lambda handle: not isinstance(handle, BarContainer))
    axes[0].legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=columns, frameon=False, fontsize=size
    )


def write_note(figure: Figure | SubFigure, note: str) -> None:
    """Write a sentence above a figure, in as many lines as its width needs; an empty one is left out."""
    if note:
        letters = max(30, int(11 * figure.get_figure(root=True).get_size_inches()[0]))
        figure.suptitle("\n".join(wrap(note, letters)), fontsize=9, color=RED)


def whole_numbers(*axes: Axis) -> None:
    """Let the ticks of axes that count something be whole numbers."""
    for axis in axes:
        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))


def name_entries(axis: Axis, labels: np.ndarray, most: int = 12) -> None:
    """Write labels at the positions 0, 1, ...; only evenly spaced ones if there are more than ``most``."""
    shown = range(0, len(labels), 1 + (len(labels) - 1) // most)
    axis.set_ticks(list(shown), labels=[str(labels[i]) for i in shown])
