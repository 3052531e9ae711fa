"""The results of a run as text."""

from typing import Any

import numpy as np

from pyro_vds.runs.classes import lines_by_class
from pyro_vds.runs.site_text import bound_line, chosen_of_sites, draws_note, has_sites, plural, site_table
from pyro_vds.training.config import TrainingConfig

WEIGHTS = {
    "posterior": "the posterior",
    "uniform": "uniform ones",
    "stacked": "stacked ones, chosen on the validation data,",
    "exact": "the exact posterior",
}
"""The names of weights of the architectures in words."""


def summary_text(metrics: dict[str, Any], note: str = "") -> str:
    """Return the metrics as a short text.

    Args:
        metrics: The content of ``metrics.json``, or what :func:`pyro_vds.runs.evaluate.evaluate` returns.
        note: A sentence on guide and exact posterior, below the evidence.
    """
    lines = []
    if "posterior" in metrics:
        posterior = metrics["posterior"]
        lines += [
            chosen_line(posterior),
            bound_line(posterior),
            *([note] if note else []),
            "",
            *_tables(posterior),
            "",
        ]
    if "per_input" in metrics:
        lines += [saving_line(metrics["per_input"]), ""]
    lines.append(f"test ({plural(metrics['test_size'], 'point')}{draws_note(metrics)})")
    head, *rows = measures_table(metrics["test"])
    parameters = [f"   {metrics['parameters'][case]:,} parameters" for case in metrics["test"]]
    lines += [head, *(row + count for row, count in zip(rows, parameters, strict=True))]
    lines += lines_by_class(metrics)
    # A run that predicts with its posterior only has nothing to tell apart.
    if set(metrics.get("weights", {}).values()) - {"posterior"}:
        lines += ["", weights_line(metrics["weights"])]
        lines += [disagreement_line(metrics["disagreement"])] if "disagreement" in metrics else []
    return "\n".join(lines)


def weights_line(weights: dict[str, str]) -> str:
    """Return which weights of the architectures each prediction used, as one line.

    Args:
        weights: The name of the weights of each prediction, from a run's metrics.
    """
    by_name: dict[str, list[str]] = {}
    for case, name in weights.items():
        by_name.setdefault(name, []).append(case)
    return "weights: " + "; ".join(f"{WEIGHTS[name]} for {', '.join(cases)}" for name, cases in by_name.items())


def disagreement_line(disagreement: dict[str, Any]) -> str:
    """Return how much the architectures disagree about the test data, as one line.

    Args:
        disagreement: The unit, and the mean for each name of weights, from a run's metrics.
    """
    uniform, posterior = (disagreement["mean"][name] for name in ("uniform", "posterior"))
    return (
        f"mean disagreement of the architectures: {uniform:.4f} {disagreement['unit']} with uniform weights, "
        f"{posterior:.4f} with the posterior"
    )


def training_line(config: TrainingConfig, *, blocks: bool = True) -> str:
    """Return how guide and weights were trained as one line.

    Args:
        config: The settings of training.
        blocks: Whether the network has blocks that only some read-outs use.
    """
    rate = "blocks at full rate" if config.block_rate == "full" else "blocks at the paper's rate"
    floor = f", weight floor {config.weight_floor:g}" if config.weight_floor else ""
    rest = f", {rate}{floor}" if blocks else floor
    if config.guide_update == "gradient":
        start = f" from epoch {config.guide_from} on" if config.guide_from else ""
        draws = f", {config.samples} architectures drawn in each step" if config.samples else ""
        return f"guide by gradient steps{start}{draws}{rest}"
    bound = "" if config.tempered_num_data is None else f", at most {config.tempered_num_data:g} points counted"
    kind = config.anneal_start if blocks else "uniform"  # nothing is deep without nested entries
    start = f"annealed over {plural(config.annealed_epochs, 'epoch')}, {kind} start{bound}"
    return f"guide in closed form ({start}){rest}"


def measures_table(cases: dict[str, dict[str, float]]) -> list[str]:
    """Return the measures of predictions as the lines of a table.

    Args:
        cases: The ``test`` of :func:`pyro_vds.runs.measures.measure_test`.
    """
    names = list(cases["full"])
    head = f"{'':8}" + "".join(f"{name.replace('_', '-'):>16}" for name in names)
    percent = ("error", "ece", "interval_error")
    return [head] + [
        f"{case:8}" + "".join(f"{f'{100 * v[n]:.2f} %' if n in percent else f'{v[n]:.4f}':>16}" for n in names)
        for case, v in cases.items()
    ]


def chosen_line(posterior: dict[str, Any]) -> str:
    """Return the architecture that the rule chooses from the guide, and the rule, as one line.

    Args:
        posterior: The posterior part of a run's metrics.
    """
    if has_sites(posterior):
        return chosen_of_sites(posterior)
    axes, rule, chosen = posterior["axes"], posterior["rule"], posterior["chosen"]
    words = ", ".join(f"{name}: {chosen[name]} of {_range(axis['labels'])}" for name, axis in axes.items())
    if "multiply_adds" in posterior:
        costs = np.asarray(posterior["multiply_adds"])
        entry = tuple(axis["labels"].index(chosen[name]) for name, axis in axes.items())
        return f"chosen {words} (guide, rule {rule}; {100 * costs[entry] / costs.max():.1f} % of the multiply-adds)"
    ((_, axis),) = axes.items()
    others = ", ".join(f"{name} {label}" for name, label in axis["chosen"].items() if name != rule)
    return f"chosen {words} (guide, rule {rule}; {others})"


def saving_line(per_input: dict[str, Any]) -> str:
    """Return the entries at which inputs stop, and the savings, as one line.

    Args:
        per_input: The part of a run's metrics for a model with an architecture for each input.
    """
    total, largest = sum(per_input["stops"]), len(per_input["stops"]) - 1
    most = ", ".join(f"{d}: {100 * n / total:.0f} %" for d, n in enumerate(per_input["stops"]) if n >= 0.005 * total)
    return (
        f"a {per_input['axis']} for each input: {per_input['mean']:.2f} of 0..{largest} on average ({most}), "
        f"{100 * per_input['multiply_adds']:.1f} % of the multiply-adds (threshold {per_input['threshold']:g})"
    )


def _range(labels: list[Any]) -> str:
    """Return labels as text; ``0..n`` if they count from 0."""
    return f"0..{labels[-1]}" if labels == list(range(len(labels))) else ", ".join(map(str, labels))


def _tables(posterior: dict[str, Any]) -> list[str]:
    """Return the probabilities of all axes as the lines of tables."""
    if not has_sites(posterior):
        return _joint_table(posterior) if "q_joint" in posterior else _posterior_table(posterior, *posterior["axes"])
    return [
        line for name, axis in posterior["axes"].items() for line in site_table(axis, name, posterior["chosen"][name])
    ]


def _joint_table(posterior: dict[str, Any]) -> list[str]:
    """Return the joint probabilities of two axes, for entries of the first axis with a weight of at least 0.005."""
    q = np.asarray(posterior["q_joint"])
    if q.ndim > 2:
        return [line for name in posterior["axes"] for line in _posterior_table(posterior, name)]
    (first, rows), (second, columns) = posterior["axes"].items()
    shown = np.flatnonzero(np.maximum(q.sum(1), rows.get("stacked", 0)) >= 0.005)
    head = f"{first:5} " + "".join(f"{f'{second} {label}':>12}" for label in columns["labels"]) + f"{f'q({first})':>12}"
    lines = [f"{rows['labels'][i]!s:>5} " + "".join(f"{p:12.3f}" for p in q[i]) + f"{q[i].sum():12.3f}" for i in shown]
    foot = [f"q({second})" + "".join(f"{p:12.3f}" for p in q.sum(0))[max(0, len(second) - 3) :]]
    if "stacked" in rows:
        head += f"{'stacked':>12}"
        lines = [f"{line}{rows['stacked'][i]:12.3f}" for line, i in zip(lines, shown, strict=True)]
        foot.append("stacked" + "".join(f"{p:12.3f}" for p in columns["stacked"])[1:])
    return [head, *lines, *foot]


def _posterior_table(posterior: dict[str, Any], name: str) -> list[str]:
    """Return the weights and log-likelihoods of an axis, for entries with a weight of at least 0.005."""
    axis = posterior["axes"][name]
    q, labels, exact, stacked = np.asarray(axis["q"]), axis["labels"], axis["exact"], axis.get("stacked")
    shown = np.flatnonzero(np.maximum(q, q if stacked is None else stacked) >= 0.005)
    single = len(posterior["axes"]) == 1
    head = f"{name}   q({name})   exact" + ("" if stacked is None else "   stacked")
    head += "   log-likelihood (train, nats per point)" if single else ""
    rows = [
        f"{labels[i]!s:>5}   {q[i]:8.3f}   {exact[i]:5.3f}   "
        + ("" if stacked is None else f"{stacked[i]:7.3f}   ")
        + (f"{posterior['train_log_likelihood'][i]:10.6f}   " if single else "")
        + "█" * round(40 * q[i] / q.max())
        for i in shown
    ]
    left_out = len(q) - len(shown)
    small = "q" if stacked is None else "q and stacked weight"
    verb = "is" if left_out == 1 else "are"
    shown_not = f"({plural(left_out, 'entry', 'entries')} with {small} below 0.005 {verb} not shown)"
    return [head, *rows, *([shown_not] if left_out else [])]
