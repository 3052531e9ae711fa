"""What the paper did not ask: does the guide lag, and what helps? How much do prior and head statistics matter?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from typing import Any

from experiments.claims.parts import at_largest, by, exact_depth, listed
from experiments.figures.parts import NAMES, Get, Result, Results, chosen_depth, data_sets, score

Rows = list[tuple[str, ...]]
SCORES = ("test log-likelihood", "test error, %", "ECE, %")
CHOSEN = ("chosen depth (95)", "of the exact posterior (95)")
EARLY = 1000


def _exactly(measure: str) -> Get:
    return score(measure, "exact_posterior")


@dataclass(frozen=True)
class Ablation:
    """A question of our own.

    Attributes:
        question: The question.
        experiments: Whose results answer it.
        columns: The head of the table that answers.
        rows: Takes the results of each, and returns the rows.
        partial: Whether a part of the settings is enough.
    """

    question: str
    experiments: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Callable[..., Rows]
    partial: bool = True


def twice_as_deep(learnt: Results) -> Rows:
    """Return the gap and both chosen depths at each max depth."""
    return [
        (
            str(r["settings"]["max_depth"]),
            listed([r], _gap, 2),
            listed([r], chosen_depth("argmax")),
            listed([r], exact_depth),
        )
        for r in by(learnt, "max_depth")
    ]


def lag(found: Results) -> Rows:
    """Return the gap after 1,000 epochs and at the best state, and what is chosen, for each rate of the guide."""
    rows = []
    for result in sorted(found, key=lambda r: r["guide_lr_factor"]):
        depths = [listed([result], _best(name)) for name in ("chosen_depth", "chosen_depth_exact")]
        gaps = [listed([result], get, 2) for get in (_early_gap, _best("gap"))]
        scores = _scores(result, _of_test("test"))
        rows.append((f"x {result['guide_lr_factor']}", *gaps, *depths, *scores))
    return rows


def lag_on_images(found: Results) -> Rows:
    """Return gaps, depths and predictions at the best state in each mode, for each rate of the guide."""
    rows = []
    for result in sorted(found, key=lambda r: r["guide_lr_factor"]):
        rate, q = f"x {result['guide_lr_factor']}", listed([result], _best("chosen_depth"))
        for name, mode in (("eval", ()), ("train", ("train_mode",)), ("eval, recalibrated", ("recalibrated",))):
            gap, exact = (listed([result], _best(*mode, value), 1) for value in ("gap", "chosen_depth_exact"))
            tested = mode != ("train_mode",)
            scores = _scores(result, _of_test(*mode, "test")) if tested else ("",) * len(SCORES)
            rows.append((rate, name, "q", gap, q, exact, *scores))
        exact = listed([result], _best("recalibrated", "chosen_depth_exact"))
        scores = _scores(result, _of_test("recalibrated", "test_exact"))
        rows.append((rate, "eval, recalibrated", "exact posterior", "0", "", exact, *scores))
    return rows


def closed_form(spirals: Results, images: Results) -> Rows:
    """Return what changes where the exact posterior takes the guide's place after training."""
    cases = [("spirals, D = 20", r) for r in spirals if r["settings"]["max_depth"] == 20]
    cases += [(f"{NAMES[r['settings']['data']]}, D = {r['settings']['max_depth']}", r) for r in at_largest(images)]
    rows = []
    for name, result in cases:
        rows.append((name, "q", listed([result], chosen_depth("95")), *_scores(result, score), ""))
        gain = listed([result], _gain, 3)
        rows.append((name, "exact posterior", listed([result], _chosen_exactly), *_scores(result, _exactly), gain))
    return rows


def prior(found: Results) -> Rows:
    """Return what is chosen under each decay of the prior."""
    return [
        (
            r["settings"]["prior"].removeprefix("Geometric(decay=").removesuffix(")"),
            listed([r], chosen_depth("95")),
            listed([r], exact_depth),
            *_scores(r, score),
        )
        for r in found
    ]


def head_statistics(per_depth: Results, shared: Results) -> Rows:
    """Return accuracy, log-likelihood, ECE and chosen depth with both kinds of head statistics at each max depth."""
    rows = []
    for name in data_sets(shared):
        kinds = {
            kind: {r["settings"]["max_depth"]: r for r in found if r["settings"]["data"] == name}
            for kind, found in (("for each depth", per_depth), ("shared", shared))
        }
        for depth in sorted(set.intersection(*map(set, kinds.values()))):
            rows += [
                (NAMES[name], str(depth), kind, listed([of[depth]], chosen_depth("95")), *_scores(of[depth], score))
                for kind, of in kinds.items()
            ]
    return rows


def _scores(result: Result, get: Callable[[str], Get]) -> tuple[str, ...]:
    """Return log-likelihood, error and ECE, the columns ``SCORES``."""
    likelihood = listed([result], get("log_likelihood"), 3)
    return likelihood, *(listed([result], get(measure), 1, percent=True) for measure in ("error", "ece"))


def _gap(repeat: dict[str, Any]) -> float:
    return repeat["posterior"]["evidence_gap"]


def _gain(repeat: dict[str, Any]) -> float:
    return _exactly("log_likelihood")(repeat) - score("log_likelihood")(repeat)


def _chosen_exactly(repeat: dict[str, Any]) -> float:
    return repeat["posterior"]["chosen_depth_exact"]["95"]


def _early_gap(repeat: dict[str, Any]) -> float:
    return next(state["gap"] for state in repeat["states"] if state["epoch"] == EARLY)


def _best(*names: str) -> Get:
    return lambda repeat: reduce(getitem, names, repeat["best"])


def _of_test(*names: str) -> Callable[[str], Get]:
    return lambda measure: _best(*names, measure)


ABLATIONS = [
    Ablation(
        "Spirals: does the guide prefer other depths than the exact posterior?",
        ("max_depth",),
        ("D", "gap, nats", "mode of q", "mode of the exact posterior"),
        twice_as_deep,
    ),
    Ablation(
        "Spirals: does the guide lag, and does a larger learning rate of its own help? (D = 20, N = 200)",
        ("guide_lag",),
        ("guide's learning rate", f"gap after {EARLY:,} epochs, nats", "at the best state", *CHOSEN, *SCORES),
        lag,
        partial=False,
    ),
    Ablation(
        "The same on all of MNIST, with batch norm in eval mode, in train mode, and recalibrated (N = 60,000)",
        ("image_guide_lag",),
        ("guide's learning rate", "batch norm", "prediction by", "gap, nats", *CHOSEN, *SCORES),
        lag_on_images,
        partial=False,
    ),
    Ablation(
        "What if the exact posterior takes the guide's place after training (its update in closed form)?",
        ("max_depth", "image_max_depth"),
        ("network", "weights of the depths", "chosen depth (95)", *SCORES, "log-likelihood gained, by pairs"),
        closed_form,
    ),
    Ablation(
        "How much does the prior's decay matter? (spirals, D = 20)",
        ("prior_decay",),
        ("decay", "chosen depth (95)", "mode of the exact posterior", *SCORES),
        prior,
    ),
    Ablation(
        "Head statistics for each depth, or shared?",
        ("image_max_depth", "image_shared_statistics"),
        ("data", "D", "statistics", "chosen depth (95)", *SCORES),
        head_statistics,
    ),
]
