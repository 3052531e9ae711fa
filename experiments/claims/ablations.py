"""What the paper did not ask: does the guide lag, and does a larger step help? How much does the prior matter?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from experiments.claims.parts import by, exact_depth, listed
from experiments.figures.parts import NAMES, Get, Results, chosen_depth, score, select


@dataclass(frozen=True)
class Ablation:
    """A question of our own.

    Attributes:
        question: The question.
        experiments: Whose results answer it.
        answer: Takes the results of each, and returns the answer in words and numbers.
        partial: Whether a part of the settings is enough.
    """

    question: str
    experiments: tuple[str, ...]
    answer: Callable[..., str]
    partial: bool = True


def lag(found: Results) -> str:
    """Return the gap after 1,000 and after all epochs, and what was chosen, for each learning rate of the guide."""
    lines = []
    for result in sorted(found, key=lambda r: (r["settings"]["num_points"], r["guide_lr_factor"])):
        epochs = [state["epoch"] for state in result["repeats"][0]["states"]]
        last = len(epochs) - 1
        middle = next(i for i, epoch in enumerate(epochs) if epoch >= 1000 or i == last)
        size = round(result["settings"]["num_points"] * result["settings"]["train_fraction"])
        gaps = [listed([result], _state(index, "gap"), 2) for index in (middle, last)]
        depths = [listed([result], _state(last, name)) for name in ("chosen_depth", "chosen_depth_exact")]
        lines.append(
            f"N = {size:,}, guide's learning rate x {result['guide_lr_factor']}: gap {gaps[0]} nats after "
            f"{epochs[middle]:,} epochs, {gaps[1]} after {epochs[last]:,}; chosen depth {depths[0]}, of the exact "
            f"posterior {depths[1]}; test log-likelihood {listed([result], score('log_likelihood'), 3)}, ECE "
            f"{listed([result], score('ece'), 1, percent=True)} %"
        )
    return ".<br>".join(lines)


def twice_as_deep(learnt: Results) -> str:
    """Return the gap and both chosen depths at each max depth."""
    ordered = by(learnt, "max_depth")
    depths = ", ".join(str(r["settings"]["max_depth"]) for r in ordered)
    return (
        f"gap {listed(ordered, _gap, 2)} nats for D = {depths}; mode of q {listed(ordered, chosen_depth('argmax'))}, "
        f"of the exact posterior {listed(ordered, exact_depth)}"
    )


def prior(found: Results) -> str:
    """Return what is chosen under each decay of the prior."""
    names = ", ".join(
        result["settings"]["prior"].removeprefix("Geometric(decay=").removesuffix(")") for result in found
    )
    return (
        f"chosen depth (rule 95) {listed(found, chosen_depth('95'))} for decay {names}; mode of the exact posterior "
        f"{listed(found, exact_depth)}; test error {listed(found, score('error'), 1, percent=True)} %"
    )


def head_statistics(calibration: Results) -> str:
    """Return accuracy, log-likelihood, ECE and chosen depth with both kinds of head statistics."""
    lines = []
    for name in dict.fromkeys(r["settings"]["data"] for r in calibration):
        cells = []
        for kind, label in (("per_depth", "for each depth"), ("shared", "shared")):
            found = select(calibration, "calibration", data=name, readout="all", head_statistics=kind)
            cells.append(
                f"{label}: error {listed(found, score('error'), 1, percent=True)} %, log-likelihood "
                f"{listed(found, score('log_likelihood'), 3)}, ECE {listed(found, score('ece'), 1, percent=True)} %, "
                f"depth {listed(found, chosen_depth('95'))}"
            )
        lines.append(f"{NAMES[name]}, statistics {'; '.join(cells)}")
    return ".<br>".join(lines)


def _state(index: int, name: str) -> Get:
    return lambda repeat: repeat["states"][index][name]


def _gap(repeat: dict[str, Any]) -> float:
    return repeat["posterior"]["evidence_gap"]


ABLATIONS = [
    Ablation("Does the guide prefer other depths than the exact posterior?", ("max_depth",), twice_as_deep),
    Ablation("Does the guide lag, and does a larger learning rate of its own help? (D = 20)", ("guide_lag",), lag),
    Ablation("How much does the prior's decay matter? (spirals, D = 20)", ("prior_decay",), prior),
    Ablation("Head statistics for each depth, or shared?", ("calibration",), head_statistics, partial=False),
]
