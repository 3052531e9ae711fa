"""The claims of figures 4 and 9 to 11, on images."""

from typing import Any

import numpy as np

from experiments.claims.parts import PLOTTED, Claim, Verdict, at_largest, by, listed, means, standard_error
from experiments.figures.parts import (
    NAMES,
    Result,
    Results,
    chosen_depth,
    data_sets,
    expected_depth,
    score,
    size_of,
    spread,
)

# A tenth of a point of error, which few test images decide.
NOTHING = 0.001
# How much faster pruned networks were in the paper (section 3.2).
PAPER_SAVES = {"1x28x28": {"MNIST": 0.62, "Fashion-MNIST": 0.41}, "3x32x32": {"SVHN": 0.37}}
PRUNED = score("error", "pruned", "95")


def complexity(learnt: Results) -> tuple[str, Verdict]:
    """Holds if the expected depth grows with the data sets' difficulty, by two standard errors, at the largest D."""
    found = at_largest(learnt)
    errors = ", ".join(f"{_name(r)} {listed([r], score('error'), 1, percent=True)} %" for r in found)
    names = ", ".join(map(_name, found))
    text = (
        f"{size_of(found[0])}: expected depth {listed(found, expected_depth)} for {names}; largest q "
        f"{listed(found, _largest_probability, 3)} (uniform: {1 / (1 + found[0]['settings']['max_depth']):.3f}); "
        f"error {errors}"
    )
    depths, margins = means(found, expected_depth), [standard_error(r, expected_depth) for r in found]
    rises = [b - a > 2 * np.hypot(x, y) for a, b, x, y in zip(depths, depths[1:], margins, margins[1:], strict=False)]
    return text, "holds" if all(rises) else "holds in part" if any(rises) else "does not hold"


def pruning_is_free(learnt: Results) -> tuple[str, Verdict]:
    """Holds if pruning by "95" removes blocks and costs at most a tenth of a point of error, on every data set."""
    found = at_largest(learnt)
    cost = means(found, lambda repeat: PRUNED(repeat) - score("error")(repeat))
    lines = [
        f"{_name(r)} {listed([r], score('error'), 2, percent=True)} % before, "
        f"{listed([r], PRUNED, 2, percent=True)} % after (depth {listed([r], chosen_depth('95'))})"
        for r in found
    ]
    free = (cost <= NOTHING) & (means(found, chosen_depth("95")) < found[0]["settings"]["max_depth"])
    verdict: Verdict = "holds" if free.all() else "holds in part" if free.any() else "does not hold"
    return f"{size_of(found[0])}: " + "; ".join(lines), verdict


def deeper_with_more_blocks(learnt: Results) -> tuple[str, Verdict]:
    """Holds if the expected depth grows from each D above 0 to the next, on every data set."""
    lines, grows = [], []
    for name in data_sets(learnt):
        found = by([r for r in learnt if r["settings"]["data"] == name and r["settings"]["max_depth"] > 0], "max_depth")
        depths = ", ".join(str(r["settings"]["max_depth"]) for r in found)
        lines.append(f"{NAMES[name]}: {listed(found, expected_depth)} for D = {depths}")
        grows.append(bool((np.diff(means(found, expected_depth)) > 0).all()))
    verdict: Verdict = "holds" if all(grows) else "holds in part" if any(grows) else "does not hold"
    return "; ".join(lines), verdict


def less_confident(calibration: Results) -> tuple[str, Verdict]:
    """Holds if plain networks are over-confident everywhere, and learnt depth less so but on MNIST."""
    lines, right = [], []
    for name in data_sets(calibration):
        plain, ours, shared = _networks(calibration, name)
        over = [_over_confidence(result) for result in (plain, ours, shared)]
        lines.append(
            f"{NAMES[name]}: confidence above accuracy by {', '.join(f'{100 * v:+.1f}' for v in over)} points (plain, "
            f"learnt, learnt with shared statistics), ECE {_percent((plain, ours, shared), 'ece')} %, that of the "
            f"paper's code {_percent((plain, ours, shared), 'paper_ece')} %"
        )
        right += [over[0] > 0] if name == "mnist" else [over[0] > 0, abs(over[1]) < over[0]]
    verdict: Verdict = "holds" if all(right) else "holds in part" if any(right) else "does not hold"
    return f"{size_of(calibration[0])}: {'; '.join(lines)}", verdict


def under_confident(calibration: Results) -> tuple[str, Verdict]:
    """Holds if learnt depth with the paper's shared statistics is under-confident on MNIST, and without them too."""
    _, ours, shared = _networks(calibration, "mnist")
    gaps = [_over_confidence(result) for result in (ours, shared)]
    text = (
        f"{size_of(shared)}: confidence minus accuracy {100 * gaps[1]:+.1f} points with the paper's shared head "
        f"statistics (ECE {listed([shared], score('ece'), 1, percent=True)} %), {100 * gaps[0]:+.1f} with statistics "
        f"for each depth (ECE {listed([ours], score('ece'), 1, percent=True)} %)"
    )
    under = [gap < -0.005 for gap in gaps]
    return text, "holds" if all(under) else "holds in part" if any(under) else "does not hold"


def faster(times: Results) -> tuple[str, Verdict]:
    """Holds if the time of a pruned network is nearly proportional to its blocks (within a tenth at half of them)."""
    lines, near = [], []
    for image in dict.fromkeys(r["settings"]["image"] for r in times):
        found = {r["settings"]["depth"]: r["ms"] for r in times if r["settings"]["image"] == image}
        half, last = max(found) // 10 * 5, max(found)
        share = {name: found[half]["pruned"] / found[half][name] for name in ("plain", "all read-outs")}
        depths = sorted(found)
        shares = np.maximum.accumulate([found[d]["pruned"] / found[d]["all read-outs"] for d in depths])
        alike = [
            f"{np.interp(1 - saved, shares, depths):.0f} ({name}, {100 * saved:.0f} %)"
            for name, saved in PAPER_SAVES.get(image, {}).items()
        ]
        lines.append(
            f"{image} pixels: {half} of {last} blocks take {100 * share['plain']:.0f} % of a plain network's time and "
            f"{100 * share['all read-outs']:.0f} % of that with all read-outs; the paper's savings are those of "
            f"depth {', '.join(alike)} here"
        )
        near.append(abs(share["plain"] - half / last) <= 0.1)
    return "; ".join(lines), "holds" if all(near) else "holds in part" if any(near) else "does not hold"


def _largest_probability(repeat: dict[str, Any]) -> float:
    return max(repeat["posterior"]["q"])


def _name(result: Result) -> str:
    return NAMES[result["settings"]["data"]]


def _percent(networks: tuple[Result, ...], measure: str) -> str:
    return ", ".join(listed([result], score(measure), 1, percent=True) for result in networks)


def _networks(calibration: Results, name: str) -> tuple[Result, Result, Result]:
    """Return the plain network, learnt depth, and that with shared statistics, of a data set."""
    found: dict[tuple[str, str], Result] = {
        (r["settings"]["readout"], r["settings"]["head_statistics"]): r
        for r in calibration
        if r["settings"]["data"] == name
    }
    return found["last", "per_depth"], found["all", "per_depth"], found["all", "shared"]


def _over_confidence(result: Result) -> float:
    """Return mean confidence minus accuracy, mean over the repeats."""

    def gap(repeat: dict[str, Any]) -> float:
        table = repeat["reliability"]
        counts = np.array(table["counts"], dtype=float)
        confidence, accuracy = (
            np.array([0.0 if v is None else v for v in table[name]]) for name in ("confidence", "accuracy")
        )
        return float((counts * (confidence - accuracy)).sum() / counts.sum())

    return float(spread([result], gap)[0][0])


IMAGE_CLAIMS = [
    Claim(
        "4", "posterior mass grows and flattens at a depth that follows the data: MNIST < Fashion-MNIST < SVHN",
        "the chosen depths (section 3.2) have this order; D = 50: q is nearly flat, at most 0.055 (uniform: 0.020)",
        ("image_max_depth",), complexity, partial=False,
    ),
    Claim(
        "9", 'pruning by the rule "95" costs no accuracy',
        "none on Fashion-MNIST and SVHN; on MNIST high variance, in some cases a loss",
        ("image_max_depth",), pruning_is_free, partial=False,
    ),
    Claim(
        "9", "the expected depth grows with D", PLOTTED, ("image_max_depth",), deeper_with_more_blocks, partial=False,
    ),
    Claim(
        "10", "plain networks are over-confident, learnt depth less so",
        "plain networks over-confident on all three; learnt depth less so above 0.5, with lower ECE, on Fashion-MNIST "
        "and SVHN (the ECE of its code reads 9 to 11 % on calibrated predictions)",
        ("calibration",), less_confident, partial=False,
    ),
    Claim(
        "10", "learnt depth networks are under-confident on MNIST", "strongly above 0.5; worse than plain networks",
        ("calibration",), under_confident, partial=False,
    ),
    Claim(
        "11", "a pruned network is faster in proportion to its depth",
        "D = 50: 62, 41, 37 % faster on MNIST, Fashion-MNIST, SVHN, against all read-outs",
        ("forward_time",), faster, partial=False,
    ),
]  # fmt: skip
