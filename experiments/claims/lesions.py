"""The claims of Veit et al. 2016 about lesions and paths, and one of our own: the posterior predicts the lesions.

The rules were written before the runs of ``experiments.lesions`` were looked at, with the numbers of trial runs in
sight: two seeds on other images, and seed 100 on validation images. That for stochastic depth was made stricter after
the first table was read, before the plain network that it now compares with was run.

Damage is an error with a lesion minus that of the whole network, in points.
"""

from collections.abc import Callable, Sequence
from math import comb
from typing import Any

import numpy as np

from experiments.claims.parts import Claim, Verdict, rank_correlation
from experiments.figures.parts import Result, Results

# Ten classes: an error of 90 % is chance, 80 % nearly so, 45 % half of it.
NEARLY_CHANCE, HALF_OF_CHANCE = 80.0, 45.0
POINT = 1.0
SHARE = 0.95


def one_block_is_harmless(found: Results) -> tuple[str, Verdict]:
    """Holds if four blocks in five of the plain residual network cost at most a point; in part if they leave half."""
    runs = of(found, "plain")
    damage, errors = (np.array([get(r) for r in runs]) for get in (damages, single_errors))
    harmless, bearable = float((damage <= POINT).mean()), float((errors <= HALF_OF_CHANCE).mean())
    each = ", ".join(f"{error:.1f}" for error in errors.mean(0))
    text = (
        f"error {spread([intact(r) for r in runs])} %, with block 1 to {damage.shape[1]} deleted {each} % (means over "
        f"{len(runs)} seeds); {100 * harmless:.0f} % of the deletions cost at most a point, {100 * bearable:.0f} % "
        f"leave an error of at most {HALF_OF_CHANCE:.0f} %"
    )
    return text, "holds" if harmless >= 0.8 else "holds in part" if bearable >= 0.8 else "does not hold"


def no_skips_no_layer(found: Results) -> tuple[str, Verdict]:
    """Holds if every deletion leaves an error of at least 80 % without skips; in part if their mean does."""
    runs = of(found, "no_skips")
    errors = np.array([single_errors(r) for r in runs])
    text = (
        f"{errors.shape[1]} blocks without skips, error {spread([intact(r) for r in runs])} %; with one deleted "
        f"{errors.min():.1f} to {errors.max():.1f} %, mean {errors.mean():.1f} %"
    )
    every, mean = errors.min() >= NEARLY_CHANCE, errors.mean() >= NEARLY_CHANCE
    return text, "holds" if every else "holds in part" if mean else "does not hold"


def smooth_in_deletions(found: Results) -> tuple[str, Verdict]:
    """Holds if the error rises with each deletion, and no step is more than twice the mean step, for every seed."""
    lines, smooth = [], []
    for name, title in (("plain", "plain"), ("learnt", "learnt depth")):
        runs = of(found, name)
        means = np.array([percent(run["deleted"], last(run)) for run in runs])
        lines.append(f"{title} {', '.join(f'{e:.1f}' for e in means.mean(0))} %")
        if name == "plain":
            steps = np.diff(means)
            smooth = [bool(s.min() > 0 and s.max() <= 2 * s.mean()) for s in steps]
            lines[-1] += f" (largest step {steps.max():.1f}, mean step {steps.mean():.1f} points)"
    return f"mean error over all masks with 0, 1, 2, ... blocks deleted: {'; '.join(lines)}", verdict_of(smooth)


def smooth_in_reorderings(found: Results) -> tuple[str, Verdict]:
    """Holds if tau and error have a rank correlation of -0.8 or less for every seed; in part if the mean is -0.5."""
    correlations = {
        name: [rank_correlation(r["tau"], percent(r["reordered"], last(r))) for r in of(found, name)]
        for name in ("plain", "learnt", "stochastic_depth")
    }
    text = "rank correlation of Kendall's tau and error: " + ", ".join(
        f"{title} {spread(correlations[name], 2)}"
        for name, title in (("plain", "plain"), ("learnt", "learnt depth"), ("stochastic_depth", "stochastic depth"))
    )
    plain = correlations["plain"]
    verdict: Verdict = "holds" if max(plain) <= -0.8 else "holds in part" if np.mean(plain) <= -0.5 else "does not hold"
    return text, verdict


def exponential_in_length(found: Results) -> tuple[str, Verdict]:
    """Holds if a line explains 95 % of the variance of the log norms over the lengths, for every seed."""
    runs = of(found, "plain")
    logs = np.array([np.log(r["path_gradient"]) for r in runs])
    fits = [np.corrcoef(np.arange(len(row)), row)[0, 1] ** 2 for row in logs]
    factor = np.exp(-np.diff(logs).mean(1))
    text = (
        f"the norm of one path falls by a factor of {spread(factor)} for each block; a line explains "
        f"{100 * min(fits):.1f} to {100 * max(fits):.1f} % of the variance of its logarithm"
    )
    return text, verdict_of([bool(fit >= SHARE) for fit in fits])


def short_paths_carry_the_gradient(found: Results) -> tuple[str, Verdict]:
    """Holds if the shortest paths with 95 % of the gradient are less than half of all, for every seed.

    In part if the mean length, weighed by the gradient, is a fifth or more below that of all paths.
    """
    runs = of(found, "plain")
    longest, means, counts = zip(*[effective_paths(r["path_gradient"]) for r in runs], strict=True)
    blocks = len(runs[0]["path_gradient"]) - 1
    text = (
        f"{100 * SHARE:.0f} % of the gradient comes through paths of at most {spread(longest)} of {blocks} blocks, "
        f"{spread([100 * c for c in counts])} % of all paths; mean length {spread(means)}, of all paths {blocks / 2:g}"
    )
    fewer, shorter = max(counts) < 0.5, np.mean(means) <= 0.8 * blocks / 2
    return text, "holds" if fewer else "holds in part" if shorter else "does not hold"


def stochastic_depth_resists(found: Results) -> tuple[str, Verdict]:
    """Holds if 1 to 5 deletions cost less, in the mean over all masks, than in both plain networks, for every seed.

    They are one with fewer epochs and one with as many. In part if the means over the seeds are in this order.
    """
    runs = [of(found, "stochastic_depth"), of(found, "plain"), of(found, "plain", longer=True)]
    costs = [np.array([mean_damage(r) for r in each]) for each in runs]
    ones = [np.mean([damages(r).mean() for r in each]) for each in runs]
    titles = ("stochastic depth", "the plain network", "the plain network trained as long")
    text = "; ".join(
        f"{title}: error {spread([intact(r) for r in each])} %, 1 to 5 deleted blocks cost {spread(cost)} points, one "
        f"{one:.1f}"
        for title, each, cost, one in zip(titles, runs, costs, ones, strict=True)
    )
    better = [cost > costs[0] for cost in costs[1:]]
    in_part = costs[0].mean() < min(cost.mean() for cost in costs[1:])
    return text, "holds" if np.all(better) else "holds in part" if in_part else "does not hold"


def posterior_predicts_lesions(found: Results) -> tuple[str, Verdict]:
    """Holds if mass and damage agree, and what lies above the chosen depth can go, for every seed.

    They agree if the rank correlation of ``q(depth >= i)`` and the damage of block ``i`` to the marginal prediction is
    0.8 or more; all blocks above the chosen depth can go if that costs at most a point. In part: one of both. The mass
    falls with the number of the block, whatever the network, so the same correlation is given for the plain network
    with the block's number in place of the mass.
    """
    runs, plain = of(found, "learnt"), of(found, "plain")
    correlations = [rank_correlation(r["mass_above"], damages(r, "marginal")) for r in runs]
    above = [100 * (r["prefix"]["error"][r["chosen_depth"]] - r["prefix"]["error"][-1]) for r in runs]
    worst = [damages(r, "marginal")[r["chosen_depth"] :].max(initial=0.0) for r in runs]
    depths = [r["chosen_depth"] for r in runs]
    needed = sum(int((damages(r, "marginal")[: r["chosen_depth"]] > POINT).sum()) for r in runs)
    by_number = [rank_correlation(-np.arange(len(damages(r))), damages(r)) for r in plain]
    text = (
        f"rank correlation {spread(correlations, 2)} (plain network, by the number of the block: "
        f"{spread(by_number, 2)}); all blocks above the chosen depth ({', '.join(map(str, depths))}) deleted cost "
        f"{spread(above, 2)} points, at most {max(above):.1f}, the worst one of them alone at most {max(worst):.1f}; "
        f"of the {sum(depths)} blocks up to it {needed} cost more than a point each"
    )
    agree, free = min(correlations) >= 0.8, max(above) <= POINT
    return text, "holds" if agree and free else "holds in part" if agree or free else "does not hold"


def plain_networks_use_every_block(found: Results) -> tuple[str, Verdict]:
    """Holds if blocks above the chosen depth cost more in the plain network than with learnt depth, for every seed."""
    learnt, plain = of(found, "learnt"), of(found, "plain")
    ours, theirs = (
        [damages(r, case)[one["chosen_depth"] :].mean() for r, one in zip(runs, learnt, strict=True)]
        for runs, case in ((learnt, "marginal"), (plain, "last"))
    )
    text = (
        f"one block above the chosen depth deleted costs {spread(theirs, 2)} points in the plain network, "
        f"{spread(ours, 2)} with learnt depth"
    )
    return text, verdict_of([bool(a < b) for a, b in zip(ours, theirs, strict=True)])


def of(found: Results, network: str, *, longer: bool = False) -> list[Result]:
    """Return the results of a network in the order of the seeds, with its fewest epochs or with more."""
    runs = [r for r in found if r["settings"]["network"] == network]
    fewest = min(r["settings"]["max_epochs"] for r in runs)
    kept = [r for r in runs if (r["settings"]["max_epochs"] > fewest) == longer]
    return sorted(kept, key=lambda r: r["settings"]["seed"])


def last(result: Result) -> str:
    """Return the prediction that a network is judged by: its marginal if it has one."""
    return "marginal" if "marginal" in result["intact"] else "last"


def percent(part: dict[str, Any], prediction: str) -> np.ndarray:
    """Return errors in percent."""
    return 100 * np.array(part[prediction]["error"], dtype=float)


def intact(result: Result) -> float:
    """Return the error of the whole network in percent."""
    return float(percent(result["intact"], last(result)))


def single_errors(result: Result) -> np.ndarray:
    """Return the error in percent with each block deleted."""
    return percent(result["single"], last(result))


def damages(result: Result, prediction: str | None = None) -> np.ndarray:
    """Return the damage of each block in points."""
    name = prediction or last(result)
    return percent(result["single"], name) - percent(result["intact"], name)


def mean_damage(result: Result, most: int = 5) -> float:
    """Return the mean damage of 1 to 5 deletions in points."""
    return float((percent(result["deleted"], last(result))[1 : most + 1] - intact(result)).mean())


def effective_paths(norms: Sequence[float]) -> tuple[int, float, float]:
    """Return the length up to which paths carry 95 % of the gradient, its mean length, and the share of those paths."""
    blocks = len(norms) - 1
    count = np.array([comb(blocks, k) for k in range(blocks + 1)])
    share = np.array(norms) * count / (np.array(norms) * count).sum()
    longest = int((share.cumsum() >= SHARE).argmax())
    return longest, float(share @ np.arange(blocks + 1)), float(count[: longest + 1].sum() / count.sum())


def spread(values: Any, digits: int = 1) -> str:
    """Return mean and standard deviation in words."""
    values = np.asarray(values, dtype=float)
    return f"{values.mean():.{digits}f} ± {values.std(ddof=len(values) > 1):.{digits}f}"


def verdict_of(each: Sequence[bool]) -> Verdict:
    """Return the verdict if it holds for all, for some, or for none."""
    return "holds" if all(each) else "holds in part" if any(each) else "does not hold"


Judge = Callable[[Results], tuple[str, Verdict]]


def _claim(figure: str, text: str, reference: str, judge: Judge) -> Claim:
    return Claim(figure, text, reference, ("lesions",), judge, partial=False)


LESION_CLAIMS = [
    _claim(
        "3",
        "removing a residual block leads to an insignificant loss only",
        "ResNet-110 (54 blocks)",
        one_block_is_harmless,
    ),
    _claim("3", "removing any layer of a network without skips leads to chance", "VGG", no_skips_no_layer),
    _claim("5 a", "the error rises smoothly with the number of deleted blocks", "plotted only", smooth_in_deletions),
    _claim("5 b", "the error rises smoothly as blocks are reordered", "plotted only", smooth_in_reorderings),
    _claim(
        "6 b",
        "the gradient decays roughly exponentially with the length of a path",
        "plotted only",
        exponential_in_length,
    ),
    _claim(
        "6 c",
        "almost all of the gradient comes from short paths",
        "lengths 5 to 17 of 54, 0.45 % of the paths",
        short_paths_carry_the_gradient,
    ),
    _claim(
        "7", "training with stochastic depth improves resilience slightly", "plotted only", stochastic_depth_resists
    ),
    _claim("ours", "the depth posterior predicts which lesions do no harm", "", posterior_predicts_lesions),
    _claim(
        "ours", "a plain network needs the blocks that learnt depth can do without", "", plain_networks_use_every_block
    ),
]
