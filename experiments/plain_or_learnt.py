"""Does learnt depth predict better than a plain network, or than its other rivals? Small networks, one CPU core.

1. Chosen on the validation part of the same seed: the depth of ``ddn`` (of three; ``ensemble`` is five such networks),
   and the weights of the rows ``_stacked``. Nothing else is: optimiser, learning rate, momentum, epochs, sizes and the
   recipe's settings are fixed for all seeds and were not tuned for any method in this experiment. The recipe's were
   found on spirals of the seeds 100 to 103 (``spirals_recipe``, 2,000 epochs), and momentum was looked at on digits of
   the seeds 100 to 102: the recipe has had more attention than its rivals.
2. SGD with the momentum of :class:`experiments.engine.tasks.Task` for every method but ``ldn_paper``, which has the
   paper's 0.5: on digits it differs from the others in that too.
3. The seeds are 0 to 4. Test data are read after the training of a seed; all rows of a network are made of the same
   outputs. Spirals of these seeds were looked at before, in ``spirals_recipe``. Digits are one pool of points, of which
   each seed draws its own test part.
4. The last state counts for all methods. Spirals are validated on 1,000 fresh points, more than a user with 200 has:
   that favours ``ddn``, ``ensemble`` and the rows ``_stacked``.
5. A difference is from ``ddn`` of the same seed, with a 95 % t-interval over the seeds. Five seeds are few and the rows
   many: an interval that leaves zero out is a hint.
"""

import math
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from experiments.engine.compared import METHODS
from experiments.engine.components import measured
from experiments.engine.methods import settings_of
from experiments.engine.tasks import TASKS, TINY, load_task
from pyro_vds.sweeps import Grid, Resources, Scan, product

SEEDS = tuple(range(5))
# 97.5 % points of Student's t, by degrees of freedom.
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}


def measure_method(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train a method with one seed, and measure its rows on test data.

    Args:
        values: ``data``, ``method``, ``seed``, and ``tiny``.
        repeats: Not used: a seed is a repeat.
        resources: Not used: the networks train on the CPU, and the data need no files.
    """
    task = TINY if values["tiny"] else TASKS[values["data"]]
    data = load_task(values["data"], task, values["seed"])
    compared = METHODS[values["method"]](task, data, values["seed"])
    outputs = compared.predict(data.test[0])
    rows = {
        name: measured(outputs, row.weights, data.test[1])
        | {"seconds": row.seconds, "milliseconds": row.milliseconds, "weights": row.weights.tolist()}
        for name, row in compared.rows.items()
    }
    sizes = {part: len(getattr(data, part)[0]) for part in ("train", "validation", "test")}
    about = {"sizes": sizes, "depths": list(task.depths), "width": task.width, "channels": task.channels}
    settings = {**values, **about, **settings_of(task, values["method"])}
    return {"settings": settings, "commit": _commit(), "rows": rows, **compared.about}


def table(results: Sequence[Mapping[str, Any]], data: str) -> str:
    """Return the rows of one data set in Markdown: mean ± standard deviation over seeds, and differences from ``ddn``.

    The last column is the time of a prediction for 1,000 points.

    Args:
        results: Contents of the result files.
        data: Name of the data set.
    """
    rows: dict[str, dict[int, Mapping[str, Any]]] = {}
    for result in (r for r in results if r["settings"]["data"] == data):
        for name, row in result["rows"].items():
            rows.setdefault(name, {})[result["settings"]["seed"]] = row
    lines = [
        "| row | log-likelihood | from `ddn` (95 %) | error, % | from `ddn` (95 %) | ECE, % | training, s | ms |",
        "|" + " --- |" * 8,
    ]
    for name in (name for method in METHODS for name in rows if _method_of(name) == method):
        found = rows[name]
        cells = [f"`{name}`", _spread(found, "log_likelihood", 3), _difference(rows, name, "log_likelihood", 3)]
        cells += [_spread(found, "error", 2, 100), _difference(rows, name, "error", 2, 100)]
        cells += [_spread(found, "ece", 1, 100), _spread(found, "seconds", 1), _spread(found, "milliseconds", 1)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _commit() -> str | None:
    """Return the commit that is checked out, with ``-dirty`` if tracked files differ; ``None`` outside of git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.check_output(command, cwd=Path(__file__).parent, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _method_of(row: str) -> str:
    if row in ("ddn", "ensemble"):
        return "ddn"
    return next(method for method in reversed(METHODS) if row.startswith(method))


def _spread(found: Mapping[int, Mapping[str, Any]], name: str, digits: int, factor: float = 1) -> str:
    values = [factor * row[name] for row in found.values()]
    return f"{mean(values):.{digits}f} ± {stdev(values):.{digits}f}"


def _difference(
    rows: Mapping[str, Mapping[int, Mapping[str, Any]]], row: str, name: str, digits: int, factor: float = 1
) -> str:
    """Return the mean difference from ``ddn`` by pairs of seeds, with its 95 % t-interval."""
    if row == "ddn":
        return ""
    pairs = [(found[name], rows["ddn"][seed][name]) for seed, found in rows[row].items()]
    values = [factor * (one - other) for one, other in pairs]
    half = STUDENT[len(values) - 1] * stdev(values) / math.sqrt(len(values))
    return f"{mean(values):+.{digits}f} [{mean(values) - half:+.{digits}f}, {mean(values) + half:+.{digits}f}]"


def _points(names: list[str], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    return product({"data": names, "method": list(METHODS), "seed": seeds})


SCAN = Scan(
    measure=measure_method,
    paper=Grid(_points(list(TASKS), SEEDS), {"tiny": False}),
    tiny=Grid(_points(["digits"], SEEDS[:2]), {"tiny": True}),
)
