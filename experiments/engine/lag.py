"""How the guide follows the exact posterior in training, when it learns with a rate of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyro_vds as vds
from experiments.engine.measures import measure_prediction
from experiments.engine.training import as_settings, described, load_repeats
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.exact import ExactPosterior
from pyro_vds.runs.build import build
from pyro_vds.runs.data import DataSummary
from pyro_vds.runs.settings import Settings
from pyro_vds.sweeps import Resources

FACTOR = "guide_lr_factor"
# Returns what is compared of one repeat, for the weights as they are.
Compare = Callable[[vds.VDSModel, Guide, DataSet, Settings], dict[str, Any]]


def measure_lag(
    values: Mapping[str, Any], repeats: int, resources: Resources, *, checkpoints: Sequence[int], compare: Compare
) -> dict[str, Any]:
    """Train without early stopping, and compare the guide with the exact posterior on the way and at the best state.

    Args:
        values: What differs from the default settings, and the factor of the guide's learning rate.
        repeats: Number of repeats.
        resources: How it is run.
        checkpoints: Numbers of epochs after which they are compared, besides the last.
        compare: What is recorded then.
    """
    known = {name: value for name, value in values.items() if name != FACTOR}
    settings = as_settings(known, resources)
    assert settings.lr is not None
    settings = replace(settings, guide_lr=values[FACTOR] * settings.lr, patience=None)
    sets = load_repeats(settings, known["data"], repeats)
    model, guide = build(settings, DataSummary.of(sets[0]), repeats=repeats)
    states: list[list[dict[str, Any]]] = []

    def compared(epochs: Sequence[int]) -> list[dict[str, Any]]:
        each = zip(epochs, vds.replicates(model, guide), sets, strict=True)
        return [{"epoch": epoch} | compare(*pair, data, settings) for epoch, pair, data in each]

    def record(so_far: vds.EpochRecord) -> None:
        epochs = len(so_far)
        if epochs in checkpoints or epochs == settings.max_epochs:
            states.append(compared([epochs] * repeats))

    train = [data.train for data in sets]
    history = vds.fit(model, guide, train, device=resources.device, progress=False, on_epoch=record, config=settings)
    assert isinstance(history.best_epoch, tuple)
    best = compared(history.best_epoch)
    records = [
        {"seed": settings.seed + r, "train_size": len(data.train[0]), "states": list(of_one), "best": best[r]}
        for r, (of_one, data) in enumerate(zip(zip(*states, strict=True), sets, strict=True))
    ]
    return {"settings": described(settings, known), FACTOR: values[FACTOR], "repeats": records}


def in_eval_mode(model: vds.VDSModel, guide: Guide, data: DataSet, settings: Settings) -> dict[str, Any]:
    """Compare the guide with the posterior that it is judged by: batch norm has its running statistics."""
    q = guide.probs()["depth"].cpu()
    return against(vds.exact_posterior(model, data.train), guide) | {
        "q": q.tolist(),
        "chosen_depth": vds.choose_depth(q),
        "test": measure_prediction(model, guide, data.test),
    }


def against(exact: ExactPosterior, guide: Guide) -> dict[str, Any]:
    """Return the bound, the evidence, and the exact posterior with its choice of depth."""
    p = exact.probs["depth"]
    return {
        "elbo": exact.elbo(guide),
        "log_evidence": exact.log_evidence,
        "gap": exact.gap(guide),
        "exact_posterior": p.tolist(),
        "chosen_depth_exact": vds.choose_depth(p),
    }
