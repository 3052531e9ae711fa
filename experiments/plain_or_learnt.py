"""Does learnt depth predict better than a plain network, or than its other rivals? Small networks, one CPU core.

Protocol, written before the runs (results/plain_or_learnt/PROTOCOL.md says more):

1. Depth and optimiser of every method but the paper's own come from ``plain_or_learnt_choice``: the best mean
   log-likelihood of validation data over the seeds 100 and 101. The paper's has its own optimiser.
2. The seeds are 0 to 4. Test data are read once, after the training of a seed; all rows of a network are made of the
   same outputs. Nothing is changed after the tables were seen.
3. The last state counts for all methods; validation data serve the choice, the stacking weights and the temperature.
4. A difference is from ``ddn`` of the same seed, with a 95 % t-interval over the five seeds. The seeds share the test
   images, and five seeds are few: an interval that leaves zero out is a hint, and of some hundred, five do by chance.

The recipe's row appears once :data:`experiments.engine.methods.RECIPE` is filled in.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from experiments.engine.compared import METHODS, Choose, Compared, settings_for
from experiments.engine.components import detection, measured
from experiments.engine.methods import RECIPE, recipe_of
from experiments.engine.tasks import TASKS, TINY, Task, load_task, outside_inputs
from experiments.plain_or_learnt_choice import chosen
from pyro_vds.datasets import corruptions
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.sweeps import Grid, Resources, Scan, product

SEEDS = tuple(range(5))
NAMES = [name for name in METHODS if RECIPE or name != "ldn_recipe"]
# Degrees; standard deviation in units of the normalised pixels; standard deviation of the kernel in pixels, of which
# there are 14 or 16.
LEVELS: dict[str, tuple[float, ...]] = {"rotation": (30, 60, 180), "noise": (0.5, 1.0), "blur": (1.0, 2.0)}
CORRUPTED_POINTS = 1000


def measure_method(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train a method with one seed, and measure its rows on test data, under corruptions and against other data.

    Args:
        values: ``data``, ``method``, ``seed``, and ``tiny``.
        repeats: Not used: a seed is a repeat.
        resources: Where the data are.
    """
    name, method, tiny = values["data"], values["method"], values["tiny"]
    task = TINY if tiny else TASKS[name]
    choose: Choose = _first if tiny else partial(chosen, name)
    data = load_task(name, task, values["seed"], resources.data_root)
    how = settings_for(method, choose)
    compared = METHODS[method](task, data, values["seed"], how)
    components = compared.predict(data.test[0])
    assert data.validation is not None
    held_out = compared.predict(data.validation[0])
    rows = {
        row_name: measured(components, row, data.test, data)
        | {
            "validation_log_likelihood": measured(held_out, row, data.validation, data)["log_likelihood"],
            "seconds": row.seconds,
            "milliseconds": row.milliseconds,
            "weights": row.weights.tolist(),
            "temperature": row.temperature,
        }
        for row_name, row in compared.rows.items()
    }
    by_depth = components.log_prob(data.test[1]).mean(1).tolist()
    content = {"settings": _settings(values, task, data, how), "rows": rows, "test_log_likelihoods": by_depth}
    content |= compared.about
    if task.corrupted:
        content["corrupted"] = _under_corruptions(compared, data, black=name in ("mnist", "fashion_mnist"))
    if task.outside is not None:
        others = compared.predict(outside_inputs(task.outside, data, resources.data_root))
        content["outside"] = {task.outside: detection(components, others, compared.rows)}
    return content


def _first(method: str, depth: str | None) -> dict[str, str]:
    return {"depth": "full", "optimiser": "sgd"}


def _settings(values: Mapping[str, Any], task: Task, data: DataSet, how: Mapping[str, str]) -> dict[str, Any]:
    sizes = {part: len(getattr(data, part)[0]) for part in ("train", "validation", "test")}
    recipe = recipe_of(task) if values["method"] == "ldn_recipe" else {}
    about = {"sizes": sizes, "inputs": list(data.train[0].shape[1:]), "max_depth": task.depths[-1]}
    about |= {"epochs": task.epochs, "batch_size": task.batch_size, "width": task.width, "channels": task.channels}
    return {**values, **about, **how, "recipe": {key: str(value) for key, value in recipe.items()}}


def _under_corruptions(compared: Compared, data: DataSet, *, black: bool) -> list[dict[str, Any]]:
    """Return log-likelihood, error and ECE of every row at each level of each corruption."""
    fill = -float(data.mean.mean() / data.std.mean()) if black else 0.0
    x, y = (part[:CORRUPTED_POINTS] for part in data.test)

    def corrupted(kind: str, level: float) -> Tensor:
        if kind == "rotation":
            return corruptions.rotate(x, level, fill=fill)
        return corruptions.gaussian_noise(x, level, seed=0) if kind == "noise" else corruptions.blur(x, level)

    found = []
    for kind, levels in LEVELS.items():
        for level in levels:
            if kind == "blur" and 3 * level >= min(x.shape[-2:]):
                continue
            components = compared.predict(corrupted(kind, level))
            rows = {name: measured(components, row, (x, y), data) for name, row in compared.rows.items()}
            found.append({"kind": kind, "level": level, "rows": rows})
    return found


def _points(names: list[str], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    return product({"data": names, "method": NAMES, "seed": seeds})


SCAN = Scan(
    measure=measure_method,
    paper=Grid(_points(list(TASKS), SEEDS), {"tiny": False}),
    tiny=Grid(_points(["digits"], SEEDS[:2]), {"tiny": True}),
)
