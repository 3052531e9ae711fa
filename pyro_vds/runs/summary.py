"""What a run found, in words for people."""

from typing import Any

import numpy as np


def summary_text(metrics: dict[str, Any]) -> str:
    """Return the metrics as a short text for people."""
    lines = []
    if "posterior" in metrics:
        posterior = metrics["posterior"]
        lines += [
            chosen_line(posterior),
            f"ELBO {posterior['elbo']:.2f} nats, log evidence {posterior['log_evidence']:.2f}, "
            f"gap {posterior['evidence_gap']:.2f}",
            "",
            *(_joint_table(posterior) if "q_joint" in posterior else _posterior_table(posterior)),
            "",
        ]
    if "per_input" in metrics:
        lines += [saving_line(metrics["per_input"]), ""]
    lines.append(f"test ({metrics['test_size']} points)")
    head, *rows = measures_table(metrics["test"])
    parameters = [f"   {metrics['parameters'][case]:,} parameters" for case in metrics["test"]]
    return "\n".join([*lines, head, *(row + count for row, count in zip(rows, parameters, strict=True))])


def measures_table(cases: dict[str, dict[str, float]]) -> list[str]:
    """Return the measures of some predictions as the lines of a table.

    Args:
        cases: What :func:`pyro_vds.runs.metrics.evaluate_run` returns.
    """
    names = list(cases["full"])
    head = f"{'':8}" + "".join(f"{name.replace('_', '-'):>16}" for name in names)
    percent = ("error", "ece", "interval_error")
    return [head] + [
        f"{case:8}" + "".join(f"{f'{100 * v[n]:.2f} %' if n in percent else f'{v[n]:.4f}':>16}" for n in names)
        for case, v in cases.items()
    ]


def chosen_line(posterior: dict[str, Any]) -> str:
    """Return which architecture was chosen, by which rule, in one line.

    Args:
        posterior: The posterior part of a run's metrics.
    """
    largest, rule, chosen = len(posterior["q"]) - 1, posterior["rule"], posterior["chosen"]
    if "width" in chosen:
        costs = np.asarray(posterior["multiply_adds"])
        width = posterior["widths"].index(chosen["width"])
        share = costs[chosen["depth"], width] / costs[-1, -1]
        widths = ", ".join(map(str, posterior["widths"]))
        return (
            f"chosen depth: {chosen['depth']} of 0..{largest}, width: {chosen['width']} of {widths} "
            f"(rule {rule}; {100 * share:.1f} % of the multiply-adds)"
        )
    others = ", ".join(f"{name} {depth}" for name, depth in posterior["chosen_depth"].items() if name != rule)
    return f"chosen depth: {chosen['depth']} of 0..{largest} (rule {rule}; {others})"


def saving_line(per_input: dict[str, Any]) -> str:
    """Return at which depth inputs stop, and what that saves, in one line.

    Args:
        per_input: The part of a run's metrics about a depth for each input.
    """
    total, largest = sum(per_input["stops"]), len(per_input["stops"]) - 1
    most = ", ".join(f"{d}: {100 * n / total:.0f} %" for d, n in enumerate(per_input["stops"]) if n >= 0.005 * total)
    return (
        f"a depth for each input: {per_input['mean_depth']:.2f} of 0..{largest} on average ({most}), "
        f"{100 * per_input['multiply_adds']:.1f} % of the multiply-adds (threshold {per_input['threshold']:g})"
    )


def _joint_table(posterior: dict[str, Any]) -> list[str]:
    """Return q(depth, width), of the depths that matter."""
    q = np.asarray(posterior["q_joint"])
    shown = np.flatnonzero(q.sum(1) >= 0.005)
    head = "depth " + "".join(f"{f'width {w}':>12}" for w in posterior["widths"]) + "    q(depth)"
    rows = [f"{d:5} " + "".join(f"{p:12.3f}" for p in q[d]) + f"{q[d].sum():12.3f}" for d in shown]
    foot = "q(width)" + "".join(f"{p:12.3f}" for p in q.sum(0))[2:]
    return [head, *rows, foot]


def _posterior_table(posterior: dict[str, Any]) -> list[str]:
    """Return the depths that matter, with their probabilities and log-likelihoods."""
    q = np.asarray(posterior["q"])
    shown = np.flatnonzero(q >= 0.005)
    rows = ["depth   q(depth)   exact   log-likelihood (train, nats per point)"]
    rows += [
        f"{d:5}   {q[d]:8.3f}   {posterior['exact_posterior'][d]:5.3f}   "
        f"{posterior['train_log_likelihood_by_depth'][d]:10.6f}   {'█' * round(40 * q[d] / q.max())}"
        for d in shown
    ]
    left_out = len(q) - len(shown)
    return rows + ([f"({left_out} depths with q below 0.005 are not shown)"] if left_out else [])
