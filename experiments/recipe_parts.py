"""Which part of the recipe matters on images, and what does not help: one change at a time, on validation images.

The protocol, written before the runs: the networks and data of ``plain_or_learnt`` on MNIST and Fashion-MNIST, with
the seeds 100 to 102, which no table of results uses, and 1,800 images of each to validate on. No test image of the data
set is looked at; test images of the other set are to be told from the validation images by the disagreement of depths.
A difference is from the recipe with the same seed. With three seeds it is a hint, which is why a change has to gain on
both data sets to be worth trying at full size. The row ``recipe`` has no floor: the recipe got
its floor from this table. The last five rows, heads of their own and 50 blocks, were written and run after the others.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean, stdev
from typing import Any

import pyro_vds as vds
from experiments.engine.methods import OPTIMISERS, Trained, settings_of, train
from experiments.engine.predictions import OF_CLASSES, measured
from experiments.engine.shifted import SIZE
from experiments.engine.small_images import other_images, small_images
from experiments.engine.tasks import TASKS, TINY, load_task
from experiments.figures.parts import NAMES
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.metrics.uncertainty import detect_outside
from pyro_vds.sweeps import Grid, Resources, Scan, product

BASE, PLAIN = "recipe", "plain network"
SEEDS, VALIDATION = (100, 101, 102), 0.25
# What differs from the recipe with SGD.
VARIANTS: dict[str, dict[str, Any]] = {
    BASE: {},
    "guide by gradient steps": {"guide_update": "gradient"},
    "paper's block rate": {"block_rate": "paper"},
    "uniform start": {"anneal_start": "uniform"},
    "no weight decay": {"weight_decay": 0.0},
    "momentum 0.5": OPTIMISERS["sgd_0.5"] | {"weight_decay": 0.0},
    "AdamW": OPTIMISERS["adamw"] | {"momentum": None, "weight_decay": None},
    "floor 0.1": {"weight_floor": 0.1},
    "floor 0.3": {"weight_floor": 0.3},
    "at most 100 points counted": {"tempered_num_data": 100},
    "averaged weights": {"averaging": "ema", "averaging_decay": 0.99},
    "floor 1 (deep supervision)": {"weight_floor": 1.0},
    "20 blocks": {},
    PLAIN: {},
    f"{PLAIN}, averaged weights": {"averaging": "ema", "averaging_decay": 0.99},
    f"{PLAIN}, 20 blocks": {},
    "own heads": {},
    "own heads, floor 1": {"weight_floor": 1.0},
    "50 blocks": {},
    "50 blocks, floor 0.1": {"weight_floor": 0.1},
    f"{PLAIN}, 50 blocks": {},
}


def measure_part(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train a variant with one seed, and measure it on validation images.

    Args:
        values: ``data``, ``variant``, ``seed``, and ``tiny``.
        repeats: Not used: a seed is a repeat.
        resources: Where the files of data sets are; the networks train on the CPU.
    """
    name, variant, seed = values["data"], values["variant"], values["seed"]
    if values["tiny"]:
        task = TINY[name]
        data = load_task(name, task, seed, resources.data_root)
    else:
        task, data = TASKS[name], small_images(name, resources.data_root, seed, validation=VALIDATION)
    blocks = re.search(r"(\d+) blocks", variant)
    if blocks:
        task = replace(task, depths=(*task.depths[:2], int(blocks[1])))
    plain = variant.startswith(PLAIN)
    settings = settings_of(task, "ddn" if plain else "ldn_recipe", "sgd_0.9") | VARIANTS[variant]
    depth = task.depths[-1] if plain else None
    trained = train(task, data, seed, settings, depth=depth, own_heads=variant.startswith("own heads"))
    assert data.validation is not None
    x, y = data.validation
    (found,) = vds.predict(trained.model, trained.guide, x, y, cuts=[vds.Case()], want=OF_CLASSES)
    content = {"settings": dict(values), "validation": measured(found, y, data), "seconds_of_training": trained.seconds}
    return content if plain else content | _of_depths(trained, data, task.outside, resources.data_root)


def _of_depths(trained: Trained, data: DataSet, outside: str | None, data_root: str) -> dict[str, Any]:
    """Return the posterior, and how well the disagreement of depths tells another data set from validation images."""
    assert data.validation is not None
    model, guide = trained.model, trained.guide
    q, exact = guide.probs()["depth"], vds.exact_posterior(model, data.train)
    found = {"chosen_depth": vds.choose_depth(q), "gap": float(exact.gap(guide)), "q": q.tolist()}
    if outside is None:
        return found
    inside = vds.predict_disagreement(model, guide, data.validation[0])
    others = vds.predict_disagreement(model, guide, other_images(outside, data, data_root, SIZE))
    return found | {"auroc": detect_outside(inside, others).auroc}


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Return the results in Markdown: the recipe, and differences from it by pairs of seeds, mean ± standard error.

    Args:
        results: Contents of the result files.
    """
    heads = ["training"]
    names = list(dict.fromkeys(result["settings"]["data"] for result in results))
    for name in names:
        heads += [
            f"{NAMES.get(name, name)}: log-likelihood",
            "error, points",
            "ECE, %",
            "AUROC, %",
            "depth",
            "gap, nats",
        ]
    lines = [heads, ["---"] * len(heads)]
    for variant in dict.fromkeys(result["settings"]["variant"] for result in results):
        cells = [variant]
        for name in names:
            cells += _cells([result for result in results if result["settings"]["data"] == name], variant)
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cells(results: Sequence[Mapping[str, Any]], variant: str) -> list[str]:
    runs = {name: {} for name in (BASE, variant)}
    for result in results:
        runs.get(result["settings"]["variant"], {})[result["settings"]["seed"]] = result
    pairs = [(run, runs[BASE][seed]) for seed, run in runs[variant].items() if seed in runs[BASE]]
    if len(pairs) < 2:
        return [""] * 6
    cells = []
    for measure, digits, factor in (("log_likelihood", 3, 1), ("error", 2, 100)):
        values = [factor * one["validation"][measure] for one, _ in pairs]
        differences = [factor * (one["validation"][measure] - base["validation"][measure]) for one, base in pairs]
        error = stdev(differences) / len(differences) ** 0.5
        same = f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}"
        cells.append(same if variant == BASE else f"{mean(differences):+.{digits}f} ± {error:.{digits}f}")
    cells.append(f"{100 * mean(one['validation']['ece'] for one, _ in pairs):.1f}")
    for name, digits, factor in (("auroc", 0, 100), ("chosen_depth", 1, 1), ("gap", 1, 1)):
        cells.append(f"{factor * mean(one[name] for one, _ in pairs):.{digits}f}" if name in pairs[0][0] else "")
    return cells


def _points(names: Sequence[str], variants: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    return product({"data": names, "variant": variants, "seed": seeds})


SCAN = Scan(
    measure=measure_part,
    paper=Grid(_points(("mnist", "fashion_mnist"), tuple(VARIANTS), SEEDS), {"tiny": False}),
    tiny=Grid(_points(("digits",), (BASE, PLAIN), SEEDS[:2]), {"tiny": True}),
)
