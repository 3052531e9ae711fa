"""The claims of Kotikalapudi's blog post on learnt connectivity, and four of our own beside them.

The rules were written before the runs of ``experiments.connectivity``, with the numbers of prototypes in sight (another
split, batches and seeds, half the rate of the guide). The first claim was one with the second, "prune", whose rule was
split off after the first table was read: it counted weights near 1 as if they pruned something.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from experiments.claims.connectivity_parts import correlations, error, late, log_likelihood, of, over, r_hat
from experiments.figures.parts import Result, Results

ALIKE, NEARLY_ALIKE = 0.95, 0.8  # correlations of edge probabilities
POINT, WEIGHT = 1.0, 0.1  # of error; of a gate's weight
SLOWER = 1.5  # ratio of what is left to learn
NATS, POINTS = 40.0, 10.0  # what exact gates gain; what a guide that waits gains
BLOG_STARTS = (0.0, 0.5, 1.0)


def sigmoid_decides(found: Results) -> tuple[str, str]:
    """Holds if half of the sigmoid weights end below 0.1 or above 0.9 in every run; in part if in one run."""
    texts, shares = [], []
    for title, runs in _sigmoid(found):
        each = [run["decided"] for run in runs]
        shares += each
        texts.append(f"{title} {100 * np.mean(each):.0f} %")
    verdict = "holds" if min(shares) >= 0.5 else "holds in part" if max(shares) >= 0.5 else "does not hold"
    slow = np.mean([run["decided"] for run in of(found, "gates", method="sigmoid_slow")])
    text = f"weights below 0.1 or above 0.9 at the end: {', '.join(texts)}; digits at half the rate {100 * slow:.0f} %"
    return text, verdict


def sigmoid_prunes(found: Results) -> tuple[str, str]:
    """Holds if in every run a weight ends below 0.1; in part if in one run."""
    texts, pruned = [], []
    for title, runs in _sigmoid(found):
        weights = np.array([run["probs"] for run in runs])
        pruned += (weights < WEIGHT).any(1).tolist()
        texts.append(
            f"{title} {int((weights < WEIGHT).sum())} of {weights.size} (from {weights.min():.2f} to "
            f"{weights.max():.2f})"
        )
    verdict = "holds" if all(pruned) else "holds in part" if any(pruned) else "does not hold"
    return f"weights below 0.1 at the end: {', '.join(texts)}", verdict


def same_pattern(found: Results, method: str) -> tuple[str, str]:
    """Holds if the edge probabilities of every pair of seeds have a correlation of 0.95; in part if the mean is 0.8."""
    runs = of(found, "gates", method=method, price=20.0)
    pairs = correlations(runs)
    opened = [run["open"] for run in runs]
    text = (
        f"correlation of the edges of {len(runs)} seeds {np.mean(pairs):.2f} (smallest {min(pairs):.2f}); R-hat of the "
        f"gates at most {r_hat(runs).max():.2f}; open edges {', '.join(map(str, opened))} of {len(runs[0]['probs'])}"
    )
    verdict = "holds" if min(pairs) >= ALIKE else "holds in part" if np.mean(pairs) >= NEARLY_ALIKE else "does not hold"
    return text, verdict


def start_does_not_matter(found: Results) -> tuple[str, str]:
    """Holds if the starts 0, 0.5 and 1 differ by at most a point of error and 0.1 of the mean weight.

    In part if by at most a point.
    """
    digits = [
        *of(found, "gates", method="sigmoid", price=20.0)[:1],
        *of(found, "start", method="sigmoid", start=0.5),
        *of(found, "start", method="sigmoid", start=1.0),
    ]
    images = [of(found, "images", method="sigmoid", start=start) for start in BLOG_STARTS]
    texts, same_error, same_weight = [], [], []
    for title, cases in (("digits", [[run] for run in digits]), ("CIFAR-10", images)):
        errors = [float(np.mean([error(run, "soft") for run in runs])) for runs in cases]
        weights = [float(np.mean([run["probs"] for run in runs])) for runs in cases]
        same_error.append(np.ptp(errors) <= POINT)
        same_weight.append(np.ptp(weights) <= WEIGHT)
        texts.append(
            f"{title}: error {', '.join(f'{e:.1f}' for e in errors)} %, mean weight at the end "
            f"{', '.join(f'{w:.2f}' for w in weights)}"
        )
    everything = all(same_error) and all(same_weight)
    verdict = "holds" if everything else "holds in part" if all(same_error) else "does not hold"
    return f"starts 0, 0.5, 1. {'; '.join(texts)}", verdict


def sigmoid_learns_faster(found: Results) -> tuple[str, str]:
    """Holds if after a third of the epochs ``w`` has 1.5 times the training loss of ``sigmoid(w)`` with every seed.

    In part if it has more with every seed.
    """
    losses = {
        method: np.array([-run["log_prob"][len(run["log_prob"]) // 3 - 1] for run in runs])
        for method in ("sigmoid", "linear")
        if (runs := of(found, "gates", method=method, price=0.0))
    }
    ratio = losses["linear"] / losses["sigmoid"]
    text = (
        f"training loss after a third of the epochs, nats a point: w {over(losses['linear'], 3)}, sigmoid(w) "
        f"{over(losses['sigmoid'], 3)}"
    )
    return text, "holds" if min(ratio) >= SLOWER else "holds in part" if min(ratio) > 1 else "does not hold"


def max_beats_sum(found: Results) -> tuple[str, str]:
    """Holds if the maximum has the larger test log-likelihood with every seed; in part if in the mean."""
    runs = {merge: late(found, merge) for merge in ("max", "sum", "squeeze", "concat")}
    values = {merge: np.array([run["mixture"]["log_likelihood"] for run in each]) for merge, each in runs.items()}
    gains = values["max"] - values["sum"]
    texts = [f"{m} {over(v, 2)} ({np.mean([error(r) for r in runs[m]]):.1f} %)" for m, v in values.items()]
    text = f"test log-likelihood (error): {', '.join(texts)}; {len(gains)} seeds"
    return text, "holds" if min(gains) > 0 else "holds in part" if gains.mean() > 0 else "does not hold"


def alone_is_better(found: Results, methods: tuple[str, ...]) -> tuple[str, str]:
    """Holds if what is kept and trained alone beats all edges in the mean over searches.

    In part if most searches beat the cut weights and random graphs. Those that keep all edges or none say nothing.
    """
    runs = [run for method in methods for run in of(found, "retrain", method=method)]
    runs = [run for run in runs if 0 < sum(run["kept"]) < len(run["kept"])]
    if not runs:
        return "no search keeps some of the edges", "not judged"
    names = ("all", "alone", "cut", "random")
    scores = np.array([[log_likelihood(run[name]) for name in names] for run in runs])
    better = (scores[:, 1] > scores[:, 2]) & (scores[:, 1] > scores[:, 3])
    words = dict(zip(("all edges", "kept and trained alone", "cut", "random"), scores.mean(0), strict=True))
    text = (
        f"test log-likelihood, mean of {len(runs)} searches that keep "
        f"{np.mean([sum(run['kept']) for run in runs]):.1f} of {len(runs[0]['kept'])} edges: "
        f"{', '.join(f'{name} {value:.3f}' for name, value in words.items())}; better than cut and random in "
        f"{int(better.sum())}"
    )
    beats = scores[:, 1].mean() > scores[:, 0].mean()
    return text, "holds" if beats else "holds in part" if better.mean() > 0.5 else "does not hold"


def exact_is_tighter(found: Results) -> tuple[str, str]:
    """Holds if the ELBO of exact gates is 40 nats above that of drawn ones with every seed; in part if in the mean."""
    texts, gains = [], []
    for price in (0.0, 20.0):
        exact, drawn = (of(found, "gates", method=method, price=price) for method in ("exact", "rloo"))
        gains += [one["elbo"] - other["elbo"] for one, other in zip(exact, drawn, strict=True)]
        bounds = [over([run["elbo"] for run in runs], 0) for runs in (exact, drawn)]
        texts.append(f"price {price:g}: {bounds[0]} and {bounds[1]}")
    slow = [np.mean([run["elbo"] for run in of(found, "gates", method=f"{name}_slow")]) for name in ("exact", "rloo")]
    text = (
        f"ELBO of exact and drawn gates, nats, {'; '.join(texts)} (differences from {min(gains):.0f}); at half the "
        f"rate, price 20: {slow[0]:.0f} and {slow[1]:.0f}"
    )
    return text, "holds" if min(gains) >= NATS else "holds in part" if np.mean(gains) >= NATS else "does not hold"


def early_price_closes(found: Results) -> tuple[str, str]:
    """Holds if for every merge a guide that waits has 10 points less error and twice the open edges.

    In part if for one.
    """
    texts, collapsed = [], []
    for merge in ("squeeze", "concat", "max", "sum"):
        early, waits = of(found, "merges", merge=merge, method="rloo", guide_from=0), late(found, merge)
        errors = [float(np.mean([error(run) for run in runs])) for runs in (early, waits)]
        opened = [float(np.mean([run["open"] for run in runs])) for runs in (early, waits)]
        collapsed.append(errors[0] - errors[1] >= POINTS and 2 * opened[0] <= opened[1])
        texts.append(f"{merge} {opened[0]:.1f} and {opened[1]:.1f} edges, {errors[0]:.0f} and {errors[1]:.0f} %")
    verdict = "holds" if all(collapsed) else "holds in part" if any(collapsed) else "does not hold"
    return f"open edges and error, guide from epoch 0 and from the middle: {'; '.join(texts)}", verdict


def not_measured(found: Results) -> tuple[str, str]:
    """The library has averaging to the smallest map alone, and one gate for an edge."""
    return "maps are averaged to the smallest, and an edge has one gate", "not judged"


def _sigmoid(found: Results) -> list[tuple[str, list[Result]]]:
    """Return the runs with sigmoid weights on both data sets."""
    images = of(found, "images", method="sigmoid")
    return [("digits", of(found, "gates", method="sigmoid", price=20.0)), ("CIFAR-10", images)]


Judge = Callable[[Results], tuple[str, str]]
CLAIMS: tuple[tuple[str, Judge], ...] = (
    ("sigmoid weights on connections are biased towards 0 or 1", sigmoid_decides),
    ("sigmoid weights prune connections that are not wanted", sigmoid_prunes),
    ("sigmoid weights always converge in the same manner (asked)", partial(same_pattern, method="sigmoid")),
    ("how the weights start (0, 0.5, 1) has no effect", start_does_not_matter),
    ("without the sigmoid convergence is horribly slow", sigmoid_learns_faster),
    (
        "the larger weights alone, from the start, do better (asked)",
        partial(alone_is_better, methods=("sigmoid",)),
    ),
    ("max is a better merge than a sum", max_beats_sum),
    ("averaging to the smallest map wins; the interpolation does not matter; weights of each feature", not_measured),
    ("ours: exact gates converge in the same manner", partial(same_pattern, method="exact")),
    ("ours: drawn gates converge in the same manner", partial(same_pattern, method="rloo")),
    ("ours: what gates keep does better alone", partial(alone_is_better, methods=("exact", "rloo"))),
    ("ours: the exact sum is worth 40 nats and more against four draws", exact_is_tighter),
    ("ours: with a price, a guide that moves from the start closes what is needed", early_price_closes),
)
