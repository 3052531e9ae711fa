"""Learnt depth and what it is compared with: plain networks, their deep ensemble, and MC dropout."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

import pyro_vds as vds
from experiments.engine.dropout import add_dropout
from experiments.engine.training import refuse_left_out
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.runs.build import build_backbone
from pyro_vds.runs.settings import Settings

PASSES = 16

# Maps inputs to log class probabilities (components, batch, classes) and the log weight of each component.
Mixture = Callable[[Tensor], tuple[Tensor, Tensor]]


def train_rivals(settings: Settings, data: DataSet) -> dict[str, Mixture]:
    """Train the networks of one seed: learnt depth, plain, and plain with dropout behind every block.

    Args:
        settings: Resolved settings of a network for images.
        data: Their data set.

    Returns:
        The predictions of ``"ldn"``, ``"ldn_pruned"``, ``"ddn"`` and ``"dropout"`` (Gal and Ghahramani 2016).
    """
    plain = replace(settings, readout="last")
    model, guide = _fit(settings, data)
    probs = guide.probs()["depth"]
    depth = vds.choose_depth(probs)
    cut = torch.cat([probs[:depth], probs[depth:].sum(0, keepdim=True)])
    dropout, _ = _fit(plain, data, dropout=True)
    return {
        "ldn": _mixture(model, probs),
        "ldn_pruned": _mixture(model, cut),
        "ddn": _mixture(_fit(plain, data)[0], torch.ones(1)),
        "dropout": _mixture(dropout, torch.full((PASSES,), 1 / PASSES), passes=PASSES, seed=settings.seed),
    }


def ensemble(members: list[Mixture]) -> Mixture:
    """Return the deep ensemble of some networks (Lakshminarayanan et al. 2017)."""

    def components(x: Tensor) -> tuple[Tensor, Tensor]:
        log_probs, log_weights = (torch.cat(part) for part in zip(*(member(x) for member in members), strict=True))
        return log_probs, log_weights - math.log(len(members))

    return components


def _fit(settings: Settings, data: DataSet, *, dropout: bool = False) -> tuple[VDSModel, vds.AutoCategorical]:
    refuse_left_out(settings)
    backbone = build_backbone(settings, tuple(data.train[0].shape[1:]), int(data.classes or 0))
    if dropout:
        add_dropout(backbone)
    model = VDSModel(backbone, priors=settings.prior if backbone.space else None, num_data=len(data.train[0]))
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, data.train, validation=data.validation, progress=False, config=settings)
    return model, guide


def _mixture(model: VDSModel, weights: Tensor, *, passes: int = 1, seed: int = 0) -> Mixture:
    """Return the components of a network's prediction: its first depths, or passes with dropout."""

    @torch.inference_mode()
    def components(x: Tensor) -> tuple[Tensor, Tensor]:
        with eval_mode(model), isolated_rng(seed=seed):
            parts = [torch.cat([model.outputs(part) for _ in range(passes)]) for part in x.split(500)]
        return torch.cat(parts, dim=1)[: len(weights)].log_softmax(-1), weights.log()

    return components
