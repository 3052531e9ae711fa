"""The figures of the spirals: 2, 3 and 5 to 8."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from experiments.figures.parts import (
    LABELS,
    Result,
    Results,
    chosen_depth,
    draw_curve,
    draw_level,
    draw_posterior,
    draw_posteriors,
    legend,
    make_axes,
    need,
    score,
    select,
    setting,
)
from pyro_vds.plots.style import BLUE, GREEN, ORANGE, RED

TWO_CLASSES = LinearSegmentedColormap.from_list("two_classes", [ORANGE, "#FFFFFF", BLUE])


def figure_2(
    learnt: Results, plain: Results, axes: Any = None, *, max_depth: int = 20, measure: str = "log_likelihood"
) -> list[Axes]:
    """Draw the depth posterior beside plain networks of each depth (left), and results against max depth (right).

    Args:
        learnt: Results of ``max_depth``.
        plain: Results of ``deterministic_depth``.
        axes: Two axes.
        max_depth: Max depth of the network on the left.
        measure: What is compared: ``log_likelihood``, ``error``, ``ece``, ``true_class_probability``, ...
    """
    left, right = make_axes(axes, 2)
    (one,) = select(learnt, "max_depth", max_depth=max_depth)
    draw_posterior(left, one)
    twin = left.twinx()
    need(plain, "deterministic_depth")
    draw_curve(twin, plain, setting("max_depth"), score(measure), color=ORANGE, label="plain network (DDN)")
    draw_level(twin, one, score(measure), color=RED, ls="--", label=f"learnt depth, D = {max_depth}")
    twin.set_ylabel(LABELS[measure])
    legend(left, twin)
    draw_curve(right, learnt, setting("max_depth"), chosen_depth("argmax"), color=BLUE, label="chosen depth (argmax q)")
    right.set(xlabel="max depth D", ylabel="depth (residual blocks)")
    twin = right.twinx()
    draw_curve(twin, learnt, setting("max_depth"), score(measure), color=RED, marker="s", ls="--", label="all depths")
    pruned = score(measure, "pruned", "argmax")
    draw_curve(twin, learnt, setting("max_depth"), pruned, color=GREEN, marker="^", ls=":", label="pruned")
    twin.set_ylabel(LABELS[measure])
    legend(right, twin)
    return [left, right]


def figure_3(functions: Results, axes: Any = None, *, depths: tuple[int, ...] = (0, 1, 2, 3, 5, 10, 20)) -> list[Axes]:
    """Draw decision functions at some depths: a row of the learnt depth network, a row of the plain one.

    Args:
        functions: Results of ``functions``.
        axes: One for each depth of each network, row by row.
        depths: The depths.
    """
    rows = [select(functions, "functions", readout=readout)[0] for readout in ("all", "last")]
    axes = make_axes(axes, 2 * len(depths), (1.7, 2.0), rows=2)
    for i, ax in enumerate(axes):
        row, column = divmod(i, len(depths))
        _draw_function(ax, rows[row], depths[column])
        network = ("learnt depth", "plain")[row]
        ax.set_title(f"{network}\ndepth {depths[column]}", fontsize=8)
    return axes


def figure_5(widths: Results, axes: Any = None) -> list[Axes]:
    """Draw the depth posterior of networks of each width.

    Args:
        widths: Results of ``width``.
        axes: One axes.
    """
    axes = make_axes(axes, 1)
    draw_posteriors(axes[0], need(widths, "width"), setting("width"), "width (units of a layer)")
    return axes


def figure_6(rotations: Results, amounts: Results, axes: Any = None) -> list[Axes]:
    """Draw the chosen depth against rotation (left) and the number of training points (right).

    Args:
        rotations: Results of ``rotation``.
        amounts: Results of ``data_amount``.
        axes: Two axes.
    """
    axes = make_axes(axes, 2)
    for rule, style in (("argmax", {"color": BLUE}), ("expected", {"color": ORANGE, "marker": "s", "ls": "--"})):
        draw_curve(axes[0], need(rotations, "rotation"), setting("rotation"), chosen_depth(rule), label=rule, **style)
        draw_curve(axes[1], need(amounts, "data_amount"), _train_size, chosen_depth(rule), label=rule, **style)
    axes[0].set(xlabel="rotation (degrees)", ylabel="chosen depth (residual blocks)")
    axes[1].set(xlabel="training points", ylabel="chosen depth (residual blocks)")
    for ax in axes:
        legend(ax)
    return axes


def figure_7(rotations: Results, axes: Any = None) -> list[Axes]:
    """Draw the depth posterior for each rotation.

    Args:
        rotations: Results of ``rotation``.
        axes: One axes.
    """
    axes = make_axes(axes, 1)
    draw_posteriors(axes[0], need(rotations, "rotation"), setting("rotation"), "rotation (degrees)")
    return axes


def figure_8(amounts: Results, axes: Any = None) -> list[Axes]:
    """Draw the depth posterior for each number of training points.

    Args:
        amounts: Results of ``data_amount``.
        axes: One axes.
    """
    axes = make_axes(axes, 1)
    draw_posteriors(axes[0], need(amounts, "data_amount"), _train_size, "training points")
    return axes


def _train_size(result: Result) -> float:
    return result["repeats"][0]["train_size"]


def _draw_function(ax: Axes, result: Result, depth: int) -> None:
    repeat, extent = result["repeats"][0], result["extent"]
    picture, points = np.array(repeat["percent"][depth]) / 100, np.array(repeat["points"])
    side = np.linspace(-extent, extent, len(picture))
    ax.pcolormesh(side, side, picture.T, cmap=TWO_CLASSES, vmin=0, vmax=1, rasterized=True)
    ax.scatter(*points.T, c=repeat["classes"], cmap=TWO_CLASSES, s=5, lw=0.3, edgecolors="black")
    ax.set(xticks=[], yticks=[], aspect="equal")
