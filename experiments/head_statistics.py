"""MNIST: running statistics of the head's batch norm for each depth, against one set shared by all depths."""

from typing import Any

from experiments.engine.single import run_once
from pyro_vds.runs.settings import Settings


def run(*, tiny: bool, data_root: str) -> dict[str, Any]:
    """Return the test metrics of both variants after the same short schedule from the same seed.

    Args:
        tiny: scikit-learn's digits, a small network and one epoch.
        data_root: Folder of MNIST.
    """
    size: dict[str, Any] = {"data": "mnist", "max_depth": 8, "max_epochs": 6, "milestones": (5,)}
    small: dict[str, Any] = {"data": "digits", "max_depth": 2, "max_epochs": 1}
    network: dict[str, Any] = {"channels": 32, "bottleneck": 16, "batch_size": 256}
    shared, per_depth = (
        _one(
            Settings(
                preset="paper", **(small if tiny else size), **network, head_statistics=how, data_root=data_root
            ).resolved()
        )
        for how in ("shared", "per_depth")
    )
    return {"settings": (small if tiny else size) | network, "test": {"shared": shared, "per_depth": per_depth}}


def _one(settings: Settings) -> dict[str, Any]:
    metrics, _ = run_once(settings)
    return metrics["test"] | {"chosen_depth": metrics["posterior"]["axes"]["depth"]["chosen"]}
