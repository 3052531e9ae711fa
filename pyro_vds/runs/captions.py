"""The titles, captions and descriptions of a run's figures: a description says in words what is seen."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pyro_vds.diagnostics.summaries import log_likelihood
from pyro_vds.runs.files import POSTERIOR, reading
from pyro_vds.runs.folder import Run
from pyro_vds.runs.lesions import LESIONS
from pyro_vds.runs.measures import tree_in_data_units

_FEW = 6
"""The sites that a description names."""

WHY = (
    "The posterior weighs the prior and the likelihood of all training points together. The test data have no part in "
    "it, and what predicts them best can be another architecture."
)
"""Why the posterior need not favour what predicts the test data best."""


@dataclass(frozen=True)
class Caption:
    """The words of a figure.

    Attributes:
        title: What the figure is of.
        text: How to read it.
        seen: What is to be seen in it, from the numbers of the run, for readers who do not see it.
    """

    title: str
    text: str
    seen: str


def describe(run: Run, name: str) -> Caption:
    """Return the words of a figure of a run.

    Args:
        run: A finished run.
        name: The name of the figure's file, without its suffix.
    """
    if name not in _FIGURES:
        return Caption(name, "", f"The figure {name} of the run.")
    title, text, seen = _FIGURES[name]
    words = {"axes": " and ".join(run.model.axes), "any": " or ".join(run.model.axes)}
    return Caption(title.format(**words), text.format(**words), seen(run))


FIGURES_IN_ORDER = (
    "posterior", "graph", "choices", "functions", "reliability", "intervals", "band", "lesions", "history"
)  # fmt: skip
"""The figures of a run in the order in which a page shows them."""


def best_on_test(run: Run, axis: str) -> str:
    """Return where the test log-likelihood of single entries of an axis is best, and what it is at the chosen one.

    Args:
        run: A finished run with one posterior for all inputs.
        axis: An axis without sites.

    Returns:
        A sentence; empty without the file of the posterior.
    """
    values = _test_log_likelihood(run, axis)
    if not values:
        return ""
    best = max(values, key=lambda label: values[label])
    chosen = run.metrics["posterior"]["chosen"][axis]
    here = "the chosen one" if chosen == best else f"{values[chosen]:.4f} at the chosen {axis} {chosen}"
    return f"The test log-likelihood is best at {axis} {best} ({values[best]:.4f} nats per point), {here}."


def _test_log_likelihood(run: Run, axis: str) -> dict[Any, float]:
    """Return the mean test log-likelihood of each entry, by label as JSON has it; empty without the file."""
    if not (run.folder / POSTERIOR).exists():
        return {}
    with reading(run.folder, POSTERIOR):
        mean = log_likelihood(tree_in_data_units(run.datatree), axis)["mean"].to_numpy()
    return dict(zip(run.metrics["posterior"]["axes"][axis]["labels"], mean.tolist(), strict=True))


def _of_posterior(run: Run) -> str:
    return " ".join(_of_axis(run, axis) for axis in run.model.axes)


def _of_axis(run: Run, axis: str) -> str:
    """Return where guide and exact posterior over an axis are largest, and where the test log-likelihood is best."""
    posterior = run.metrics["posterior"]
    entries = posterior["axes"][axis]
    largest = {name: int(np.argmax(entries[name])) for name in ("q", "exact")}
    q, exact = (f"{axis} {entries['labels'][k]} ({name} {entries[name][k]:.2f})" for name, k in largest.items())
    sentences = [
        f"Bars over {axis} {_span(entries['labels'])}: the guide is largest at {q}, the exact posterior at {exact}; "
        f"{axis} {posterior['chosen'][axis]} is chosen.",
        best_on_test(run, axis),
        run.note,
    ]
    return " ".join(filter(None, sentences))


def _of_sites(run: Run) -> str:
    """Return how many edges are open, or the most probable choice at the first of them."""
    sentences = []
    for name, entries in run.metrics["posterior"]["axes"].items():
        if "sites" not in entries:
            continue
        q, sites = np.asarray(entries["q"]), entries["sites"]
        if list(entries["labels"]) == [False, True]:
            named = [f"{site} ({p:.2f})" for site, p in zip(sites, q[:, 1], strict=True) if p > 0.5]
            start = f"{len(named)} of {len(sites)} sites of {name} are open with a probability above 0.5"
        else:
            labels = [entries["labels"][k] for k in q.argmax(1)]
            named = [f"{site} {label} ({p:.2f})" for site, label, p in zip(sites, labels, q.max(1), strict=True)]
            start = f"The most probable {name} at each of {len(sites)} sites"
        more = f" and {len(named) - _FEW} more" if len(named) > _FEW else ""
        sentences.append(f"{start}: {', '.join(named[:_FEW]) or 'none'}{more}.")
    return " ".join([*sentences, run.note]).strip()


def _of_functions(run: Run) -> str:
    (axis,) = run.model.axes
    panels = f"A panel for each {axis} {_span(run.model.coords[axis])}: the class it predicts over the plane."
    values = _test_log_likelihood(run, axis) if run.has_posterior else {}
    first, *_, last = [*values.items()] or [(None, 0.0), (None, 0.0)]
    rise = f" The test log-likelihood goes from {first[1]:.4f} to {last[1]:.4f} nats per point." if values else ""
    return panels + rise


def _span(labels: Sequence[Hashable]) -> str:
    """Return the first and the last label, or all names."""
    return f"{labels[0]} to {labels[-1]}" if isinstance(labels[0], int | float) else ", ".join(map(str, labels))


def _of_measure(name: str, words: str) -> Callable[[Run], str]:
    """Return a function of a run that says one test measure of each prediction; a percentage if words end so."""

    def seen(run: Run) -> str:
        factor, unit = (100, " %") if "{} %" in words else (1, "")
        found = {case: values[name] for case, values in run.metrics["test"].items() if name in values}
        listed = ", ".join(f"{factor * value:.2f}{unit} ({case})" for case, value in found.items())
        return f"{words.replace('{} %', '{}').format(listed)}, on {run.metrics['test_size']:,} test points."

    return seen


def _of_lesions(run: Run) -> str:
    """Return which block costs most and least when it is deleted."""
    path = run.folder / LESIONS
    if not path.exists():
        return "Measures with blocks deleted."
    with reading(run.folder, LESIONS):
        study = xr.load_dataset(path, engine="h5netcdf")
    measure = next(str(name) for name in study["measure"].to_numpy() if name != "log_likelihood")
    one = study.sel(measure=measure).isel(prediction=-1)
    single = one["single"].dropna("block")
    if not single.size:
        return f"Without a lesion the {measure} is {float(one['intact']):.3f}."
    worst, mildest = (single.isel(block=int(place)) for place in (single.argmax("block"), single.argmin("block")))
    return (
        f"Without a lesion the {measure} is {float(one['intact']):.3f}; with one block deleted it is largest for block "
        f"{int(worst['block'])} ({float(worst):.3f}) and smallest for block {int(mildest['block'])} "
        f"({float(mildest):.3f})."
    )


def _of_history(run: Run) -> str:
    history = run.history
    if not len(history):
        return "The record of training is empty."
    loss, best = -history.elbo, np.asarray(history.best_epoch).item()
    epochs = "epoch" if len(history) == 1 else "epochs"
    return (
        f"Over {len(history):,} {epochs} the negative ELBO goes from {float(loss[0]):,.1f} to {float(loss[-1]):,.1f} "
        f"nats; the kept state is that of epoch {int(best) + 1:,}."
    )


_FIGURES: Mapping[str, tuple[str, str, Callable[[Run], str]]] = {
    "posterior": (
        "Posterior over {axes}",
        "Bars: the guide and the exact posterior; dashed: the prior; line above them: how well each {any} alone "
        f"predicts the test data. {WHY}",
        _of_posterior,
    ),
    "graph": ("Graph", "Each edge is as wide as it is probable under the guide.", _of_sites),
    "choices": ("Choices", "The probability of each entry at each site.", _of_sites),
    "functions": ("Functions by {axes}", "The class that each {any} alone predicts, with test points.", _of_functions),
    "reliability": (
        "Reliability",
        "Accuracy against confidence, with 95 % intervals: calibrated predictions lie on the diagonal. Below, the "
        "number of test points in each bin.",
        _of_measure("ece", "Accuracy against confidence: the expected calibration error is {} %"),
    ),
    "intervals": (
        "Coverage",
        "The share of test targets inside central intervals; calibrated predictions lie on the diagonal.",
        _of_measure("interval_error", "Coverage of central intervals: they miss the nominal one by {} % on average"),
    ),
    "band": (
        "Prediction",
        "The mean, the noise and the disagreement between architectures, with test points.",
        _of_measure("rmse", "Mean and bands of the prediction: the RMSE is {}"),
    ),
    "lesions": (
        "Lesions",
        "Test measures with blocks deleted or reordered, and the share of the gradient by the length of its path.",
        _of_lesions,
    ),
    "history": (
        "Training",
        "The objective on the training data, the posterior, and the validation data, if any, over the epochs.",
        _of_history,
    ),
}
