"""Claims and findings, and the numbers that they share."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata

from experiments.engine.results import results
from experiments.figures.parts import Get, Result, Results, data_sets, spread
from pyro_vds.sweeps.grid import Form, Scan

FORMS: tuple[Form, ...] = ("paper", "cpu")
PLOTTED = "plotted only"
Verdict = Literal["holds", "holds in part", "does not hold", "not run"]


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        figure: Its figure.
        text: What the figure claims.
        reference: The numbers that the paper or its code give for it, in words; the paper's plots have more.
        experiments: Whose results decide.
        judge: Takes the results of each, and returns what was found and the verdict.
        partial: Whether a part of the settings is enough to judge by.
    """

    figure: str
    text: str
    reference: str
    experiments: tuple[str, ...]
    judge: Callable[..., tuple[str, Verdict]]
    partial: bool = True


def load(name: str) -> Results:
    """Return the committed results of an experiment: of the form, the paper's or that for a CPU, with more of them."""
    return max((results(name, form) for form in FORMS), key=len)


def progress(name: str) -> tuple[int, int]:
    """Return how many settings of an experiment are finished, and how many its form has."""
    scan: Scan = importlib.import_module(f"experiments.{name}").SCAN
    form = max(FORMS, key=lambda form: len(results(name, form)))
    return len(results(name, form)), len(scan.grid(form).points)


def enough(name: str, *, partial: bool) -> bool:
    """Return whether so many settings of an experiment are finished that its results can be used.

    Args:
        name: Its name.
        partial: Whether a part of them is enough.
    """
    done, total = progress(name)
    return done == total or (done > 0 and partial)


def finding(claim: Claim) -> tuple[str, Verdict]:
    """Return what was found about a claim, and the verdict.

    Args:
        claim: The claim.
    """
    for name in claim.experiments:
        if not enough(name, partial=claim.partial):
            done, total = progress(name)
            return f"{done} of {total} settings of `{name}` are finished", "not run"
    return claim.judge(*map(load, claim.experiments))


def seconds(experiments: Sequence[str]) -> float:
    """Return how long the committed results of some experiments took to make."""
    return sum(result["seconds"] for name in experiments for result in load(name))


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *lines))


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


def at_largest(learnt: Results) -> list[Result]:
    """Return the results of the largest max depth that every data set has, in the order of the data sets."""
    names = data_sets(learnt)
    depths = [{int(r["settings"]["max_depth"]) for r in learnt if r["settings"]["data"] == name} for name in names]
    return [r for r in learnt if r["settings"]["max_depth"] == max(set.intersection(*depths))]


def standard_error(result: Result, get: Get) -> float:
    """Return the standard error of the mean over the repeats; infinite for one."""
    values = [get(repeat) for repeat in result["repeats"]]
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else np.inf
