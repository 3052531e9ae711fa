"""Does learnt depth predict better than a plain network, or than its other rivals? Small networks, one CPU core.

1. Chosen on the validation part of the same seed, by log-likelihood: optimiser (one of three) and depth (one of three)
   of ``ddn``; the optimiser, of the same three, of ``ldn_recipe``, ``ldn_floor`` and ``deep_supervision``; and the
   weights of the rows ``_stacked``. On images the optimiser of ``ddn`` is chosen at the full depth, and its depth then.
   ``ldn_paper`` has the paper's optimiser. ``ddn_full`` is the chosen optimiser at the full depth; the members of
   ``ensemble3`` and ``ensemble5``, and ``mc_dropout`` (20 passes), have optimiser and depth of ``ddn``. Nothing else is
   chosen by a seed: the settings are those of :mod:`experiments.engine.methods` and :mod:`experiments.engine.tasks`.
2. The learning rate falls along a cosine for every method, ``ldn_paper`` too, which on spirals has batches of 50 as the
   others have: it is the paper's update, not its schedule. The last state counts for all methods. The recipe was
   chosen before, on the seeds 100 to 123 of spirals and 100 to 102 of images (training images other than these, but
   for SVHN, of which there is one pool).
3. The seeds are 0 to 4. Each draws its training, validation and test images, and its digits; on UCI sets a seed is the
   number of the standard split. Test data are read after the training of a seed.
4. Spirals are validated on 1,000 fresh points, more than a user with 200 has: that favours what is chosen. Spirals of
   these seeds were looked at before, in ``spirals_recipe``. CIFAR-10 may be the JPEG edition, SVHN are 10,000 digits
   of its test part, and images have half the resolution: no error here compares with published ones.
5. A difference is from ``ddn`` of the same seed, with a 95 % t-interval over the seeds. Five seeds are few and the rows
   many: an interval that leaves zero out is a hint.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.engine.compared import METHODS
from experiments.engine.methods import described
from experiments.engine.predictions import measured
from experiments.engine.shifted import SIZE, detection, under_corruptions
from experiments.engine.small_images import other_images
from experiments.engine.tasks import TASKS, TINY, load_task
from pyro_vds.sweeps import Grid, Resources, Scan, product

SEEDS = tuple(range(5))


def measure_method(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train a method with one seed, and measure its rows on test data.

    Args:
        values: ``data``, ``method``, ``seed``, and ``tiny``.
        repeats: Not used: a seed is a repeat.
        resources: Where the files of data sets are; the networks train on the CPU.

    Raises:
        ValueError: If the form has no such data set.
    """
    name, method, seed = values["data"], values["method"], values["seed"]
    known = TINY if values["tiny"] else TASKS
    if name not in known:
        raise ValueError(f"Expected a data set of {', '.join(known)}, got {name}.")
    task = known[name]
    data = load_task(name, task, seed, resources.data_root)
    compared = METHODS[method](task, data, seed)
    found = compared.predict(data.test)
    rows = {row: measured(found[row], data.test[1], data) | asdict(cost) for row, cost in compared.rows.items()}
    sizes = {part: len(getattr(data, part)[0]) for part in ("train", "validation", "test")}
    # The recipe is in the settings of training, in plain words.
    about = {name: value for name, value in asdict(task).items() if name != "recipe"}
    settings = {**values, "sizes": sizes, "task": about, "training": described(task, method)}
    content = {"settings": settings, "commit": _commit(), "rows": rows, **compared.about}
    if task.shifted:
        content["corruptions"] = under_corruptions(compared, data)
    if task.outside is not None:
        content["outside"] = task.outside
        others = other_images(task.outside, data, resources.data_root, SIZE)
        content["detection"] = detection(compared, data, others)
    return content


def _commit() -> str | None:
    """Return the commit that is checked out, with ``-dirty`` if tracked files differ; ``None`` outside of git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.check_output(command, cwd=Path(__file__).parent, text=True, stderr=subprocess.DEVNULL).strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _points(names: Sequence[str], seeds: Sequence[int]) -> list[dict[str, Any]]:
    return product({"data": names, "seed": seeds, "method": list(METHODS)})


SCAN = Scan(
    measure=measure_method,
    paper=Grid(_points(list(TASKS), SEEDS), {"tiny": False}),
    tiny=Grid(_points(list(TINY), SEEDS[:2]), {"tiny": True}),
)
