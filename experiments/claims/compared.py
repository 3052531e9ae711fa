"""Tables of the experiment ``plain_or_learnt``, from the result files that there are."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student

from experiments.figures.parts import NAMES

Results = Sequence[Mapping[str, Any]]
# What a seed measured of each row: rows[row][seed][measure].
Rows = dict[str, dict[int, Mapping[str, Any]]]

BASE, RECIPE, WITHOUT = "ddn", "ldn_floor", "ldn_recipe"
SHIFTED = ("ddn", "ensemble3", "ensemble5", "mc_dropout", "ldn_paper", "ldn_paper_uniform", "ldn_recipe")
SHIFTED += ("ldn_recipe_uniform", "ldn_floor", "ldn_floor_uniform", "deep_supervision", "deep_supervision_stacked")
SCORES = {"entropy": "entropy", "mutual_information": "disagreement"}
# Name, digits and factor of the measures of classes and of numbers.
Measure = tuple[str, str, int, float]
LOG_LIKELIHOOD: Measure = ("log_likelihood", "log-likelihood", 3, 1)
OF_CLASSES: tuple[Measure, Measure] = (("error", "error, %", 2, 100), ("ece", "ECE, %", 1, 100))
OF_NUMBERS: tuple[Measure, Measure] = (("rmse", "RMSE", 3, 1), ("interval_error", "interval error, %", 1, 100))


def table(results: Results, data: str) -> str:
    """Return the rows of one data set in Markdown: mean ± standard deviation over seeds, and differences from ``ddn``.

    The last columns are CPU times: of the training, of that with all networks that were tried, and of a prediction
    for 1,000 points.

    Args:
        results: Contents of the result files.
        data: Name of the data set.
    """
    rows = _rows(results, data)
    error, calibration = _measures(rows)
    from_base = f"from `{BASE}` (95 %)"
    heads = ["row", LOG_LIKELIHOOD[1], from_base, error[1], from_base, calibration[1]]
    heads += ["depth", "training, s", "with the search, s", "ms"]
    lines = []
    for name, found in rows.items():
        cells = [f"`{name}`", _spread(found, LOG_LIKELIHOOD), _difference(rows, name, LOG_LIKELIHOOD)]
        cells += [_spread(found, error), _difference(rows, name, error), _spread(found, calibration)]
        costs: list[Measure] = [("depth", "", 1, 1), ("seconds", "", 1, 1), ("search_seconds", "", 1, 1)]
        lines.append([*cells, *(_spread(found, cost) for cost in [*costs, ("milliseconds", "", 1, 1)])])
    return _markdown(heads, lines)


def choices(results: Results, data: str) -> str:
    """Return in words which optimisers and depths the seeds of one data set chose.

    Args:
        results: Contents of the result files.
        data: Name of the data set.
    """
    chosen: dict[str, list[str]] = {}
    for result in (r for r in results if r["settings"]["data"] == data):
        depth = f" with depth {result['chosen_depth']}" if result["settings"]["method"] == BASE else ""
        chosen.setdefault(result["settings"]["method"], []).append(result["chosen_optimiser"] + depth)
    counted = {name: Counter(found).most_common() for name, found in chosen.items()}
    listed = (f"`{name}` {', '.join(f'{what} ({n})' for what, n in found)}" for name, found in counted.items())
    return f"Chosen (number of seeds): {'; '.join(listed)}."


def summary(results: Results) -> str:
    """Return differences of the recipe, with and without its floor, and of an ensemble, from ``ddn`` in Markdown.

    Args:
        results: Contents of the result files.
    """
    others = (RECIPE, f"{RECIPE}_stacked", f"{RECIPE}_pruned", WITHOUT, "ensemble3")
    heads = ["data", "seeds"]
    for measure in ("log-likelihood", "error, %, or RMSE"):
        heads += [f"{measure} of `{BASE}`", *(f"`{name}`" for name in others)]
    heads += [f"depth of `{BASE}`", f"of `{RECIPE}_pruned`", "training with the search, times that of `ddn`"]
    lines = []
    for data in dict.fromkeys(result["settings"]["data"] for result in results):
        rows = _rows(results, data)
        used = _recipe(rows)
        if BASE not in rows or used not in rows:
            continue
        cells = [NAMES.get(data, data), str(len(rows[BASE].keys() & rows[used].keys()))]
        for measure in (LOG_LIKELIHOOD, _measures(rows)[0]):
            cells += [_spread(rows[BASE], measure), *(_difference(rows, name, measure) for name in others)]
        cells += [_spread(rows[name], ("depth", "", 1, 1)) for name in (BASE, f"{used}_pruned")]
        times = [mean(row["search_seconds"] for row in rows[name].values()) for name in (used, BASE)]
        lines.append([*cells, f"{times[0] / times[1]:.2f}"])
    return _markdown(heads, lines)


def brief(results: Results) -> str:
    """Return what the summary has for a reader in a hurry, in Markdown.

    Args:
        results: Contents of the result files.
    """
    heads = ["data", "log-likelihood: recipe", "stacked", "without its floor", "ensemble of 3", "error, points: recipe"]
    heads += ["ECE, %: plain", "recipe", "stacked", "other data, AUROC, %: recipe, one pass", "ensemble of 3"]
    lines = []
    for data in dict.fromkeys(result["settings"]["data"] for result in results):
        given = [result for result in results if result["settings"]["data"] == data]
        rows = _rows(given, data)
        used = _recipe(rows)
        if BASE not in rows or used not in rows:
            continue
        error, calibration = _measures(rows)
        names = (used, f"{used}_stacked", "" if used == WITHOUT else WITHOUT, "ensemble3")
        cells = [NAMES.get(data, data), *(_difference(rows, name, LOG_LIKELIHOOD) for name in names)]
        of_classes = (error, calibration) == OF_CLASSES
        cells.append(_difference(rows, used, error) if of_classes else f"RMSE {_difference(rows, used, error)}")
        calibrated = (BASE, used, f"{used}_stacked") if of_classes else ()
        cells += [_spread(rows[name], calibration) for name in calibrated] or [""] * 3
        found = _rows([result for result in given if "detection" in result], data, lambda result: result["detection"])
        score: Measure = ("mutual_information", "", 0, 100)
        cells += [_spread(found.get(name, {}), score) for name in (f"{used}_uniform", "ensemble3")]
        lines.append(cells)
    return _markdown(heads, lines)


def _recipe(rows: Rows) -> str:
    """Return the row of the recipe; on spirals, where it has a floor of its own, that of the method without one."""
    return RECIPE if RECIPE in rows else WITHOUT


def shift_table(results: Results) -> str:
    """Return log-likelihood and error under corruptions, and AUROC of other data, of every image set in Markdown.

    Args:
        results: Contents of the result files.
    """
    lines = []
    for data in dict.fromkeys(r["settings"]["data"] for r in results if "corruptions" in r):
        given = [result for result in results if result["settings"]["data"] == data]
        for number, case in enumerate(given[0]["corruptions"]):
            rows = _rows(given, data, lambda result, number=number: result["corruptions"][number]["rows"])
            for measure in (LOG_LIKELIHOOD, OF_CLASSES[0]):
                lines.append(_shifted(data, f"{case['kind']} {case['level']:g}", measure, rows))
        detected = [result for result in given if "detection" in result]
        for score, title in SCORES.items() if detected else ():
            rows = _rows(detected, data, lambda result: result["detection"])
            kind = f"against {NAMES[detected[0]['outside']]}"
            lines.append(_shifted(data, kind, (score, f"AUROC of {title}, %", 1, 100), rows))
    return _markdown(["data", "images", "measure", *(f"`{name}`" for name in SHIFTED)], lines)


def _shifted(data: str, kind: str, measure: Measure, rows: Rows) -> list[str]:
    # A single network has no disagreement.
    skipped = {BASE} if measure[0] == "mutual_information" else set()
    cells = [_spread(rows.get(name, {}), measure) if name not in skipped else "" for name in SHIFTED]
    return [NAMES[data], kind, measure[1], *cells]


def _rows(results: Results, data: str, get: Callable[[Any], Any] = lambda result: result["rows"]) -> Rows:
    """Return what the seeds measured of each row, in the order of the methods."""
    rows: Rows = {}
    order = ("ddn", "ldn_paper", "ldn_recipe", "ldn_floor", "deep_supervision")
    given = [result for result in results if result["settings"]["data"] == data]
    for result in sorted(given, key=lambda result: order.index(result["settings"]["method"])):
        for name, row in get(result).items():
            rows.setdefault(name, {})[result["settings"]["seed"]] = row
    return rows


def _measures(rows: Rows) -> tuple[Measure, Measure]:
    return OF_NUMBERS if any("rmse" in row for found in rows.values() for row in found.values()) else OF_CLASSES


def _spread(found: Mapping[int, Mapping[str, Any]], measure: Measure) -> str:
    name, _, digits, factor = measure
    values = [factor * row[name] for row in found.values() if row[name] is not None]
    if not values or len(values) < len(found):
        return ""
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def _difference(rows: Rows, row: str, measure: Measure) -> str:
    """Return the mean difference from ``ddn`` by pairs of seeds, with its 95 % t-interval."""
    name, _, digits, factor = measure
    pairs = [(found[name], rows[BASE][s][name]) for s, found in rows.get(row, {}).items() if s in rows.get(BASE, {})]
    if row == BASE or not pairs or any(None in pair for pair in pairs):
        return ""
    values = [factor * (one - other) for one, other in pairs]
    if len(values) == 1:
        return f"{values[0]:+.{digits}f}"
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return f"{mean(values):+.{digits}f} [{mean(values) - half:+.{digits}f}, {mean(values) + half:+.{digits}f}]"


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *lines])
