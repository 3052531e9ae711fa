"""Spirals by the recipe, by the paper, and with parts of the recipe: ten seeds to choose by, and ten fresh ones.

The recipe's batches of 50 were chosen on the seeds 100 to 123, in a batched copy of the network that is not part of
this project, and its floor of 0.5 on the seeds 100 to 109, where floors of 0.3, 0.7 and 1 leave the depths further
apart for the two starts of the annealing, or predict worse. The seeds 0 to 9 were not used for it, but the depths with
a floor of 0.3 on them had been seen. Learnt depth trains as replicates, each with its own data.
"""

from collections.abc import Mapping
from typing import Any

from experiments.claims.parts import listed
from experiments.engine.measures import measure_repeats
from experiments.engine.presets import TINY_SPIRALS
from experiments.figures.parts import Result, Results
from pyro_vds.sweeps import Grid, Resources, Scan, product

SELECTION, FRESH, REPEATS = 100, 0, 10
UNIFORM, FLAT = {"anneal_start": "uniform"}, {"weight_floor": 0.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "recipe": {"preset": "recipe"},
    "recipe, uniform start": {"preset": "recipe"} | UNIFORM,
    "no floor": {"preset": "recipe"} | FLAT,
    "no floor, uniform start": {"preset": "recipe"} | FLAT | UNIFORM,
    "full batches": {"preset": "recipe", "batch_size": 200, "max_epochs": 2000},
    "paper": {"preset": "paper"},
    "paper, recipe's batches": {
        "preset": "paper", "batch_size": 50, "max_epochs": 500, "patience": 500, "scheduler": "cosine"
    },
    "plain, depth 10": {"preset": "recipe", "readout": "last", "max_depth": 10},
    "plain, depth 20": {"preset": "recipe", "readout": "last"},
}  # fmt: skip
SHOWN = ("recipe", "paper", "plain, depth 10", "plain, depth 20")


def measure_variant(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train the repeats of a variant and measure each.

    Args:
        values: ``variant``, and settings that count more than those of the variant.
        repeats: Number of repeats.
        resources: How it is run.
    """
    given = dict(values)
    return measure_repeats(VARIANTS[given.pop("variant")] | given, repeats, resources)


def table(results: Results) -> str:
    """Return the results as a Markdown table: mean ± standard deviation over seeds.

    Args:
        results: Contents of the result files.
    """
    head = "| seeds | training | error, % | worst | log-likelihood | pruned error, % | chosen depth | gap, nats |"
    ordered = sorted(results, key=lambda result: -result["varied"]["seed"])
    return "\n".join([head, "| --- " * 8 + "|", *map(_row, ordered)])


def _row(result: Result) -> str:
    repeats, seed = result["repeats"], result["varied"]["seed"]
    worst = max(100 * repeat["test"]["full"]["error"] for repeat in repeats)
    cells = [f"{seed}-{seed + len(repeats) - 1}", result["varied"]["variant"]]
    cells += [listed([result], lambda r: r["test"]["full"]["error"], 2, percent=True), f"{worst:.2f}"]
    cells.append(listed([result], lambda r: r["test"]["full"]["log_likelihood"], 3))
    if "posterior" in repeats[0]:
        cells.append(listed([result], lambda r: r["test"]["pruned"]["95"]["error"], 2, percent=True))
        cells.append(listed([result], lambda r: r["posterior"]["chosen_depth"]["95"]))
        cells.append(listed([result], lambda r: r["posterior"]["evidence_gap"], 2))
    return f"| {' | '.join([*cells, *[''] * (8 - len(cells))])} |"


SCAN = Scan(
    measure=measure_variant,
    paper=Grid(
        product({"variant": tuple(VARIANTS), "seed": (SELECTION, FRESH)}), {"data": "spirals"}, REPEATS, compile=True
    ),
    tiny=Grid(
        product({"variant": ("recipe", "paper"), "seed": (FRESH,)}), {"data": "spirals"} | TINY_SPIRALS, repeats=2
    ),
)
