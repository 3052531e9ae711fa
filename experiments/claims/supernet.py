"""Whether a search with shared weights converges in one epoch, and whether these weights rank cells.

Wang et al. 2021 (VIM-NAS) report convergence in one epoch. That shared weights rank architectures as training alone
does is what one-shot search rests on (Bender et al. 2018), and what Sciuto et al. 2020, "Evaluating the Search Phase of
Neural Architecture Search" (arXiv 1902.08142), doubt. The rules were written before the runs of
``experiments.supernet``, with the numbers of a prototype in sight.
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from experiments.claims.relaxations import markdown, part
from experiments.figures.parts import Result, Results

LITERAL, CONTROL = "generator of 1 input", "uniform"
CONVERGED, RANKED, ERRORS = 0.1, 0.5, 2.0


def searches_table(found: Results) -> str:
    """Return what each search came to in Markdown, means over seeds, accuracies by seed.

    Args:
        found: The results of ``supernet``.
    """
    heads = [
        "search", "epochs", "entropy of q: start, quarter of an epoch, end", "total correlation", "KL",
        "accuracy of the cell named, alone, %", "better than random cells, %", "tau",
    ]  # fmt: skip
    alone = _accuracies(found)
    lines = []
    for (name, epoch), states in _states(found).items():
        start, quarter = (np.mean([state[when] for state in states]) for when in ("start", "quarter"))
        named = [_accuracy(state) for state in states]
        cells = [name, str(epoch), f"{start:.2f}, {quarter:.2f}, {_spread([s['entropy'] for s in states])}"]
        cells += [f"{np.mean([state[key] for state in states]):.2f}" for key in ("total_correlation", "kl")]
        better = f"{100 * np.mean([(alone < accuracy).mean() for accuracy in named]):.0f}"
        found_cells = [", ".join(f"{100 * accuracy:.1f}" for accuracy in named), better]
        cells += ["", ""] if name == CONTROL else found_cells  # a uniform q has no most probable cell
        lines.append([*cells, _spread([state["tau"] for state in states])])
    return markdown(heads, lines)


def alone_text(found: Results) -> str:
    """Return in words how good random cells are when they are trained alone, and how much of that is repeatable.

    Args:
        found: The results of ``supernet``.
    """
    accuracies = 100 * _accuracies(found)
    (rows,) = [result["rows"] for result in part(found, "alone")]
    return (
        f"{len(rows)} random cells alone: accuracy {accuracies.min():.1f} to {accuracies.max():.1f} %, median "
        f"{np.median(accuracies):.1f} %; tau between two trainings {_spread(_repeated(found))}"
    )


def one_epoch_is_enough(found: Results) -> tuple[str, str]:
    """Holds if one epoch leaves ``q`` a tenth of the uniform entropy, and a cell above the median of random ones.

    Both are asked of the generator of one input, which is VIM-NAS, for every seed; in part if it is one of them.
    """
    median = float(np.median(_accuracies(found)))
    texts, verdict = [], "not run"
    for (name, epoch), states in _states(found).items():
        if epoch != 1 or name == CONTROL:
            continue
        entropies, named = [state["entropy"] for state in states], [_accuracy(state) for state in states]
        texts.append(
            f"{name} {np.mean(entropies):.2f} of {states[0]['uniform']:.2f} nats, "
            + ", ".join(f"{100 * accuracy:.1f}" for accuracy in named)
        )
        if name == LITERAL:
            narrow, good = max(entropies) <= CONVERGED * states[0]["uniform"], min(named) > median
            verdict = _verdict(narrow and good, narrow or good)
    text = "entropy of q after one epoch, and accuracy of the cell named, trained alone, %, by seed: "
    return f"{text}{'; '.join(texts)}; random cells have a median of {100 * median:.1f}", verdict


def shared_weights_rank(found: Results) -> tuple[str, str]:
    """Holds if Kendall's tau is 0.5 in the mean over all runs at their ends; in part if it is positive for certain.

    For certain: the mean over runs is beyond two standard errors.
    """
    ends: dict[str, list[float]] = {}
    for (name, _), states in _states(found).items():
        ends[name] = [state["tau"] for state in states]
    control = ends.pop(CONTROL, None)
    taus = np.concatenate([np.array(values) for values in ends.values()])
    error = taus.std(ddof=1) / len(taus) ** 0.5
    texts = "; ".join(f"{name} {np.mean(values):.2f}" for name, values in ends.items())
    text = (
        f"tau of shared and own log-likelihood at the ends of {len(taus)} runs: {texts}; mean {taus.mean():.2f}, "
        f"standard error {error:.2f}; between two trainings alone {_spread(_repeated(found))}"
    )
    text += "" if control is None else f"; with cells drawn uniformly, no search, {_spread(control)}"
    return text, _verdict(bool(taus.mean() >= RANKED), bool(taus.mean() > ERRORS * error))


CLAIMS: tuple[tuple[str, Callable[[Results], tuple[str, str]]], ...] = (
    ("the search converges in one epoch", one_epoch_is_enough),
    ("shared weights rank cells as training alone does", shared_weights_rank),
)


def claims_table(found: Results) -> str:
    """Return the claims with findings and verdicts in Markdown.

    Args:
        found: The results of ``supernet``.
    """
    return markdown(["claim", "found here", "verdict"], [[text, *judge(found)] for text, judge in CLAIMS])


def _states(found: Results) -> dict[tuple[str, int], list[Result]]:
    """Return the states of each search after each number of epochs, one for each seed, with what is derived of them."""
    (rows,) = [result["rows"] for result in part(found, "alone")]
    own = [np.mean([one["log_likelihood"] for one in row["alone"]]) for row in rows]
    states: dict[tuple[str, int], list[Result]] = {}
    for result in part(found, "search"):
        first = result["states"][0]
        entropies, steps = result["entropy"], result["every"] * (len(result["entropy"]) - 1)
        quarter = steps / result["states"][-1]["epoch"] / 4
        more = {
            "start": entropies[0],
            "quarter": entropies[round(quarter / result["every"])],
            "uniform": len(first["cell"]) * np.log(5),
        }
        for state in result["states"]:
            tau = _tau(state["shared"], own)
            states.setdefault((result["settings"]["of"], state["epoch"]), []).append(state | more | {"tau": tau})
    return states


def _accuracies(found: Results) -> np.ndarray:
    """Return the accuracies of random cells alone, means over trainings."""
    (rows,) = [result["rows"] for result in part(found, "alone")]
    return np.array([_accuracy(row) for row in rows])


def _accuracy(row: Result) -> float:
    return float(np.mean([one["accuracy"] for one in row["alone"]]))


def _repeated(found: Results) -> list[float]:
    """Return Kendall's tau between the log-likelihoods of each two trainings of the random cells."""
    (rows,) = [result["rows"] for result in part(found, "alone")]
    table = np.array([[one["log_likelihood"] for one in row["alone"]] for row in rows])
    return [_tau(one, other) for one, other in combinations(table.T, 2)]


def _tau(one: Any, other: Any) -> float:
    found: Any = kendalltau(one, other)
    return float(found.statistic)


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")


def _verdict(whole: bool, some: bool) -> str:
    return "holds" if whole else "holds in part" if some else "does not hold"
