"""Spirals: does the guide lag behind the exact posterior in training, and does a larger step of its own help?

``pyro_vds.fit`` has one learning rate. This loop gives the guide a multiple of it. It does not stop early: at some
epochs it records the guide, and the exact posterior for the weights of the moment.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

import pyro_vds as vds
from experiments.engine import Grid, Scan, product
from experiments.engine.measures import measure_prediction
from experiments.engine.presets import LESS_NOISE, REPEATS_SPIRALS, TINY_SPIRALS
from experiments.engine.training import Resources, as_settings, build, described, load_repeats
from pyro_vds.guides import Guide
from pyro_vds.runs import DataSummary
from pyro_vds.settings import Settings
from pyro_vds.splits import DataSet

FACTOR = "guide_lr_factor"
CHECKPOINTS = (0, 10, 30, 100, 300, 1000, 3000, 8000)


def measure_lag(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train on full batches, and compare the guide with the exact posterior at the checkpoints.

    Args:
        values: What differs from the default settings, and the factor of the guide's learning rate.
        repeats: Number of repeats.
        resources: How it is run.
    """
    known = {name: value for name, value in values.items() if name != FACTOR}
    settings = as_settings(known, resources)
    sets = load_repeats(settings, known["data"], repeats)
    model, guide = build(settings, DataSummary.of(sets[0]), repeats)
    model, guide = model.to(resources.device), guide.to(resources.device)
    states: list[list[dict[str, Any]]] = []
    for epoch in _train(model, guide, sets, settings, values[FACTOR]):
        pairs = zip(vds.replicates(model, guide), sets, strict=True)
        states.append([{"epoch": epoch} | _compare(*pair, data) for pair, data in pairs])
    records = [
        {"seed": settings.seed + r, "states": list(of_one), "test": {"full": measure_prediction(*pair, data.test)}}
        for r, (of_one, pair, data) in enumerate(
            zip(zip(*states, strict=True), vds.replicates(model, guide), sets, strict=True)
        )
    ]
    return {"settings": described(settings, known), FACTOR: values[FACTOR], "repeats": records}


def _train(model: vds.VDSModel, guide: Guide, sets: list[DataSet], settings: Settings, factor: float) -> Iterator[int]:
    """Train, and yield at each checkpoint the number of epochs so far."""
    device = model.device_tensor().device
    x, y = (torch.stack([data.train[i] for data in sets]).to(device) for i in (0, 1))
    elbo = vds.enum_elbo(model, guide)
    assert settings.lr is not None
    groups = [{"params": model.parameters()}, {"params": guide.parameters(), "lr": factor * settings.lr}]
    optimizer = torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    epochs = settings.max_epochs or 0
    for epoch in range(epochs):
        if epoch in CHECKPOINTS:
            yield epoch
        optimizer.zero_grad(set_to_none=True)
        (elbo(x, y) / model.num_data).backward()
        optimizer.step()
    yield epochs


def _compare(model: vds.VDSModel, guide: Guide, data: DataSet) -> dict[str, Any]:
    exact = vds.exact_posterior(model, data.train)
    q, p = guide.probs()["depth"].cpu(), exact.probs["depth"]
    return {
        "elbo": exact.elbo(guide),
        "log_evidence": exact.log_evidence,
        "gap": exact.gap(guide),
        "q": q.tolist(),
        "exact_posterior": p.tolist(),
        "chosen_depth": vds.choose_depth(q),
        "chosen_depth_exact": vds.choose_depth(p),
    }


# The guide's step does not know the number of points, by which the exact posterior sharpens: so two amounts of data.
SCAN = Scan(
    paper=Grid(product({"num_points": (2000, 20000), FACTOR: (1, 10, 100)}), LESS_NOISE, REPEATS_SPIRALS),
    tiny=Grid(product({FACTOR: (1, 10)}), LESS_NOISE | TINY_SPIRALS | {"max_epochs": 11}, repeats=2),
    measure=measure_lag,
)
