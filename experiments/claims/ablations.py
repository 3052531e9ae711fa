"""What the paper did not ask: does the guide lag, and what helps? How much do prior and head statistics matter?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import getitem

from experiments.claims.parts import at_largest, by, exact_depth, listed
from experiments.figures.parts import NAMES, Get, Result, Results, chosen_depth, data_sets, score, select

Rows = list[tuple[str, ...]]
SCORES = ("test log-likelihood", "test error, %", "ECE, %")


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
    gap: Get = lambda repeat: repeat["posterior"]["evidence_gap"]  # noqa: E731
    return [
        (
            str(r["settings"]["max_depth"]),
            listed([r], gap, 2),
            listed([r], chosen_depth("argmax")),
            listed([r], exact_depth),
        )
        for r in by(learnt, "max_depth")
    ]


def lag(found: Results) -> Rows:
    """Return the gap after 1,000 and after all epochs, and what was chosen, for each learning rate of the guide."""
    rows = []
    for result in sorted(found, key=lambda r: (r["settings"]["num_points"], r["guide_lr_factor"])):
        epochs = [state["epoch"] for state in result["repeats"][0]["states"]]
        middle = next(i for i, epoch in enumerate(epochs) if epoch >= 1000 or i == len(epochs) - 1)
        size = round(result["settings"]["num_points"] * result["settings"]["train_fraction"])
        gaps = [listed([result], _state(index, "gap"), 2) for index in (middle, -1)]
        depths = [listed([result], _state(-1, name)) for name in ("chosen_depth", "chosen_depth_exact")]
        rows.append((f"{size:,}", f"x {result['guide_lr_factor']}", *gaps, *depths, *_scores(result, score)))
    return rows


def lag_on_images(found: Results) -> Rows:
    """Return gaps, depths and predictions at the end of training in each mode, for each rate of the guide."""
    rows = []
    for result in sorted(found, key=lambda r: r["guide_lr_factor"]):
        of_test = {(): score, ("recalibrated",): lambda measure: _state(-1, "recalibrated", "test", measure)}
        for name, mode in (("eval", ()), ("train", ("train_mode",)), ("eval, recalibrated", ("recalibrated",))):
            gap, exact = (listed([result], _state(-1, *mode, value), 1) for value in ("gap", "chosen_depth_exact"))
            scores = _scores(result, of_test[mode]) if mode in of_test else ("",) * len(SCORES)
            q = listed([result], _state(-1, "chosen_depth"))
            rows.append((f"x {result['guide_lr_factor']}", name, "q", gap, q, exact, *scores))
        closed = _scores(result, lambda measure: _state(-1, "recalibrated", "test_exact", measure))
        rows.append((f"x {result['guide_lr_factor']}", name, "exact posterior", "0", "", exact, *closed))
    return rows


def closed_form(spirals: Results, images: Results) -> Rows:
    """Return what changes where the exact posterior takes the guide's place after training."""
    cases = [("spirals, D = 20", r) for r in select(spirals, "max_depth", max_depth=20)]
    cases += [(f"{NAMES[r['settings']['data']]}, D = {r['settings']['max_depth']}", r) for r in at_largest(images)]
    rows = []
    for name, result in cases:
        exactly: Get = lambda repeat: repeat["posterior"]["chosen_depth_exact"]["95"]  # noqa: E731
        ours = _scores(result, score)
        theirs = _scores(result, lambda measure: score(measure, "exact_posterior"))
        rows.append((name, "q", listed([result], chosen_depth("95")), *ours))
        rows.append((name, "exact posterior", listed([result], exactly), *theirs))
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


def head_statistics(per_depth: Results, shared: Results, calibration: Results) -> Rows:
    """Return accuracy, log-likelihood, ECE and chosen depth with both kinds of head statistics at each max depth."""
    rows = []
    shared = [*shared, *(r for r in calibration if r["settings"]["head_statistics"] == "shared")]
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


def _state(index: int, *names: str) -> Get:
    return lambda repeat: reduce(getitem, names, repeat["states"][index])


ABLATIONS = [
    Ablation(
        "Does the guide prefer other depths than the exact posterior?",
        ("max_depth",),
        ("D", "gap, nats", "mode of q", "mode of the exact posterior"),
        twice_as_deep,
    ),
    Ablation(
        "Does the guide lag, and does a larger learning rate of its own help? (spirals, D = 20)",
        ("guide_lag",),
        (
            "N",
            "guide's learning rate",
            "gap after 1,000 epochs, nats",
            "gap after 8,000",
            "chosen depth",
            "of the exact posterior",
            *SCORES,
        ),
        lag,
    ),
    Ablation(
        "And with all of MNIST (N = 60,000)? In which mode?",
        ("image_guide_lag",),
        (
            "guide's learning rate",
            "batch norm",
            "prediction by",
            "gap, nats",
            "chosen depth",
            "of the exact posterior",
            *SCORES,
        ),
        lag_on_images,
        partial=False,
    ),
    Ablation(
        "What if the exact posterior takes the guide's place after training (its update in closed form)?",
        ("max_depth", "image_max_depth"),
        ("network", "weights of the depths", "depth (rule 95)", *SCORES),
        closed_form,
    ),
    Ablation(
        "How much does the prior's decay matter? (spirals, D = 20)",
        ("prior_decay",),
        ("decay", "depth (rule 95)", "mode of the exact posterior", *SCORES),
        prior,
    ),
    Ablation(
        "Head statistics for each depth, or shared?",
        ("image_max_depth", "image_shared_statistics", "calibration"),
        ("data", "D", "statistics", "depth (rule 95)", *SCORES),
        head_statistics,
    ),
]
