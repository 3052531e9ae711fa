"""Which settings the networks of ``plain_or_learnt`` get: by the log-likelihood of validation data, on other seeds.

Each method has three optimisers to choose from, and a plain network (DDN) three depths too. The setting with the best
mean over the seeds 100 and 101 is taken; test data are not looked at.
"""

from collections.abc import Mapping
from statistics import mean
from typing import Any

import torch

from experiments.engine.components import Row, measured
from experiments.engine.methods import OPTIMISERS, RECIPE, recipe_of, settings_of, train
from experiments.engine.results import RESULTS
from experiments.engine.tasks import TASKS, TINY, load_task
from pyro_vds import sweeps
from pyro_vds.sweeps import Grid, Resources, Scan, product

SEEDS = (100, 101)
DEPTHS = ("shallow", "middle", "full")
# What each method is chosen by: the weights of the depths that it is meant to predict with.
LEARNT = ("deep_supervision", *(("ldn_recipe",) if RECIPE else ()))


def measure_choice(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train one setting for each seed, and measure it on validation data.

    Args:
        values: ``data``, ``method``, ``depth``, ``optimiser``, and ``tiny``.
        repeats: Number of seeds, from 100.
        resources: Where the data are.
    """
    task = TINY if values["tiny"] else TASKS[values["data"]]
    plain, runs = values["method"] == "ddn", []
    for seed in SEEDS[:repeats]:
        data = load_task(values["data"], task, seed, resources.data_root)
        settings = settings_of(task, values["optimiser"])
        settings |= recipe_of(task) if values["method"] == "ldn_recipe" else {}
        depth = task.depths[DEPTHS.index(values["depth"])] if plain else None
        trained = train(task, data, seed, settings, depth=depth, uniform=values["method"] == "deep_supervision")
        assert data.validation is not None
        weights = torch.ones(1) if plain else trained.guide.probs()["depth"].detach()
        row = Row(weights, trained.seconds, 0.0)
        found = measured(trained(data.validation[0]), row, data.validation, data)
        runs.append({"seed": seed, "seconds": trained.seconds, "validation": found})
    return {"settings": dict(values), "runs": runs}


def _points(names: list[str]) -> list[dict[str, Any]]:
    plain = product({"data": names, "method": ["ddn"], "depth": DEPTHS, "optimiser": OPTIMISERS})
    learnt = product({"data": names, "method": LEARNT, "depth": ["full"], "optimiser": OPTIMISERS})
    return sorted(plain + learnt, key=lambda point: names.index(point["data"]))


SCAN = Scan(
    measure=measure_choice,
    paper=Grid(_points(list(TASKS)), {"tiny": False}, repeats=len(SEEDS)),
    tiny=Grid(_points(["digits"])[-3:], {"tiny": True}),
)


def chosen(data: str, method: str, depth: str | None = None) -> dict[str, str]:
    """Return the depth and the optimiser with the best mean log-likelihood on validation data.

    Args:
        data: Name of the data set.
        method: ``"ddn"``, ``"deep_supervision"`` or ``"ldn_recipe"``.
        depth: The depth, if it is given.

    Raises:
        ValueError: If a setting was not measured.
    """
    grid = SCAN.paper.on([data])
    wanted = [t for t in grid.trials() if t.values["method"] == method and depth in (None, t.values["depth"])]
    found = [r for r in sweeps.results(grid, RESULTS / "plain_or_learnt_choice") if r["settings"]["method"] == method]
    found = [result for result in found if depth in (None, result["settings"]["depth"])]
    if len(found) < len(wanted) or not wanted:
        raise ValueError(
            f"Expected results of {len(wanted)} settings of {method} on {data}, found {len(found)}. Make them: "
            f"python -m experiments plain_or_learnt_choice --data {data}"
        )
    best = max(found, key=score)
    return {name: best["settings"][name] for name in ("depth", "optimiser")}


def score(result: Mapping[str, Any]) -> float:
    """Return the mean log-likelihood on validation data, nats per point; minus infinity after divergence."""
    values = [run["validation"]["log_likelihood"] for run in result["runs"]]
    return mean(values) if None not in values else float("-inf")
