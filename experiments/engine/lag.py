"""How the guide follows the exact posterior in training, when it learns with a rate of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyro_vds as vds
from experiments.engine.measures import measure_prediction
from experiments.engine.training import Resources, as_settings, build, described, load_repeats
from pyro_vds.guides import Guide
from pyro_vds.posterior import ExactPosterior
from pyro_vds.runs import DataSummary
from pyro_vds.settings import Settings
from pyro_vds.splits import DataSet

FACTOR = "guide_lr_factor"
# Returns what is compared of one repeat at a checkpoint.
Compare = Callable[[vds.VDSModel, Guide, DataSet, Settings], dict[str, Any]]


def measure_lag(
    values: Mapping[str, Any], repeats: int, resources: Resources, *, checkpoints: Sequence[int], compare: Compare
) -> dict[str, Any]:
    """Train without early stopping, and compare the guide with the exact posterior on the way.

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
    assert settings.max_epochs is not None
    sets = load_repeats(settings, known["data"], repeats)
    model, guide = build(settings, DataSummary.of(sets[0]), repeats)
    states: list[list[dict[str, Any]]] = []

    def record(epoch: int) -> None:
        if epoch + 1 in checkpoints or epoch + 1 == settings.max_epochs:
            pairs = zip(vds.replicates(model, guide), sets, strict=True)
            states.append([{"epoch": epoch + 1} | compare(*pair, data, settings) for pair, data in pairs])

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
        {
            "seed": settings.seed + r,
            "train_size": len(data.train[0]),
            "states": list(of_one),
            "test": {"full": measure_prediction(*pair, data.test)},
        }
        for r, (of_one, pair, data) in enumerate(
            zip(zip(*states, strict=True), vds.replicates(model, guide), sets, strict=True)
        )
    ]
    return {"settings": described(settings, known), FACTOR: values[FACTOR], "repeats": records}


def in_eval_mode(model: vds.VDSModel, guide: Guide, data: DataSet, settings: Settings) -> dict[str, Any]:
    """Compare the guide with the posterior that it is judged by: batch norm has its running statistics."""
    q = guide.probs()["depth"].cpu()
    compared = against(vds.exact_posterior(model, data.train), guide)
    return compared | {"q": q.tolist(), "chosen_depth": vds.choose_depth(q)}


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
