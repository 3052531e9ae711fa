"""Spirals in the paper's settings with six seeds: test error of the marginal and the pruned prediction."""

from statistics import mean, stdev
from typing import Any

from experiments.engine.single import run_once
from pyro_vds.runs.settings import Settings


def run(*, tiny: bool, data_root: str) -> dict[str, Any]:
    """Return the metrics of each seed, and their mean and standard deviation.

    Args:
        tiny: Two seeds, a small network and few epochs.
        data_root: Not used: spirals are drawn.
    """
    seeds = range(2 if tiny else 6)
    small: dict[str, Any] = {"max_epochs": 20, "max_depth": 3} if tiny else {}
    runs = [
        _one(Settings(preset="paper", data="spirals", seed=seed, data_root=data_root, **small).resolved())
        for seed in seeds
    ]
    summary = {
        case: {
            measure: {"mean": mean(values), "std": stdev(values)}
            for measure in ("error", "log_likelihood", "ece")
            for values in [[r["test"][case][measure] for r in runs]]
        }
        for case in ("full", "pruned")
    }
    depths = [r["posterior"]["axes"]["depth"]["chosen"]["95"] for r in runs]
    return {"test": summary, "chosen_depth": depths, "runs": runs}


def _one(settings: Settings) -> dict[str, Any]:
    metrics, epochs = run_once(settings)
    return metrics | {"seed": settings.seed, "epochs": epochs, "prior": repr(settings.prior)}
