"""The figures of the images: 4 and 9 to 11."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.figures.parts import (
    LABELS,
    NAMES,
    Results,
    chosen_depth,
    data_sets,
    draw_curve,
    draw_level,
    draw_posterior,
    expected_depth,
    legend,
    make_axes,
    need,
    score,
    select,
    setting,
    spread,
    state_size,
)
from pyro_vds.plots.style import BLUE, GREEN, GREY, ORANGE, RED

SHAPES = {"1x28x28": ("mnist", "fashion_mnist"), "3x32x32": ("svhn", "svhn_test_digits")}


def figure_4(
    learnt: Results, plain: Results, axes: Any = None, *, max_depth: int = 50, measure: str = "true_class_probability"
) -> list[Axes]:
    """Draw the depth posterior on each data set beside plain networks of each depth.

    Args:
        learnt: Results of ``image_max_depth``.
        plain: Results of ``image_deterministic_depth``.
        axes: One for each data set.
        max_depth: Max depth of the network.
        measure: What is compared; the paper shows the mean probability of the true class.
    """
    chosen = select(learnt, "image_max_depth", max_depth=max_depth)
    axes = make_axes(axes, len(chosen))
    for ax, result in zip(axes, chosen, strict=True):
        name = result["settings"]["data"]
        draw_posterior(ax, result)
        twin = ax.twinx()
        others = select(plain, "image_deterministic_depth", data=name)
        draw_curve(twin, others, setting("max_depth"), score(measure), color=ORANGE, label="plain network (DDN)")
        draw_level(twin, result, score(measure), color=RED, ls="--", label=f"learnt depth, D = {max_depth}")
        twin.set_ylabel(LABELS[measure])
        legend(ax, twin)
        ax.text(0.02, 0.97, NAMES[name], transform=ax.transAxes, va="top", fontsize=9)
    state_size(axes, chosen[0])
    return axes


def figure_9(learnt: Results, plain: Results, axes: Any = None, *, measure: str = "error") -> list[Axes]:
    """Draw a test measure against max depth (first row), and the depths that are chosen (second row).

    Args:
        learnt: Results of ``image_max_depth``.
        plain: Results of ``image_deterministic_depth``.
        axes: One for the measure of each data set, then one for the depths of each.
        measure: The measure.
    """
    names = data_sets(need(learnt, "image_max_depth"))
    axes = make_axes(axes, 2 * len(names), rows=2)
    for name, top, bottom in zip(names, axes, axes[len(names) :], strict=False):
        ours = select(learnt, "image_max_depth", data=name)
        others = select(plain, "image_deterministic_depth", data=name)
        x = setting("max_depth")
        draw_curve(top, others, x, score(measure), color=ORANGE, label="plain network (DDN)")
        draw_curve(top, ours, x, score(measure), color=BLUE, marker="s", label="learnt depth, all depths")
        pruned = score(measure, "pruned", "95")
        draw_curve(top, ours, x, pruned, color=GREEN, marker="^", ls="--", label="learnt depth, pruned (95)")
        top.set(xlabel="max depth D", ylabel=f"{LABELS[measure]}, {NAMES[name]}")
        draw_curve(bottom, ours, x, chosen_depth("95"), color=GREEN, marker="^", ls="--", label="chosen depth (95)")
        draw_curve(bottom, ours, x, expected_depth, color=BLUE, marker="s", label="expected depth")
        bottom.set(xlabel="max depth D", ylabel=f"depth (residual blocks), {NAMES[name]}")
        legend(top)
        legend(bottom)
    state_size(axes, max(learnt, key=setting("max_depth")), of="up to ")
    return axes


def figure_10(calibration: Results, axes: Any = None) -> list[Axes]:
    """Draw reliability diagrams, with both errors of calibration in their titles.

    From left to right: the plain network, learnt depth, that pruned, and learnt depth as the paper's code has it,
    with one set of batch-norm statistics for the head at all depths.

    Args:
        calibration: Results of ``calibration``.
        axes: Four for each data set.
    """
    names = data_sets(need(calibration, "calibration"))
    axes = make_axes(axes, 4 * len(names), (3.0, 3.4), rows=len(names))
    for row, name in enumerate(names):
        (plain,) = select(calibration, "calibration", data=name, readout="last")
        (ours,) = select(calibration, "calibration", data=name, readout="all", head_statistics="per_depth")
        (shared,) = select(calibration, "calibration", data=name, readout="all", head_statistics="shared")
        cases = (
            (plain, "reliability", ("full",), "plain network"),
            (ours, "reliability", ("full",), "learnt depth"),
            (ours, "reliability_pruned", ("pruned", "95"), "learnt depth, pruned"),
            (shared, "reliability", ("full",), "shared statistics"),
        )
        for ax, (result, table, case, label) in zip(axes[4 * row :], cases, strict=False):
            _draw_reliability(ax, [repeat[table] for repeat in result["repeats"]])
            (ece,), (theirs,) = (spread([result], score(m, *case))[0] for m in ("ece", "paper_ece"))
            head = f"{NAMES[name]}, {label}"
            ax.set_title(f"{head}\nECE {100 * ece:.1f} %, of the paper's code {100 * theirs:.1f} %", fontsize=8)
    state_size(axes, calibration[0])
    return axes


def figure_11(times: Results, learnt: Results = (), axes: Any = None, *, max_depth: int = 50) -> list[Axes]:
    """Draw the time of a pruned network against its depth, as a share of both full networks.

    Args:
        times: Results of ``forward_time``.
        learnt: Results of ``image_max_depth``, whose chosen depths are marked.
        axes: One for each shape of images.
        max_depth: Max depth of the learnt networks that are marked.
    """
    shapes = list(dict.fromkeys(r["settings"]["image"] for r in need(times, "forward_time")))
    axes = make_axes(axes, len(shapes))
    marked = [r for r in learnt if r["settings"]["max_depth"] == max_depth]
    for ax, shape in zip(axes, shapes, strict=True):
        ordered = sorted(select(times, "forward_time", image=shape), key=setting("depth"))
        depths = [r["settings"]["depth"] for r in ordered]
        for baseline, style in (("plain", {"color": BLUE}), ("all read-outs", {"color": ORANGE, "ls": "--"})):
            shares = [r["ms"]["pruned"] / r["ms"][baseline] for r in ordered]
            ax.plot(depths, shares, "o", ms=4, lw=1.2, **{"ls": "-"} | style, label=f"against: {baseline}")
        ax.axhline(1, color=GREY, lw=1)
        for result in marked:
            if result["settings"]["data"] in SHAPES[shape]:
                (depth,), _ = spread([result], chosen_depth("95"))
                name = NAMES[result["settings"]["data"]]
                ax.axvline(depth, color=GREEN, lw=1, ls=":")
                ax.text(
                    depth, 0.02, f" {name}", rotation=90, va="bottom", fontsize=8, transform=ax.get_xaxis_transform()
                )
        ax.set(xlabel=f"depth of the pruned network, {shape} pixels", ylabel="share of the full network's time")
        legend(ax)
    if marked:
        state_size(axes, marked[0], of="chosen depths (dotted) of ")
    return axes


def _draw_reliability(ax: Axes, tables: list[dict[str, list[float]]]) -> None:
    """Draw accuracy against confidence, the repeats together, and the share of points in each bin."""
    counts, confidence, accuracy = (
        np.array([[np.nan if v is None else v for v in table[name]] for table in tables], dtype=float)
        for name in ("counts", "confidence", "accuracy")
    )
    bins = counts.shape[1]
    total = counts.sum(0)
    with np.errstate(invalid="ignore"):
        x, y = (np.nansum(counts * values, axis=0) / total for values in (confidence, accuracy))
    ax.bar(
        (np.arange(bins) + 0.5) / bins, total / total.sum(), 1 / bins, color=GREY, alpha=0.25, label="share of points"
    )
    ax.plot([0, 1], [0, 1], ls="--", lw=1, color=GREY)
    ax.plot(x, y, "o-", ms=4, color=BLUE, label="accuracy")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="confidence", ylabel="accuracy")
