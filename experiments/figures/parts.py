"""What the figures share: values out of results, axes, curves with error bars, posteriors side by side."""

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from pyro_vds.plots.style import BLUE, GREEN, ORANGE

Result = dict[str, Any]
Results = Sequence[Result]
Get = Callable[[dict[str, Any]], float]

LABELS = {
    "error": "test error",
    "log_likelihood": "test log-likelihood (nats per point)",
    "true_class_probability": "mean probability of the true class",
    "ece": "ECE",
    "paper_ece": "ECE of the paper's code",
}
NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "svhn": "SVHN",
    "svhn_test_digits": "SVHN test digits",
    "cifar10": "CIFAR-10",
    "digits": "digits",
}


def make_axes(axes: Any, count: int, size: tuple[float, float] = (4.6, 3.6), *, rows: int = 1) -> list[Axes]:
    """Return axes as a list, in a new figure unless given.

    Args:
        axes: One or several axes, or ``None``.
        count: How many are needed.
        size: Width and height of each new one, inches.
        rows: Rows of new ones.

    Raises:
        ValueError: If another number of axes was given.
    """
    if axes is None:
        columns = count // rows
        figsize = (columns * size[0], rows * size[1])
        axes = plt.subplots(rows, columns, figsize=figsize, layout="constrained", squeeze=False)[1]
    found: list[Axes] = list(np.ravel(np.asarray(axes, dtype=object)))
    if len(found) != count:
        raise ValueError(f"Expected {count} axes to draw on, got {len(found)}.")
    for ax in found:
        ax.spines[["top", "right"]].set_visible(False)
    return found


def need(results: Results, experiment: str) -> Results:
    """Return results; raise ``ValueError`` if there are none."""
    if not results:
        raise ValueError(f"Expected results of {experiment}, got none. Make them: python -m experiments {experiment}")
    return results


def select(results: Results, experiment: str, **settings: Any) -> Results:
    """Return the results that have some settings.

    Args:
        results: Results of an experiment.
        experiment: Its name, for the message.
        settings: What they are to have.

    Raises:
        ValueError: If there are none.
    """
    chosen = [r for r in results if all(r["settings"].get(name) == value for name, value in settings.items())]
    return need(chosen, f"{experiment} with {settings}" if not chosen and results else experiment)


def data_sets(results: Results) -> list[str]:
    """Return the data sets of results, in order."""
    return list(dict.fromkeys(r["settings"]["data"] for r in results))


def size_of(result: Result) -> str:
    """Return how large an experiment on images was, in words."""
    settings, repeats = result["settings"], len(result["repeats"])
    images = result["repeats"][0]["train_size"]
    return (
        f"D = {settings['max_depth']}, {settings['channels']} channels, {images:,} training images, "
        f"{settings['max_epochs']} epochs, {repeats} repeats"
    )


def state_size(axes: Sequence[Axes], result: Result, *, of: str = "") -> None:
    """Write the size of an experiment above a figure that has no title.

    Args:
        axes: The figure's axes.
        result: A result, the one with the largest max depth.
        of: What the size is of.
    """
    figure = axes[0].get_figure(root=True)
    if figure is not None and not figure.get_suptitle():
        figure.suptitle(of + size_of(result), fontsize=8)


def setting(name: str) -> Callable[[Result], float]:
    """Return a function that gives a setting of a result."""
    return lambda result: result["settings"][name]


def score(measure: str, *case: str) -> Get:
    """Return a function that gives a test measure of a repeat, such as ``score("error", "pruned", "95")``."""

    def get(repeat: dict[str, Any]) -> float:
        values = repeat["test"]
        for name in case or ("full",):
            values = values[name]
        return values[measure]

    return get


def chosen_depth(rule: str = "95") -> Get:
    """Return a function that gives the depth that the guide of a repeat chooses."""
    return lambda repeat: repeat["posterior"]["chosen_depth"][rule]


def expected_depth(repeat: dict[str, Any]) -> float:
    """Return ``sum_i i q_i`` of a repeat."""
    q = np.asarray(repeat["posterior"]["q"])
    return float(q @ np.arange(len(q)))


def spread(results: Results, get: Get) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation over the repeats of each result."""
    values = [[get(repeat) for repeat in result["repeats"]] for result in results]
    return np.array([np.mean(v) for v in values]), np.array([np.std(v, ddof=len(v) > 1) for v in values])


def draw_curve(ax: Axes, results: Results, x: Callable[[Result], float], y: Get, **style: Any) -> None:
    """Draw means over the repeats with standard deviations as bars, in the order of ``x``."""
    ordered = sorted(results, key=x)
    mean, std = spread(ordered, y)
    style = {"marker": "o", "ms": 4, "lw": 1.2, "capsize": 2} | style
    ax.errorbar([x(result) for result in ordered], mean, std, **style)


def draw_level(ax: Axes, result: Result, y: Get, **style: Any) -> None:
    """Draw the mean over the repeats of one result as a level line, with a band of a standard deviation."""
    (mean,), (std,) = spread([result], y)
    ax.axhline(mean, **style)
    ax.axhspan(mean - std, mean + std, color=style.get("color"), alpha=0.15, lw=0)


def draw_posterior(ax: Axes, result: Result) -> None:
    """Draw the depth posterior, mean over the repeats with standard deviations, and the exact one."""
    q, exact = (np.array([r["posterior"][name] for r in result["repeats"]]) for name in ("q", "exact_posterior"))
    depth = np.arange(q.shape[1])
    error = q.std(0, ddof=len(q) > 1)
    ax.bar(depth, q.mean(0), yerr=error, color=BLUE, alpha=0.6, error_kw={"lw": 0.8}, label="posterior q(depth)")
    ax.plot(depth, exact.mean(0), "D", ms=3.5, mfc="none", color=GREEN, label="exact posterior")
    ax.set(xlabel="depth (residual blocks)", ylabel="probability")


def draw_posteriors(ax: Axes, results: Results, x: Callable[[Result], float], label: str) -> None:
    """Draw the depth posteriors of several results side by side, and the depth that each chooses."""
    ordered = sorted(results, key=x)
    means = [np.mean([r["posterior"]["q"] for r in result["repeats"]], axis=0) for result in ordered]
    picture = np.full((max(map(len, means)), len(means)), np.nan)
    for column, q in enumerate(means):
        picture[: len(q), column] = q
    image = ax.pcolormesh(picture, cmap="viridis", rasterized=True)
    centres = np.arange(len(means)) + 0.5
    ax.plot(centres, spread(ordered, chosen_depth("argmax"))[0] + 0.5, "o", ms=4, color=ORANGE, label="argmax q")
    ax.set_xticks(centres, [f"{x(result):g}" for result in ordered], rotation=90, fontsize=8)
    depths = np.arange(0, len(picture), max(1, len(picture) // 5))
    ax.set_yticks(depths + 0.5, [str(d) for d in depths])
    ax.set(xlabel=label, ylabel="depth (residual blocks)")
    ax.figure.colorbar(image, ax=ax, label="q(depth)")
    legend(ax)


def legend(*axes: Axes) -> None:
    """Put one legend of all axes above the first, where it hides nothing."""
    handles = [handle for ax in axes for handle in ax.get_legend_handles_labels()[0]]
    labels = [label for ax in axes for label in ax.get_legend_handles_labels()[1]]
    where: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncol": 2}
    axes[0].legend(handles, labels, **where, frameon=False, fontsize=8)
