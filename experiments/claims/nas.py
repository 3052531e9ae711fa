"""What tables of architectures say: the posterior, guides and search, and the claims of the review of VIM-NAS.

The review is of Wang et al. 2021, "Learning Latent Architectural Distribution in Differentiable Neural Architecture
Search via Variational Information Maximization". Every verdict follows from the numbers by the rule in its function.
"""

from collections.abc import Callable

import numpy as np

from experiments.claims.parts import markdown
from experiments.figures.parts import Result, Results

DEPENDENT, CLOSE = 0.1, 0.01  # nats
UNSTABLE, ERRORS = 1.5, 2.0  # ratio of standard deviations; standard errors
ONE_INPUT, MANY_INPUTS = "generator of 1 input", "generator of 16 inputs"
EARLY_LOOK_UPS = (200, 500)


def _part(found: Results, part: str) -> dict[str, Result]:
    return {r["settings"]["of"]: r for r in found if r["settings"]["part"] == part}


def posterior_table(found: Results) -> str:
    """Return the exact posteriors over cells in Markdown.

    Args:
        found: The results of ``nas_tables``.
    """
    heads = ["data", "n", "entropy", "total correlation", "largest pair", "expected accuracy, %", "best cell", "KL"]
    lines = []
    for name, result in _part(found, "posterior").items():
        for row in result["rows"]:
            pair = f"{row['largest_pair']:.3f} ({', '.join(row['pair'])})"
            cells = [name, f"{row['n']:,}", f"{row['entropy']:.2f}", f"{row['total_correlation']:.3f}", pair]
            best = f"{100 * row['best_accuracy']:.2f} %, p = {row['best_probability']:.3f}"
            lines.append([*cells, f"{100 * row['accuracy']:.2f}", best, f"{row['mean_field_kl']:.3f}"])
    return markdown(heads, lines)


def guides_table(found: Results) -> str:
    """Return how close guides come to the exact posterior in Markdown: best and worst of their starts.

    Args:
        found: The results of ``nas_tables``.
    """
    guides = _part(found, "guide")
    points = [row["n"] for row in next(iter(guides.values()))["rows"]] if guides else []
    columns = ("KL, n = {:,}", "lr", "after 100 steps", "total correlation of q")
    heads = ["guide", "parameters", *(head.format(n) for n in points for head in columns)]
    lines = []
    for name, result in guides.items():
        cells = [name, str(result["rows"][0]["parameters"])]
        for row in result["rows"]:
            early = np.mean(row["kl_early"].get("100", row["kl"]))
            cells += [
                f"{min(row['kl']):.3f} to {max(row['kl']):.3f}",
                str(row["lr"]),
                f"{early:.2f}",
                f"{row['total_correlation']:.3f}",
            ]
        lines.append(cells)
    return markdown(heads, lines)


def search_table(found: Results) -> str:
    """Return the regrets of searches in Markdown, points of accuracy, mean ± standard deviation over seeds.

    Args:
        found: The results of ``nas_tables``.
    """
    searches = _part(found, "search")
    marks = next(iter(searches.values()))["look_ups"] if searches else []
    lines = []
    for name, result in searches.items():
        named, seen = (100 * np.array(result["regret"][kind]) for kind in ("named", "seen"))
        cells = [f"{a.mean():.2f} ± {a.std(ddof=1):.2f} ({b.mean():.2f})" for a, b in zip(named.T, seen.T, strict=True)]
        lines.append([name, str(result["lr"] or ""), *cells])
    return markdown(["search", "lr", *(f"{mark:,} look-ups" for mark in marks)], lines)


def depth_tables(found: Results) -> str:
    """Return the posteriors of the depth of NAS-Bench-Macro in Markdown.

    Args:
        found: The results of ``nas_tables``.
    """
    tables = []
    for result in _part(found, "depth").values():
        for key, first in (("posterior", "prior"), ("first_layers", "block")):
            rows = sorted(result[key], key=lambda row: row[first])
            size = len(rows[0]["q"])
            heads = [first, "n", *map(str, range(size)), "mean", "mode", "rule 95"]
            lines = []
            for row in rows:
                cells = [row[first], f"{row['n']:,}", *(f"{q:.3f}" for q in row["q"])]
                lines.append([*cells, f"{row['mean']:.2f}", str(row["mode"]), str(row["chosen_depth"])])
            tables.append(markdown(heads, lines))
    return "\n\n".join(tables)


def edges_are_dependent(found: Results) -> tuple[str, str]:
    """Holds if the total correlation is at least 0.1 nats on every data set for both n; in part if for some."""
    texts, values = [], []
    points = _guide_points(found)
    for name, result in _part(found, "posterior").items():
        rows = [row for row in result["rows"] if row["n"] in points]
        values += [row["total_correlation"] for row in rows]
        texts.append(f"{name} " + ", ".join(f"{r['total_correlation']:.2f} of {r['entropy']:.2f}" for r in rows))
    above = [value >= DEPENDENT for value in values]
    words = f"total correlation of an entropy, nats, for n = {', '.join(map(str, points))}: {'; '.join(texts)}"
    return words, "holds" if all(above) else "holds in part" if any(above) else "does not hold"


def generator_has_dependence(found: Results) -> tuple[str, str]:
    """Holds if the generator with one input is 0.01 nats closer than the mean field; in part if that with 16 is."""
    mean_field = {row["n"]: row["mean_field_kl"] for row in _part(found, "posterior")["cifar10"]["rows"]}
    guides, gains, texts = _part(found, "guide"), {}, []
    for name in (ONE_INPUT, MANY_INPUTS):
        best = {row["n"]: min(row["kl"]) for row in guides[name]["rows"]}
        gains[name] = all(mean_field[n] - kl > CLOSE for n, kl in best.items())
        texts.append(f"{name} {', '.join(f'{kl:.3f}' for kl in best.values())}")
    points = _guide_points(found)
    own = ", ".join(f"{mean_field[n]:.3f}" for n in points)
    words = (
        f"KL to the exact posterior, nats, for n = {', '.join(map(str, points))}: mean field {own}; {'; '.join(texts)}"
    )
    return words, "holds" if gains[ONE_INPUT] else "holds in part" if gains[MANY_INPUTS] else "does not hold"


def blocks_matter(found: Results) -> tuple[str, str]:
    """Holds if one block is unstable and five are slow, in part if one of the two is so.

    Unstable: a spread over seeds 1.5 times that of two blocks, at the end. Slow: two standard errors more regret than
    two blocks after 200 look-ups.
    """
    one, two, five = (_named(found, ONE_INPUT + end) for end in (" with one block", "", " with five blocks"))
    spreads = [regret[:, -1].std(ddof=1) for regret in (one, two, five)]
    column = _look_ups(found).index(EARLY_LOOK_UPS[0])
    unstable, slow = spreads[0] >= UNSTABLE * spreads[1], _more(five[:, column], two[:, column])
    early = ", ".join(f"{regret[:, column].mean():.2f}" for regret in (one, two, five))
    words = (
        f"regret of the cell named, points, one, two and five blocks: after {EARLY_LOOK_UPS[0]} look-ups {early}; "
        f"spread over seeds after {_look_ups(found)[-1]:,} look-ups {', '.join(f'{s:.2f}' for s in spreads)}"
    )
    return words, "holds" if unstable and slow else "holds in part" if unstable or slow else "does not hold"


def point_estimate_is_slower(found: Results) -> tuple[str, str]:
    """Holds if without noise the regret after 200 or 500 look-ups is larger by two standard errors."""
    without, with_noise = (_named(found, ONE_INPUT + end) for end in ("", " with noise"))
    columns = [_look_ups(found).index(mark) for mark in EARLY_LOOK_UPS]
    slower = any(_more(without[:, c], with_noise[:, c]) for c in columns)
    texts = [f"{without[:, c].mean():.2f} without noise and {with_noise[:, c].mean():.2f} with it" for c in columns]
    marks = " and ".join(map(str, EARLY_LOOK_UPS))
    words = f"regret of the cell named, points, after {marks} look-ups: {'; '.join(texts)}"
    return words, "holds" if slower else "does not hold"


def one_epoch_is_enough(found: Results) -> tuple[str, str]:
    """A table has accuracies of finished networks: there is no epoch in it."""
    return "a table has neither weights nor batches: it says how many look-ups, not how many epochs", "not judged"


CLAIMS: tuple[tuple[str, Callable[[Results], tuple[str, str]]], ...] = (
    ("operations on different edges depend on each other", edges_are_dependent),
    ("a network that generates the distribution models this dependence", generator_has_dependence),
    ("the search converges in one epoch", one_epoch_is_enough),
    ("one block converges unstably, five blocks slowly", blocks_matter),
    ("a point estimate of the logits, without noise, converges more slowly", point_estimate_is_slower),
)


def review_table(found: Results) -> str:
    """Return the claims of the review of VIM-NAS with findings and verdicts in Markdown.

    Args:
        found: The results of ``nas_tables``.
    """
    return markdown(
        ["claim of the review", "on the table", "verdict"], [[text, *judge(found)] for text, judge in CLAIMS]
    )


def _guide_points(found: Results) -> list[int]:
    return [row["n"] for row in next(iter(_part(found, "guide").values()))["rows"]]


def _look_ups(found: Results) -> list[int]:
    return next(iter(_part(found, "search").values()))["look_ups"]


def _named(found: Results, name: str) -> np.ndarray:
    """Return the regrets of the cells that a search names, points, ``(seeds, look-ups)``."""
    return 100 * np.array(_part(found, "search")[name]["regret"]["named"])


def _more(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether a mean is larger by so many standard errors of the difference."""
    error = np.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    return bool(one.mean() - other.mean() > ERRORS * error)
