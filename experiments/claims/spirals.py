"""The claims of figures 2, 3 and 5 to 8, on spirals."""

from typing import Any

import numpy as np

from experiments.claims.parts import (
    PLOTTED,
    Claim,
    Verdict,
    by,
    exact_depth,
    listed,
    means,
    rank_correlation,
    standard_error,
)
from experiments.figures.parts import Result, Results, chosen_depth, score

MODE = chosen_depth("argmax")
LIKELIHOOD, ERROR = score("log_likelihood"), score("error")
PRUNED_LIKELIHOOD = score("log_likelihood", "pruned", "argmax")
# How steep a trend has to be for "grows": Spearman's rank correlation of the means.
TREND = 0.8
STABLE = 2.0
# With so many training points depth stays, as the paper says.
ENOUGH = 500


def best_depths(learnt: Results, plain: Results) -> tuple[str, Verdict]:
    """Holds if plain networks of the chosen depth are in the best quarter of all, in part if in the best half."""
    one = [r for r in learnt if r["settings"]["max_depth"] == 20]
    ordered = by(plain, "max_depth")
    depths, values = [r["settings"]["max_depth"] for r in ordered], means(ordered, LIKELIHOOD)
    if not one or not set(range(21)) <= set(depths):
        return "not all depths to 20 are finished", "not run"
    best, at = int(np.argmax(values)), depths.index(round(float(means(one, MODE)[0])))
    rank = int((values > values[at]).sum()) + 1
    text = (
        f"D = 20: chosen depth (mode of q) {listed(one, MODE)}, of the exact posterior {listed(one, exact_depth)}; "
        f"plain networks of depth {depths[at]} are number {rank} of {len(depths)} by log-likelihood "
        f"({listed([ordered[at]], LIKELIHOOD, 3)}, error {_error(ordered[at])}); the best have depth {depths[best]} "
        f"({listed([ordered[best]], LIKELIHOOD, 3)}, error {_error(ordered[best])})"
    )
    return text, "holds" if rank <= len(depths) / 4 else "holds in part" if rank <= len(depths) / 2 else "does not hold"


def beats_all(learnt: Results, plain: Results) -> tuple[str, Verdict]:
    """Holds if learnt depth has the best mean log-likelihood and error of all, in part if it beats most in both."""
    one = [r for r in learnt if r["settings"]["max_depth"] == 20]
    if not one:
        return "D = 20 is not finished", "not run"
    likelihoods, errors = means(plain, LIKELIHOOD), means(plain, ERROR)
    better = (means(one, LIKELIHOOD)[0] >= likelihoods) & (means(one, ERROR)[0] <= errors)
    best = plain[int(np.argmax(likelihoods))]
    text = (
        f"learnt depth, D = 20: log-likelihood {listed(one, LIKELIHOOD, 3)}, error {_error(one[0])}; better in both "
        f"than {better.sum()} of {len(plain)} plain networks; the one with the best log-likelihood (depth "
        f"{best['settings']['max_depth']}) has {listed([best], LIKELIHOOD, 3)}, error {_error(best)}; pruned to the "
        f"mode {listed(one, PRUNED_LIKELIHOOD, 3)}"
    )
    return text, "holds" if better.all() else "holds in part" if better.mean() > 0.5 else "does not hold"


def stable_depth(learnt: Results) -> tuple[str, Verdict]:
    """Holds if the means over D = 20 to 50 lie within two blocks, in part for one of guide and exact posterior."""
    ordered = by(learnt, "max_depth")
    within = [r for r in ordered if 20 <= r["settings"]["max_depth"] <= 50]
    ranges = {name: float(np.ptp(means(within, get))) for name, get in (("guide", MODE), ("exact", exact_depth))}
    text = (
        f"mode of q: {listed(ordered, MODE)} for D = {_settings(ordered, 'max_depth')}; of the exact posterior "
        f"{listed(ordered, exact_depth)}. From D = 20 to {within[-1]['settings']['max_depth']} the means move by "
        f"{ranges['guide']:.1f} and {ranges['exact']:.1f} blocks"
    )
    if within[-1]["settings"]["max_depth"] < 50:
        return text, "not run"
    stable = [value <= STABLE for value in ranges.values()]
    return text, "holds" if all(stable) else "holds in part" if any(stable) else "does not hold"


def early_layers(functions: Results) -> tuple[str, Verdict]:
    """Holds if a quarter of the blocks gets much nearer to the final function, and late blocks move much less.

    "Much" is half of what a plain network has. How near functions are is the mean difference of the second class's
    probability at the training points, as beyond them functions differ at random; a block's move is relative to its
    input.
    """
    left, late = {}, {}
    for result in functions:
        name, repeats = result["settings"]["readout"], result["repeats"]
        quarter = (len(repeats[0]["percent"]) - 1) // 4
        at_points = [_at_points(repeat, result["extent"]) for repeat in repeats]
        left[name] = float(np.mean([np.abs(p[quarter] - p[-1]).mean() for p in at_points]))
        late[name] = 100 * float(np.mean([repeat["moves"][-quarter:] for repeat in repeats]))
    text = (
        f"after a quarter of the blocks the function differs from the final one, at the training points, by "
        f"{left['all']:.0f} points of probability with learnt depth, by {left['last']:.0f} in a plain network; a block "
        f"of the last quarter moves activations by {late['all']:.0f} % and {late['last']:.0f} %"
    )
    less = [of["all"] <= of["last"] / 2 for of in (left, late)]
    return text, "holds" if all(less) else "holds in part" if any(less) else "does not hold"


def _at_points(repeat: dict[str, Any], extent: float) -> np.ndarray:
    """Return the probability of each depth in the cell of each training point, per cent."""
    percent, points = np.array(repeat["percent"]), np.array(repeat["points"])
    cells = np.rint((points + extent) / (2 * extent) * (percent.shape[1] - 1)).astype(int)
    first, second = cells.clip(0, percent.shape[1] - 1).T
    return percent[:, first, second]


def narrow_deep(widths: Results) -> tuple[str, Verdict]:
    """Holds if depth falls with width."""
    return _trend(by(widths, "width"), _settings, "width", -1)


def more_rotation(rotations: Results) -> tuple[str, Verdict]:
    """Holds if depth grows with rotation."""
    return _trend(by(rotations, "rotation"), _settings, "rotation", 1)


def more_data(amounts: Results) -> tuple[str, Verdict]:
    """Holds if depth grows with the number of training points.

    In part if it does so for one of guide and exact posterior, or if both are deeper, by two standard errors, with 500
    points and more than with the fewest: the paper's text has depth grow to about 500 points and then stay.
    """
    ordered = by(amounts, "num_points")
    text, verdict = _trend(ordered, lambda found, _: _train_sizes(found), "training points", 1)
    many = [r for r in ordered if r["repeats"][0]["train_size"] >= ENOUGH]
    if not many:
        return text, "not run"
    grown = []
    for get in (MODE, exact_depth):
        first, others = ordered[0], {"repeats": [repeat for r in many for repeat in r["repeats"]]}
        more = float(means([others], get)[0] - means([first], get)[0])
        grown.append((more, more > 2 * np.hypot(standard_error(first, get), standard_error(others, get))))
    text += (
        f"; deeper with {ENOUGH} points and more than with the fewest by {grown[0][0]:.1f} and {grown[1][0]:.1f} blocks"
    )
    return text, "holds in part" if verdict == "does not hold" and all(clear for _, clear in grown) else verdict


def _trend(ordered: list[Result], names, what: str, sign: int) -> tuple[str, Verdict]:
    trends = [sign * rank_correlation(range(len(ordered)), means(ordered, get)) for get in (MODE, exact_depth)]
    text = (
        f"mode of q: {listed(ordered, MODE)} for {what} {names(ordered, what)}; of the exact posterior "
        f"{listed(ordered, exact_depth)} (rank correlation {sign * trends[0]:.2f} and {sign * trends[1]:.2f})"
    )
    clear = [trend >= TREND for trend in trends]
    return text, "holds" if all(clear) else "holds in part" if any(clear) else "does not hold"


def _settings(found: list[Result], name: str) -> str:
    return ", ".join(f"{result['settings'][name]:g}" for result in found)


def _train_sizes(found: list[Result]) -> str:
    return ", ".join(str(result["repeats"][0]["train_size"]) for result in found)


def _error(result: Result) -> str:
    return f"{listed([result], ERROR, 2, percent=True)} %"


SPIRAL_CLAIMS = [
    Claim(
        "2 left", "the most probable depths are those at which plain networks (DDN) do best", PLOTTED,
        ("max_depth", "deterministic_depth"), best_depths,
    ),
    Claim(
        "2 left", "marginal learnt depth beats plain networks of all depths",
        "pruned networks beat them too",
        ("max_depth", "deterministic_depth"), beats_all,
    ),
    Claim(
        "2 right", "the chosen depth stays stable for D up to about 50",
        "stable to D = 50, then training gets unstable", ("max_depth",), stable_depth,
    ),
    Claim(
        "3", "with learnt depth the early layers do most of the work, the late ones are near the identity; a plain "
        "network spreads it over all", "in a plain network intermediate layers contribute little; it "
        "resembles a spiral only from layer 15 of 20",
        ("functions",), early_layers, partial=False,
    ),
    Claim(
        "5", "narrow networks get deep, wide ones shallow",
        "very narrow ones very deep, with worse predictions", ("width",), narrow_deep,
    ),
    Claim(
        "6 left, 7", "depth grows with the rotation of the spirals",
        "predictions suffer beyond 720 degrees", ("rotation",), more_rotation,
    ),
    Claim(
        "6 right, 8", "depth grows with the amount of data",
        "very shallow with 50 points; grows to about 500, then stays around 11", ("data_amount",), more_data,
    ),
]  # fmt: skip
