"""What the exact sum over depths buys against draws and relaxations of it, and what relaxed gates do behind a norm.

The rules were written before the runs of ``experiments.relaxations``, with the numbers of a prototype in sight. Bias is
the distance of the mean of estimates from the exact gradient, and is taken for real from three standard errors.
"""

from collections.abc import Callable, Sequence

import numpy as np

from experiments.figures.parts import Result, Results

EXACT, WRITTEN_OUT, SCORES = "exact", "exact, written out", ("REINFORCE, S = 2", "RLOO, S = 2")
RELAXED = ("straight-through Concrete 0.5", "Concrete 0.5", "Concrete 1", "averaged features")
UNBIASED, BIASED, ELSEWHERE, EXPLODED = 2.0, 3.0, 2.0, 10.0
CHEAP = 1.25


def part(found: Results, name: str) -> list[Result]:
    """Return the results of one part of the experiment.

    Args:
        found: The results.
        name: The part.
    """
    return [result for result in found if result["settings"]["part"] == name]


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown.

    Args:
        heads: The heads of the columns.
        lines: The cells of each line.
    """
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *lines))


def gradients_table(found: Results) -> str:
    """Return bias and noise of the gradients for depth in Markdown, in units of the length of the exact gradient.

    Args:
        found: The results of ``relaxations``.
    """
    lines = []
    for result in part(found, "gradients"):
        for row in result["rows"]:
            if row["method"] == WRITTEN_OUT:
                continue
            if row["method"] == EXACT:
                lengths = ", ".join(f"{length:.3g}" for length in row["exact_length"].values())
                lines.append([str(result["settings"]["of"]), row["q"], f"exact, lengths {lengths}", *[""] * 6])
                continue
            cells = [str(result["settings"]["of"]), row["q"], row["method"]]
            for of in ("logits", "weights"):
                cells += _estimate(row[of]) if of in row else [""] * 3
            lines.append(cells)
    each = ("bias (noise alone)", "cosine", "deviation")
    return markdown(
        ["steps", "q", "method", *(f"{of}: {name}" for of in ("logits", "weights") for name in each)], lines
    )


def merge_table(found: Results) -> str:
    """Return bias and noise of the gradients for gates in Markdown.

    Args:
        found: The results of ``relaxations``.
    """
    lines = [
        [result["settings"]["of"], f"{result['exact_length']:.3g}", row["method"], *_estimate(row)]
        for result in part(found, "merge")
        for row in result["rows"]
    ]
    return markdown(["normalisation", "exact length", "method", "bias (noise alone)", "cosine", "deviation"], lines)


def training_table(found: Results) -> str:
    """Return what each method learns in Markdown, mean ± standard deviation over seeds.

    Args:
        found: The results of ``relaxations``.
    """
    heads = ["method", "error, %", "log-likelihood", "depth by rule 95", "error there, %", "ELBO", "gap", "time"]
    lines = []
    for method, rows in by_method(found).items():
        first = rows[0]
        cells = [method, _spread([100 * row["error"] for row in rows], 2)]
        cells.append(_spread([row["log_likelihood"] for row in rows], 3))
        there = "at_chosen_depth" in first
        cells.append(", ".join(str(row["chosen_depth"]) for row in rows) if there else "")
        cells.append(_spread([100 * row["at_chosen_depth"]["error"] for row in rows], 2) if there else "")
        cells += [_spread([row[name] for row in rows], 1) if name in first else "" for name in ("elbo", "gap")]
        lines.append([*cells, f"{np.mean([row['time'] for row in rows]):.2f}"])
    return markdown(heads, lines)


def by_method(found: Results) -> dict[str, list[Result]]:
    """Return the rows of each method, one for each seed, with times as ratios to the exact method of the seed.

    Args:
        found: The results of ``relaxations``.
    """
    methods: dict[str, list[Result]] = {}
    for result in part(found, "training"):
        exact = next(row["seconds_of_step"] for row in result["rows"] if row["method"] == EXACT)
        for row in result["rows"]:
            methods.setdefault(row["method"], []).append(row | {"time": row["seconds_of_step"] / exact})
    return methods


def exact_has_the_best_bound(found: Results) -> tuple[str, str]:
    """Holds if the exact sum has the largest ELBO and the smallest gap, in the mean over seeds; in part if one."""
    methods = _that_learn(found)
    elbo, gap = (
        {m: float(np.mean([r[name] for r in rows])) for m, rows in methods.items()} for name in ("elbo", "gap")
    )
    best = [max(elbo, key=elbo.__getitem__) == EXACT, min(gap, key=gap.__getitem__) == EXACT]
    text = "ELBO and gap, nats: " + "; ".join(f"{m} {elbo[m]:.1f}, {gap[m]:.2f}" for m in methods)
    return text, "holds" if all(best) else "holds in part" if any(best) else "does not hold"


def scores_are_unbiased(found: Results) -> tuple[str, str]:
    """Holds if every bias of a score estimator is within two standard errors; in part if within three."""
    ratios = [_ratio(row[of]) for row in _rows(found, SCORES) for of in ("logits", "weights")]
    deviations = [row["logits"]["deviation"] for row in _rows(found, SCORES)]
    text = (
        f"{len(ratios)} biases of {min(ratios):.2f} to {max(ratios):.2f} standard errors; one estimate for the logits "
        f"deviates by {min(deviations):.1f} to {max(deviations):.1f} lengths of the gradient"
    )
    largest = max(ratios)
    return text, "holds" if largest <= UNBIASED else "holds in part" if largest <= BIASED else "does not hold"


def relaxations_are_biased(found: Results) -> tuple[str, str]:
    """Holds if each relaxation's gradient for the logits is biased in all states of the network; in part if in one."""
    biased, texts = {}, []
    for method in RELAXED:
        rows = [row["logits"] for row in _rows(found, (method,))]
        biased[method] = [_ratio(row) > BIASED for row in rows]
        texts.append(f"{method} {min(r['bias'] for r in rows):.2f} to {max(r['bias'] for r in rows):.2f}")
    text = f"bias for the logits, lengths of the gradient: {'; '.join(texts)}"
    counts = "; ".join(f"{method} {sum(is_so)} of {len(is_so)}" for method, is_so in biased.items())
    every, some = (all(f(is_so) for is_so in biased.values()) for f in (all, any))
    return f"{text}; beyond three standard errors: {counts}", _verdict(every, some)


def soft_gates_point_elsewhere(found: Results) -> tuple[str, str]:
    """Holds if the weights' gradient of Concrete 1 is off by two lengths at the later network, uniform ``q``.

    In part if it is so at any.
    """
    last = max((result["settings"]["of"] for result in part(found, "gradients")), default=0)
    rows = [(result["settings"]["of"], row) for result in part(found, "gradients") for row in result["rows"]]
    soft = [(steps, row["q"], row["weights"]) for steps, row in rows if row["method"] == "Concrete 1"]
    text = "bias for the weights (cosine): " + "; ".join(
        f"{steps} steps, {q} q {row['bias']:.1f} ({row['cosine']:.2f})" for steps, q, row in soft
    )
    there = [
        row["bias"] > ELSEWHERE and _ratio(row) > BIASED for steps, q, row in soft if (steps, q) == (last, "uniform")
    ]
    return text, _verdict(all(there), any(row["bias"] > ELSEWHERE and _ratio(row) > BIASED for _, _, row in soft))


def exact_costs_no_more(found: Results) -> tuple[str, str]:
    """Holds if no method that learns ``q`` takes less than 1 / 1.25 of the sum written out; in part if no score does.

    The sum is that without Pyro, since the others are without it.
    """
    times = {m: float(np.mean([row["time"] for row in rows])) for m, rows in by_method(found).items()}
    least = times[WRITTEN_OUT] / CHEAP
    text = "time of a step, ratio to the library's exact one: " + "; ".join(f"{m} {t:.2f}" for m, t in times.items())
    others = [times[m] for m in _that_learn(found) if m != EXACT]
    return text, _verdict(min(others) >= least, min(times[m] for m in SCORES) >= least)


def exact_errs_least(found: Results) -> tuple[str, str]:
    """Holds if the exact sum errs less than every other method that learns ``q``, by two standard errors of the pairs.

    In part if its mean is the smallest.
    """
    methods = {
        m: np.array([100 * r["error"] for r in rows]) for m, rows in by_method(found).items() if "gap" in rows[0]
    }
    ours = methods.pop(EXACT)
    clear = []
    for errors in methods.values():
        difference = errors - ours
        clear.append(difference.mean() > 2 * difference.std(ddof=1) / len(difference) ** 0.5)
    means = {m: float(errors.mean()) for m, errors in methods.items()}
    text = f"test error, %: exact {ours.mean():.2f}; " + "; ".join(f"{m} {e:.2f}" for m, e in means.items())
    return text, _verdict(all(clear), bool(ours.mean() < min(means.values())))


def relaxed_gates_explode(found: Results) -> tuple[str, str]:
    """Holds if behind each norm the deviation of every relaxation is ten times that without a norm; in part if of one.

    Deviations are in lengths of the exact gradient of their own graph.
    """
    deviations = {
        result["settings"]["of"]: {row["method"]: row["deviation"] for row in result["rows"]}
        for result in part(found, "merge")
    }
    plain = deviations["none"]
    texts = [f"{method} " + ", ".join(f"{of[method]:.3g}" for of in deviations.values()) for method in plain]
    exploded = [
        deviations[norm][method] >= EXPLODED * plain[method]
        for method in plain
        if method != "RLOO"
        for norm in ("LayerNorm", "GroupNorm")
    ]
    text = f"deviation with {', '.join(deviations)}: {'; '.join(texts)}"
    return text, _verdict(all(exploded), any(exploded))


CLAIMS: tuple[tuple[str, Callable[[Results], tuple[str, str]]], ...] = (
    ("the exact sum has the largest ELBO and the smallest gap", exact_has_the_best_bound),
    ("score estimators are unbiased", scores_are_unbiased),
    ("relaxations and averaged features are biased for the logits", relaxations_are_biased),
    ("soft gates give the weights another direction", soft_gates_point_elsewhere),
    ("the exact sum costs no more than what replaces it", exact_costs_no_more),
    ("the exact sum has the smallest test error", exact_errs_least),
    ("relaxed gates explode behind a normalised merge", relaxed_gates_explode),
)


def claims_table(found: Results) -> str:
    """Return the claims with findings and verdicts in Markdown.

    Args:
        found: The results of ``relaxations``.
    """
    return markdown(["claim", "found here", "verdict"], [[text, *judge(found)] for text, judge in CLAIMS])


def _rows(found: Results, methods: Sequence[str]) -> list[Result]:
    return [row for result in part(found, "gradients") for row in result["rows"] if row["method"] in methods]


def _that_learn(found: Results) -> dict[str, list[Result]]:
    """Return the rows of the methods that learn ``q``, the exact sum once."""
    return {m: rows for m, rows in by_method(found).items() if "gap" in rows[0] and m != WRITTEN_OUT}


def _ratio(row: Result) -> float:
    """Return a bias in standard errors; infinite for an estimate without noise."""
    return row["bias"] / row["standard_error"] if row["standard_error"] else float("inf")


def _estimate(row: Result) -> list[str]:
    bias = f"{row['bias']:.3g} ({row['standard_error']:.2g})"
    return [bias, f"{row['cosine']:.2f}", f"{row['deviation']:.3g}"]


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def _verdict(whole: bool, some: bool) -> str:
    return "holds" if whole else "holds in part" if some else "does not hold"
