"""A cell of operations whose weights are shared and trained: does a search converge in an epoch, do its weights rank?

The protocol, written before the runs: scikit-learn's digits (split by seed 0: 1,000 points to train on, 791 to test),
``vds.cell`` with 8 channels and no batch norm, 15,625 cells, a uniform prior. An epoch is 100 steps of 10 points of
Adam, 0.003 for the weights. Rates of guides are 0.2 for logits under the ELBO, and 0.025 for generators and DARTS, as
in trial runs, and are not tuned. The searches of :data:`experiments.engine.supernet.SEARCHES` run for four epochs
with seeds 0 to 2 and are looked at after the first and after the last. DARTS mixes operations with softmax weights,
without a KL, and learns both from the same points (Liu et al. 2019 halve them). The exact ELBO, whose step sums over
all cells, was to run for one epoch with one seed; it took 10 seconds, and runs like the others since the first table
was read.

*Alone*: 30 cells drawn uniformly, each trained from scratch for 10 epochs with two seeds, and measured on the test
points; the same for the most probable cell of each search. *Ranking*: the log-likelihood of the 30 cells with shared
weights on 500 training points, which is what a search may look at, against that of the same cells alone, by Kendall's
tau. The agreement of both trainings alone is what can be had. The divergence of ``q`` from the exact posterior for the
shared weights is that for 50 training points which count as 1,000.

``uniform`` draws cells uniformly and learns no ``q`` (Guo et al. 2020, "Single Path One-Shot Neural Architecture Search
with Uniform Sampling", arXiv 1904.00420). It is no search but a control of the ranking, which was added after the first
table was read, and no verdict counts it.

The rules of verdicts are in ``claims/supernet.py``. All of it is the full form; it takes minutes of one core.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import pyro_vds as vds
from experiments.engine.supernet import AXIS, SEARCHES, build, divergence, shared_log_likelihood, steps, train_alone
from pyro_vds import dependence
from pyro_vds.datasets import DataSet
from pyro_vds.guides.base import Guide
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.sweeps import Grid, Resources, Scan

CLASSES, LR = 10, 3e-3


def measure(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Measure one part of the experiment.

    Args:
        values: ``part``, ``of`` and ``seed``, and the sizes of :data:`SCAN`.
        repeats: Not used: a seed is a repeat.
        resources: Not used: everything is small, and on the CPU.
    """
    parts = {"alone": _alone, "search": _search}
    fraction = values["test_fraction"]
    data = vds.datasets.digits(
        test_fraction=fraction, train_size=values["train_size"], generator=torch.Generator().manual_seed(0)
    )
    with isolated_rng():
        return {"settings": dict(values)} | parts[values["part"]](values, data)


def random_cells(count: int) -> Tensor:
    """Return cells drawn uniformly, the operation on each edge, ``(cell, edge)``.

    Args:
        count: How many.
    """
    return torch.randint(len(vds.NAS_BENCH_201), (count, 6), generator=torch.Generator().manual_seed(0))


def _alone(values: Mapping[str, Any], data: DataSet) -> dict[str, Any]:
    """Train random cells alone."""
    cells = random_cells(values["cells"]).tolist()
    return {"rows": [{"cell": cell, "alone": _trained_alone(cell, values, data)} for cell in cells]}


def _trained_alone(cell: list[int], values: Mapping[str, Any], data: DataSet) -> list[dict[str, float]]:
    sizes = {"channels": values["channels"], "classes": CLASSES, "epochs": values["alone_epochs"]}
    return [train_alone(cell, data.train, data.test, **sizes, seed=seed) for seed in range(values["alone_seeds"])]


def _search(values: Mapping[str, Any], data: DataSet) -> dict[str, Any]:
    """Train a supernet, and look at ``q`` on the way and at the ends of the first and last epoch."""
    search = SEARCHES[values["of"]]
    model, guide = build(search, data.train, values["channels"], CLASSES, seed=values["seed"])
    epochs, size = values["epochs"], values["batch_size"]
    epoch = -(-len(data.train[0]) // size)
    entropies, states = [_entropy(guide)], []
    for step in steps(search, model, guide, data.train, epochs=epochs, batch_size=size, lr=LR):
        if step % values["every"] == 0:
            entropies.append(_entropy(guide))
        if step in (epoch, epochs * epoch):
            with isolated_rng():
                states.append({"epoch": step // epoch} | _state(model, guide, values, data))
    return {"every": values["every"], "entropy": entropies, "states": states}


def _entropy(guide: Guide) -> float:
    return dependence.entropy(guide.joint_probs().double())


def _state(model: vds.VDSModel, guide: Guide, values: Mapping[str, Any], data: DataSet) -> dict[str, Any]:
    """Return what a search would answer, and how good its shared weights and its ``q`` are."""
    x, y = data.train
    cell = list(model.space[AXIS].choices(guide.mode()[AXIS]))
    q = guide.joint_probs().double().view([len(vds.NAS_BENCH_201)] * len(cell))
    ranked, counted = values["ranked_on"], values["posterior_on"]
    shared = shared_log_likelihood(model, (x[:ranked], y[:ranked]), random_cells(values["cells"]))
    return {
        "entropy": dependence.entropy(q),
        "total_correlation": dependence.total_correlation(q),
        "kl": divergence(model, guide, (x[:counted], y[:counted])),
        "cell": cell,
        "alone": _trained_alone(cell, values, data),
        "shared": shared.tolist(),
    }


def _points(seeds: tuple[int, ...], epochs: int) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = [{"part": "alone", "of": "random cells", "seed": 0, "epochs": 0}]
    return points + [{"part": "search", "of": of, "seed": seed, "epochs": epochs} for of in SEARCHES for seed in seeds]


SCAN = Scan(
    measure=measure,
    paper=Grid(
        _points((0, 1, 2), 4),
        {
            "channels": 8,
            "train_size": 1000,
            "test_fraction": 0.44,
            "batch_size": 10,
            "every": 5,
            "cells": 30,
            "alone_epochs": 10,
            "alone_seeds": 2,
            "ranked_on": 500,
            "posterior_on": 50,
        },
    ),
    tiny=Grid(
        _points((0, 1), 2),
        {
            "channels": 2,
            "train_size": 4,
            "test_fraction": 0.9,
            "batch_size": 2,
            "every": 1,
            "cells": 3,
            "alone_epochs": 1,
            "alone_seeds": 2,
            "ranked_on": 4,
            "posterior_on": 2,
        },
    ),
)
