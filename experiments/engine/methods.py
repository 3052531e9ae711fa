"""Plain networks and learnt depth, trained alike on small data sets.

The last state counts for every method: none is chosen on validation data or by its ELBO within a training. Only
averaged weights are those of the best train ELBO, since ``fit`` has no others.
"""

import copy
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn

import pyro_vds as vds
from experiments.engine.dropout import add_dropout
from experiments.engine.tasks import Task
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.guide_updates import settle
from pyro_vds.training.optim import spelled
from pyro_vds.training.recipe import RECIPE, SGD_SETTINGS

# Fields of TrainingConfig beside those that all methods share.
OPTIMISERS: dict[str, dict[str, Any]] = {
    "sgd_0.5": {"momentum": 0.5},
    "sgd_0.9": {name: RECIPE[name] for name in SGD_SETTINGS},
    "adamw": {"optimizer": torch.optim.AdamW, "lr": 0.003},
}
PAPER_OPTIMISER = "sgd_0.5"
LEARNT_DEPTH = {name: RECIPE[name] for name in ("guide_update", "block_rate")}
FLOOR = {"weight_floor": RECIPE["weight_floor"]}
SUPERVISION: dict[str, Any] = {"weight_floor": 1.0, "guide_update": "closed_form", "anneal_epochs": 0}
BATCH = 500


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        model: The model.
        guide: Its guide.
        seconds: CPU time of its training.
    """

    model: vds.VDSModel
    guide: vds.AutoCategorical
    seconds: float


class OwnHeads(nn.Module):
    """A head for each depth, in place of the one that all share.

    Args:
        heads: The heads, each from features ``(batch, ...)`` to outputs ``(batch, *event)``.
    """

    def __init__(self, heads: Iterable[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, x: Tensor) -> Tensor:
        """Read out features of all depths, which vary fastest."""
        by_depth = x.unflatten(0, (-1, len(self.heads))).unbind(1)
        return torch.stack([head(part) for head, part in zip(self.heads, by_depth, strict=True)], 1).flatten(0, 1)


def settings_of(task: Task, method: str, optimiser: str) -> dict[str, Any]:
    """Return the fields of training of a method.

    Args:
        task: The sizes.
        method: ``"ldn_floor"`` has the fields of the recipe, ``"ldn_recipe"`` those without its floor, unless the task
            has one, ``"deep_supervision"`` equal weights of all depths, and every other none of its own.
        optimiser: Its name in :data:`OPTIMISERS`.
    """
    shared: dict[str, Any] = {"max_epochs": task.epochs, "batch_size": task.batch_size, "patience": None}
    shared |= {"lr": task.lr, "scheduler": RECIPE["scheduler"]}
    recipe = LEARNT_DEPTH | dict(task.recipe)
    own = {"ldn_recipe": recipe, "ldn_floor": FLOOR | recipe, "deep_supervision": SUPERVISION}
    return shared | OPTIMISERS[optimiser] | own.get(method, {})


def described(task: Task, method: str) -> dict[str, Any]:
    """Return the fields of training of a method for a result file, for each optimiser.

    Args:
        task: The sizes.
        method: The method.
    """
    makers = ("optimizer", "scheduler")
    found: dict[str, Any] = {}
    for optimiser in [PAPER_OPTIMISER] if method == "ldn_paper" else OPTIMISERS:
        settings = settings_of(task, method, optimiser)
        found[optimiser] = {name: spelled(v) if name in makers else v for name, v in settings.items()}
    return found


def train(
    task: Task,
    data: DataSet,
    seed: int,
    settings: Mapping[str, Any],
    *,
    depth: int | None = None,
    dropout: bool = False,
    own_heads: bool = False,
) -> Trained:
    """Train one network to its last state.

    Args:
        task: The sizes.
        data: The data set; its validation part is not looked at.
        seed: Seed of the weights and of the order of batches.
        settings: Fields of :class:`pyro_vds.TrainingConfig`.
        depth: Depth of a plain network; ``None`` for learnt depth of the full depth.
        dropout: Whether to drop units behind every block.
        own_heads: Whether each depth is read out by a head of its own.
    """
    likelihood = vds.likelihoods.Classification() if data.classes else vds.likelihoods.Gaussian(learn_scale=True)
    with isolated_rng(seed=seed):
        network = _network(task, data, depth)
        if own_heads:
            plain = _network(task, data, task.depths[-1])
            network.head = OwnHeads(copy.deepcopy(plain.head) for _ in range(network.max_depth + 1))
    if dropout:
        add_dropout(network)
    model = vds.VDSModel(network, likelihood=likelihood, num_data=len(data.train[0]))
    guide, config = vds.AutoCategorical(model), TrainingConfig(seed=seed, **settings)
    states: list[dict[str, Any]] = []

    def keep_last(record: vds.EpochRecord) -> None:
        if record.epoch + 1 == config.max_epochs and config.averaging is None:
            states.extend(copy.deepcopy(part.state_dict()) for part in (model, guide))

    started = process_time()
    with suppress(vds.NonFiniteLossError):  # the best state before that is then its result
        vds.fit(model, guide, data.train, on_epoch=keep_last, progress=False, config=config)
    for part, state in zip((model, guide), states, strict=False):
        part.load_state_dict(state)
    if config.guide_update == "closed_form":  # the pass at the end of ``fit`` was for its best state
        settle(model, guide, zip(*(part.split(BATCH) for part in data.train), strict=True), config)
    return Trained(model, guide, process_time() - started)


def _network(task: Task, data: DataSet, depth: int | None) -> vds.ResidualMLP | vds.ResidualConvNet:
    outputs, features = data.classes or 1, data.train[0].shape[1]
    how: dict[str, Any] = {"max_depth": task.depths[-1] if depth is None else depth}
    how["readout"] = "all" if depth is None else "last"
    if task.width is not None:
        return vds.ResidualMLP(features, outputs, task.width, **how)
    return vds.ResidualConvNet(features, outputs, channels=task.channels, bottleneck=task.channels // 2, **how)
