"""What all figures share: colours, and the frame around axes."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

ManyAxes = Sequence[Axes] | np.ndarray


def _legend_above(*axes: Axes, columns: int = 2) -> None:
    """Put one legend of all axes above the first, where it hides nothing."""
    handles = [h for ax in axes for h in ax.get_legend_handles_labels()[0]]
    axes[0].legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=columns, frameon=False, fontsize=8
    )


# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6E6E6E"


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return the axes, or those of a new figure of some size in inches, with an open frame."""
    ax = plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax
    return open_frame(ax)


def open_frame(ax: Axes) -> Axes:
    """Remove the frame at the top and to the right."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax
