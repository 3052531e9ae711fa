"""Plain networks and learnt depth, trained alike on small data sets.

The last state counts for every method: none is chosen on validation data or by its ELBO within a training.
"""

import copy
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

import pyro_vds as vds
from experiments.engine.tasks import Task
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.categorical import Guide
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.rng import isolated_rng

BATCH = 500
LR, PAPER_MOMENTUM = 0.1, 0.5
# Fields of TrainingConfig beside those that all methods share.
RECIPE: dict[str, Any] = {"guide_update": "closed_form", "block_rate": "full"}
SUPERVISION: dict[str, Any] = {"weight_floor": 1.0, "guide_update": "closed_form", "anneal_epochs": 0}


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        model: The model.
        guide: Its guide.
        seconds: Time of its training.
    """

    model: vds.VDSModel
    guide: Guide
    seconds: float

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """Return the log class probabilities of each depth ``(depth, N, classes)``."""
        with eval_mode(self.model):
            return torch.cat([self.model.outputs(part) for part in x.split(BATCH)], 1).log_softmax(-1)


def settings_of(task: Task, method: str) -> dict[str, Any]:
    """Return the fields of training of a method: SGD, whose rate falls to a tenth after 70 % of the epochs.

    Args:
        task: The sizes.
        method: ``"ldn_paper"`` has the paper's momentum and guide, ``"ldn_recipe"`` and ``"deep_supervision"`` the
            closed form; every other is a plain network.
    """
    momentum = PAPER_MOMENTUM if method == "ldn_paper" else task.momentum
    shared = {"max_epochs": task.epochs, "batch_size": task.batch_size, "patience": None, "lr": LR}
    shared |= {"momentum": momentum, "milestones": (max(1, round(0.7 * task.epochs)),)}
    return shared | {"ldn_recipe": RECIPE, "deep_supervision": SUPERVISION}.get(method, {})


def train(task: Task, data: DataSet, seed: int, settings: Mapping[str, Any], *, depth: int | None = None) -> Trained:
    """Train one network to its last state.

    Args:
        task: The sizes.
        data: The data set; its validation part is not looked at.
        seed: Seed of the weights and of the order of batches.
        settings: Fields of :class:`pyro_vds.TrainingConfig`.
        depth: Depth of a plain network; ``None`` for learnt depth of the full depth.
    """
    with isolated_rng(seed=seed):
        network = _network(task, data, depth)
    model = vds.VDSModel(network, num_data=len(data.train[0]))
    guide = vds.AutoCategorical(model)
    states: list[dict[str, Any]] = []

    def keep_last(record: vds.EpochRecord) -> None:
        if record.epoch + 1 == settings["max_epochs"]:
            states.extend(copy.deepcopy(part.state_dict()) for part in (model, guide))

    started = perf_counter()
    with suppress(vds.NonFiniteLossError):  # the best state before that is then its result
        vds.fit(model, guide, data.train, on_epoch=keep_last, progress=False, seed=seed, **settings)
    for part, state in zip((model, guide), states, strict=False):
        part.load_state_dict(state)
    if settings.get("guide_update") == "closed_form":  # the pass at the end of ``fit`` was for its best state
        guide.set_probs({"depth": vds.exact_posterior(model, data.train).probs["depth"]})
    return Trained(model, guide, perf_counter() - started)


def _network(task: Task, data: DataSet, depth: int | None) -> vds.ResidualMLP | vds.ResidualConvNet:
    outputs, features = int(data.classes or 0), data.train[0].shape[1]
    how: dict[str, Any] = {"max_depth": task.depths[-1] if depth is None else depth}
    how["readout"] = "all" if depth is None else "last"
    if task.width is not None:
        return vds.ResidualMLP(features, outputs, task.width, **how)
    return vds.ResidualConvNet(features, outputs, channels=task.channels, bottleneck=task.channels // 2, **how)
