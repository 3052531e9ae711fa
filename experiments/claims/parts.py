"""Claims and findings, and the numbers that they share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata

from experiments.engine.runner import results
from experiments.figures.parts import Get, Result, Results, spread

Verdict = Literal["holds", "holds in part", "does not hold", "not run"]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        figure: Its figure.
        text: What the figure claims.
        experiments: Whose results decide.
        judge: Takes the results of each, and returns what was found and the verdict.
    """

    figure: str
    text: str
    experiments: tuple[str, ...]
    judge: Callable[..., tuple[str, Verdict]]


def load(name: str) -> Results:
    """Return the committed results of an experiment: of the paper's sizes, else of the form for a CPU."""
    return results(name) or results(name, "cpu")


def finding(claim: Claim) -> tuple[str, Verdict]:
    """Return what was found about a claim, and the verdict.

    Args:
        claim: The claim.
    """
    found = [load(name) for name in claim.experiments]
    return claim.judge(*found) if all(found) else ("no results", "not run")


def seconds(experiments: Sequence[str]) -> float:
    """Return how long the committed results of some experiments took to make."""
    return sum(result["seconds"] for name in experiments for result in load(name))


def means(found: Sequence[Result], get: Get) -> np.ndarray:
    """Return the mean over the repeats of each result."""
    return spread(found, get)[0]


def listed(found: Sequence[Result], get: Get, digits: int = 1, percent: bool = False) -> str:
    """Return mean and standard deviation of each result in words, ``4.5 ± 0.5, 7.0 ± 1.7``."""
    factor = 100 if percent else 1
    pairs = zip(*spread(found, get), strict=True)
    return ", ".join(f"{factor * m:.{digits}f} ± {factor * s:.{digits}f}" for m, s in pairs)


def by(found: Results, name: str) -> list[Result]:
    """Return results in the order of a setting."""
    return sorted(found, key=lambda result: result["settings"][name])


def rank_correlation(x: Any, y: Any) -> float:
    """Return Spearman's rank correlation; 0 where ``y`` is constant."""
    ranks = [rankdata(values) for values in (x, y)]
    return 0.0 if np.ptp(y) == 0 else float(np.corrcoef(*ranks)[0, 1])


def exact_depth(repeat: dict[str, Any]) -> float:
    """Return the mode of the exact posterior of a repeat."""
    return repeat["posterior"]["chosen_depth_exact"]["argmax"]
