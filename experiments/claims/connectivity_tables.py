"""The tables of the experiment ``connectivity``: claims with verdicts, gates, starts, searches, merges and images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.claims.connectivity import CLAIMS
from experiments.claims.connectivity_parts import TITLES, correlations, error, log_likelihood, of, over, r_hat
from experiments.claims.parts import markdown
from experiments.figures.parts import Result, Results

MERGES = ("squeeze", "concat", "max", "sum")


def claims_table(found: Results) -> str:
    """Return the claims of the blog post with findings and verdicts.

    Args:
        found: Results of ``connectivity``.
    """
    return markdown(["claim", "found here", "verdict"], [[text, *judge(found)] for text, judge in CLAIMS])


def gates_table(found: Results) -> str:
    """Return bound, evidence and predictions of six gates by price and method, mean ± standard deviation over seeds.

    Args:
        found: Results of ``connectivity``.
    """
    heads = [
        "price", "gates", "seeds", "ELBO", "evidence", "gap", "test log-likelihood", "error, %", "mode: error, %",
        "open of 6", "decided", "R-hat", "smallest correlation",
    ]  # fmt: skip
    lines = []
    for price in (0.0, 20.0):
        for method in TITLES:
            runs = of(found, "gates", method=method, price=price)
            if runs:
                name = "soft" if method.startswith("sigmoid") else "mixture"
                pairs = correlations(runs)
                lines.append(
                    [
                        f"{price:g}",
                        TITLES[method],
                        str(len(runs)),
                        *(over([run[key] for run in runs], 0) for key in ("elbo", "evidence", "gap")),
                        over([run[name]["log_likelihood"] for run in runs], 3),
                        *(over([error(run, which) for run in runs]) for which in (name, "mode")),
                        over([run["open"] for run in runs]),
                        f"{np.mean([run['decided'] for run in runs]):.2f}",
                        *([f"{r_hat(runs).max():.2f}", f"{min(pairs):.2f}"] if pairs else ["", ""]),
                    ]
                )
    return markdown(heads, lines)


def starts_table(found: Results) -> str:
    """Return open edges, mean probability and error by start and method, of one seed.

    Args:
        found: Results of ``connectivity``.
    """
    methods = ("exact", "rloo", "sigmoid")
    starts = dict.fromkeys(run["settings"]["start"] for run in of(found, "start"))
    heads = ["start"] + [
        f"{TITLES[method]}: {what}" for method in methods for what in ("open", "mean probability", "error, %")
    ]
    lines = []
    for start in (0.0, *starts):
        cells = [f"{start:g}" if isinstance(start, float) else str(start)]
        for method in methods:
            part = of(found, "gates", method=method, price=20.0) if start == 0.0 else of(found, "start", method=method)
            runs = [run for run in part if run["settings"]["start"] == start][:1]
            which = "soft" if method == "sigmoid" else "mixture"
            cells += [cell for run in runs for cell in _start(run, which)]
        lines.append(cells)
    return markdown(heads, lines)


def _start(run: Result, which: str) -> list[str]:
    return [str(run["open"]), f"{np.mean(run['probs']):.2f}", f"{error(run, which):.1f}"]


def retrain_table(found: Results) -> str:
    """Return test log-likelihood and error of each search, cut, trained alone, of random graphs, and of all edges.

    Args:
        found: Results of ``connectivity``.
    """
    heads = ["search", "price", "seed", "kept", "searched", "cut", "trained alone", "random connected", "all edges"]
    return markdown(heads, [_search(run) for run in of(found, "retrain")])


def _search(run: Result) -> list[str]:
    settings = run["settings"]
    soft = settings["method"] == "sigmoid"
    cells = [TITLES[settings["method"]], "" if soft else f"{settings['price']:g}", str(settings["seed"])]
    cells += [f"{sum(run['kept'])} of {len(run['kept'])}", _scores(run["soft" if soft else "mixture"])]
    return cells + [_scores(run[name]) for name in ("cut", "alone", "random", "all")]


def _scores(scores: Any) -> str:
    """Return log-likelihood and error of a network, or the means of several; empty without any."""
    several: Sequence[dict[str, float]] = scores if isinstance(scores, list) else [scores]
    if not several:
        return ""
    return f"{log_likelihood(list(several)):.3f} / {100 * np.mean([one['error'] for one in several]):.1f} %"


def merges_table(found: Results) -> str:
    """Return parameters, bound, open edges and predictions by merge and by when the guide starts to move.

    Args:
        found: Results of ``connectivity``.
    """
    heads = ["merge", "gates", "guide from", "parameters", "ELBO", "open of 10", "test log-likelihood", "error, %"]
    lines = []
    for merge, method in (*((merge, "rloo") for merge in MERGES), ("squeeze", "exact")):
        part = of(found, "merges", merge=merge, method=method)
        for epoch in sorted({run["settings"]["guide_from"] for run in part}):
            runs = [run for run in part if run["settings"]["guide_from"] == epoch]
            scores = [run["mixture"] for run in runs]
            lines.append(
                [
                    merge,
                    TITLES[method],
                    f"epoch {epoch}",
                    f"{runs[0]['parameters']:,}",
                    over([run["elbo"] for run in runs], 0),
                    ", ".join(str(run["open"]) for run in runs),
                    over([one["log_likelihood"] for one in scores], 2),
                    ", ".join(f"{100 * one['error']:.1f}" for one in scores),
                ]
            )
    return markdown(heads, lines)


def images_table(found: Results) -> str:
    """Return what the blog's own experiment gives on CIFAR-10.

    Args:
        found: Results of ``connectivity``.
    """
    heads = [
        "gates", "start", "open of 21", "decided", "smallest and largest", "as trained", "open edges, same weights",
        "trained alone", "random connected", "all edges",
    ]  # fmt: skip
    lines = []
    for run in of(found, "images"):
        settings, probs = run["settings"], run["probs"]
        cells = [f"{TITLES[settings['method']]}, seed {settings['seed']}", f"{settings['start']:g}", str(run["open"])]
        cells += [f"{run['decided']:.2f}", f"{min(probs):.2f}, {max(probs):.2f}"]
        cells += [_scores(run["soft" if settings["method"] == "sigmoid" else "mixture"]), _scores(run["mode"])]
        lines.append(cells + [_scores(run.get(name, [])) for name in ("alone", "random", "all")])
    return markdown(heads, lines)
