"""Spirals: does the guide lag behind the exact posterior in training, and does a larger step of its own help?

Training does not stop early: after some epochs the guide is recorded, and the exact posterior for the weights as they
are then.
"""

from collections.abc import Mapping
from typing import Any

import pyro_vds as vds
from experiments.engine import Grid, Scan, product
from experiments.engine.measures import measure_prediction
from experiments.engine.presets import LESS_NOISE, REPEATS_SPIRALS, TINY_SPIRALS
from experiments.engine.training import Resources, as_settings, build, described, load_repeats
from pyro_vds.guides import Guide
from pyro_vds.runs import DataSummary
from pyro_vds.splits import DataSet

FACTOR = "guide_lr_factor"
CHECKPOINTS = (1, 10, 30, 100, 300, 1000, 3000)


def measure_lag(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train on full batches, and compare the guide with the exact posterior at the checkpoints.

    Args:
        values: What differs from the default settings, and the factor of the guide's learning rate.
        repeats: Number of repeats.
        resources: How it is run.
    """
    known = {name: value for name, value in values.items() if name != FACTOR}
    settings = as_settings(known, resources)
    assert settings.lr is not None
    assert settings.max_epochs is not None
    sets = load_repeats(settings, known["data"], repeats)
    model, guide = build(settings, DataSummary.of(sets[0]), repeats)
    states: list[list[dict[str, Any]]] = []

    def record(epoch: int) -> None:
        if epoch + 1 in CHECKPOINTS or epoch + 1 == settings.max_epochs:
            pairs = zip(vds.replicates(model, guide), sets, strict=True)
            states.append([{"epoch": epoch + 1} | _compare(*pair, data) for pair, data in pairs])

    vds.fit(
        model,
        guide,
        [data.train for data in sets],
        max_epochs=settings.max_epochs,
        patience=settings.max_epochs,
        batch_size=settings.batch_size or 0,
        lr=settings.lr,
        guide_lr=values[FACTOR] * settings.lr,
        momentum=settings.momentum,
        compile=settings.compile,
        device=resources.device,
        progress=False,
        on_epoch=record,
    )
    records = [
        {"seed": settings.seed + r, "states": list(of_one), "test": {"full": measure_prediction(*pair, data.test)}}
        for r, (of_one, pair, data) in enumerate(
            zip(zip(*states, strict=True), vds.replicates(model, guide), sets, strict=True)
        )
    ]
    return {"settings": described(settings, known), FACTOR: values[FACTOR], "repeats": records}


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
    paper=Grid(product({"num_points": (2000, 20000), FACTOR: (1, 10, 100)}), LESS_NOISE, REPEATS_SPIRALS, compile=True),
    tiny=Grid(product({FACTOR: (1, 10)}), LESS_NOISE | TINY_SPIRALS | {"max_epochs": 11}, repeats=2),
    measure=measure_lag,
)
