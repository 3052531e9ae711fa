"""What claims, tables and figure of ``connectivity`` share: results by their settings, and how alike seeds are."""

from itertools import combinations

import numpy as np

from experiments.figures.parts import Result, Results

TITLES = {
    "exact": "exact gates",
    "rloo": "drawn gates",
    "sigmoid": "sigmoid weights",
    "exact_slow": "exact gates, half the rate",
    "rloo_slow": "drawn gates, half the rate",
    "sigmoid_slow": "sigmoid weights, half the rate",
}


def of(found: Results, part: str, **settings: object) -> list[Result]:
    """Return the results of a part with some settings, by seed.

    Args:
        found: Results of ``connectivity``.
        part: The part.
        settings: Values of settings.
    """
    wanted = [
        result
        for result in found
        if result["settings"]["part"] == part and all(result["settings"][n] == v for n, v in settings.items())
    ]
    return sorted(wanted, key=lambda result: result["settings"]["seed"])


def over(values: list[float] | np.ndarray, digits: int = 1) -> str:
    """Return mean and standard deviation in words; of one value the value."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def error(result: Result, which: str = "mixture") -> float:
    """Return a test error in percent."""
    return 100 * result[which]["error"]


def correlations(results: list[Result]) -> list[float]:
    """Return the correlation of the edge probabilities of each pair of results; 0 where one's are all the same."""
    probs = [np.array(result["probs"]) for result in results]
    return [
        float(np.corrcoef(one, other)[0, 1]) if np.ptp(one) and np.ptp(other) else 0.0
        for one, other in combinations(probs, 2)
    ]


def r_hat(results: list[Result]) -> np.ndarray:
    """Return ``sqrt(1 + B / W)`` of each gate, with each seed as a chain of infinitely many draws.

    ``B`` is the variance of the edge's probability between seeds, ``W`` the mean variance of its gate within them.

    Args:
        results: Results of several seeds.
    """
    probs = np.array([result["probs"] for result in results])
    within, between = (probs * (1 - probs)).mean(0), probs.var(0, ddof=1)
    ratio = np.divide(between, within, out=np.where(between > 0, np.inf, 0.0), where=within > 0)
    return np.sqrt(1 + ratio)


def late(found: Results, merge: str) -> list[Result]:
    """Return the runs of a merge with drawn gates whose guide waits."""
    return [run for run in of(found, "merges", merge=merge, method="rloo") if run["settings"]["guide_from"]]


def log_likelihood(scores: dict[str, float] | list[dict[str, float]]) -> float:
    """Return the log-likelihood of a network, or the mean of several."""
    several = scores if isinstance(scores, list) else [scores]
    return float(np.mean([one["log_likelihood"] for one in several]))
