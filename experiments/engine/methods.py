"""Plain networks, learnt depth and their rivals, trained alike on small data sets, and their read-outs.

The last state counts for every method: none is chosen on validation data or by its ELBO within a training.
"""

import copy
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

import pyro_vds as vds
from experiments.engine.components import Components
from experiments.engine.rivals import DROPOUT, PASSES
from experiments.engine.tasks import Task
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.categorical import Guide
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.rng import isolated_rng

BATCH = 500
OPTIMISERS = ("sgd", "momentum", "adamw")
# The fields of TrainingConfig that make learnt depth by the recipe; while there are none, its rows are left out.
RECIPE: dict[str, Any] = {}
# The share of training over which it anneals, for the field ``anneal_epochs``; ``None`` leaves the field out.
RECIPE_ANNEAL: float | None = None


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

    def __call__(self, x: Tensor) -> Components:
        """Return what each depth says."""
        return _read_out(self.model, x)


@dataclass(frozen=True)
class Dropout:
    """A network whose dropout is on when it predicts (Gal and Ghahramani 2016), several passes with fixed masks."""

    trained: Trained

    def __call__(self, x: Tensor) -> Components:
        """Return what each pass says."""
        drops = [module for module in self.trained.model.modules() if isinstance(module, nn.Dropout)]
        return _read_out(self.trained.model, x, drops=drops, passes=PASSES)


def settings_of(task: Task, optimiser: str) -> dict[str, Any]:
    """Return the settings of training with one of the optimisers.

    SGD with momentum 0.5 (the paper's) or 0.9, whose learning rate falls to a tenth after 70 % of the epochs, or AdamW
    with lr 0.003 that falls as a cosine.

    Args:
        task: The sizes.
        optimiser: One of :data:`OPTIMISERS`.
    """
    shared: dict[str, Any] = {"max_epochs": task.epochs, "batch_size": task.batch_size, "patience": None}
    if optimiser == "adamw":
        schedule = partial(CosineAnnealingLR, T_max=task.epochs)
        return shared | {"optimizer": partial(AdamW, lr=0.003), "scheduler": schedule}
    momentum = {"sgd": 0.5, "momentum": 0.9}[optimiser]
    return shared | {"lr": task.lr, "momentum": momentum, "milestones": (max(1, round(0.7 * task.epochs)),)}


def recipe_of(task: Task) -> dict[str, Any]:
    """Return the fields of the recipe for a length of training."""
    anneal = {} if RECIPE_ANNEAL is None else {"anneal_epochs": max(1, round(RECIPE_ANNEAL * task.epochs))}
    return RECIPE | anneal


def train(
    task: Task,
    data: DataSet,
    seed: int,
    settings: Mapping[str, Any],
    *,
    depth: int | None = None,
    dropout: bool = False,
    uniform: bool = False,
) -> Trained:
    """Train one network to its last state.

    Args:
        task: The sizes.
        data: The data set; its validation part is not looked at.
        seed: Seed of the weights and of the order of batches.
        settings: Fields of :class:`pyro_vds.TrainingConfig`.
        depth: Depth of a plain network; ``None`` for learnt depth of the full depth.
        dropout: Whether dropout is behind every block.
        uniform: Whether the weights of the depths stay uniform: deep supervision.
    """
    with isolated_rng(seed=seed):
        network = _network(task, data, depth)
    if dropout:
        network.blocks = nn.ModuleList(nn.Sequential(block, nn.Dropout(DROPOUT)) for block in network.blocks)
    likelihood = None if data.classes else vds.likelihoods.Gaussian(0.5, learn_scale=True)
    model = vds.VDSModel(network, likelihood=likelihood, num_data=len(data.train[0]))
    guide = vds.AutoCategorical(model).requires_grad_(not uniform)
    states: list[dict[str, Any]] = []

    def keep_last(record: vds.EpochRecord) -> None:
        if record.epoch + 1 == settings["max_epochs"]:
            states.extend(copy.deepcopy(part.state_dict()) for part in (model, guide))

    started = perf_counter()
    with suppress(vds.NonFiniteLossError):  # the best state before that is then its result
        vds.fit(model, guide, data.train, on_epoch=keep_last, progress=False, seed=seed, **settings)
    seconds = perf_counter() - started
    for part, state in zip((model, guide), states, strict=False):
        part.load_state_dict(state)
    return Trained(model, guide, seconds)


def _network(task: Task, data: DataSet, depth: int | None) -> vds.ResidualMLP | vds.ResidualConvNet:
    outputs, features = data.classes or 1, data.train[0].shape[1]
    how: dict[str, Any] = {"max_depth": task.depths[-1] if depth is None else depth}
    how["readout"] = "all" if depth is None else "last"
    if task.width is not None:
        return vds.ResidualMLP(features, outputs, task.width, **how)
    return vds.ResidualConvNet(features, outputs, channels=task.channels, bottleneck=task.channels // 2, **how)


@torch.inference_mode()
def _read_out(model: vds.VDSModel, x: Tensor, *, drops: list[nn.Dropout] | None = None, passes: int = 1) -> Components:
    with eval_mode(model), isolated_rng(seed=0):
        for drop in drops or ():
            drop.train()
        outputs = torch.cat([torch.cat([model.outputs(part) for _ in range(passes)]) for part in x.split(BATCH)], 1)
    scale = getattr(model.likelihood, "scale", None)
    if scale is None:
        return Components(outputs.log_softmax(-1))
    return Components(outputs, scale.detach().expand(len(outputs)))
