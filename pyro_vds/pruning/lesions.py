"""What the blocks of a trained network are worth: errors with blocks deleted and reordered."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from scipy.stats import kendalltau
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.backbones.lesions import Wiring, deletable, interchangeable, lesioned_outputs, require_blocks
from pyro_vds.backbones.per_depth import PerDepth
from pyro_vds.guides.base import Guide
from pyro_vds.infer.mixture import Mixture
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.infer.weigher import Tables, weigher
from pyro_vds.models.checks import check_data
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.inputs import moved, split
from pyro_vds.ops.loaders import gathered
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.subsets import subsets
from pyro_vds.ops.tensors import at_least_float32
from pyro_vds.spaces.typing import Data, PairLike

LAST, MARGINAL = "last", "marginal"
# Measures of likelihoods that are reported by another name, as in a run.
NAMES = {"log_prob": "log_likelihood", "squared_error": "rmse"}
UNITS = {"log_likelihood": "nats per point", "error": "share of points", "rmse": "units of the target"}


def lesion_study(
    model: VDSModel, guide: Guide | None, data: PairLike | DataLoader, *, draws: int = 20, seed: int = 0
) -> xr.Dataset:
    """Measure a trained network with blocks deleted and reordered (Veit et al. 2016, section 4).

    Lesions have the head statistics and the posterior of the whole network; nothing is trained again. All of them run
    as one tree for each batch: what two lesions have in common up to a block runs once.

    The measures are the means over the data of those of the likelihood: ``log_likelihood`` in nats per point, and the
    ``error`` of classes as a share, or the ``rmse`` of numbers in the units of the target. Each is given for the
    ``last`` read-out alone and, for a model with axes, for the ``marginal``, all read-outs weighed by the guide.

    Args:
        model: A trained model of a :class:`pyro_vds.PerDepth`.
        guide: The guide; ``None`` for a model without axes.
        data: Inputs and targets to measure on, or a ``DataLoader`` of pairs.
        draws: Number of reorderings, and the largest number of different lesions with each number of deleted blocks.
        seed: Seed of the lesions.

    Returns:
        A dataset with, over ``prediction`` and ``measure``:

        - ``intact``: the whole network;
        - ``single``, over ``block`` 1..D: one block deleted, exact;
        - ``random``, over ``deleted`` and ``draw``: so many blocks deleted at random. Where ``exact`` is true, these
            are all that there are, and behind them is NaN; elsewhere their mean is an estimate;
        - ``reordered``, over ``draw``: 1 to D random pairs of blocks exchanged one after the other, an estimate; the
            order that results has Kendall's ``tau`` with the old one. It is absent if no two blocks have equal shapes.

        For a model with an axis also ``mass_above``, over ``block``: the probability of the depths that use it, the
        mean over the data if each input has its own. Blocks that change the shape of the activations stay where they
        are; their ``single`` is NaN. Attributes: ``seed``, ``draws``, ``points``, and whether a variable is ``exact``.

    Raises:
        TypeError: If the network is no ``PerDepth``, or the data have the wrong type.
        ValueError: If the network has no block, data or guide do not fit the model, or ``draws`` is not positive.
    """
    network = require_blocks(model.backbone)
    if draws < 1:
        raise ValueError(f"Expected a positive number of draws, got {draws}.")
    like = model.device_tensor()
    loaded = isinstance(data, DataLoader)
    pair = model.as_pair(gathered(data, "data", like.device, like.dtype) if loaded else data, "data")
    check_data(model, *pair)
    plan = _plan(network, draws, seed)
    found = _measured(model, guide, pair, plan)
    return _as_dataset(found, plan, draws).assign_attrs(seed=seed, draws=draws, points=len(pair[1]))


@dataclass(frozen=True)
class _Plan:
    """The lesions of a study.

    Attributes:
        intact: The whole network.
        single: For each block the network without it; ``None`` for blocks that have to stay.
        random: For each number of deleted blocks some lesions.
        exact: For each number whether they are all that there are.
        reordered: Networks with blocks exchanged.
    """

    intact: Wiring
    single: list[Wiring | None]
    random: list[list[Wiring]]
    exact: list[bool]
    reordered: list[Wiring]

    def wirings(self) -> list[Wiring]:
        """Return all of them."""
        every = [self.intact, *self.single, *(one for some in self.random for one in some), *self.reordered]
        return [wiring for wiring in every if wiring is not None]


def _plan(network: PerDepth, draws: int, seed: int) -> _Plan:
    """Draw the lesions of a study."""
    blocks, free, pairs = range(network.max_depth), deletable(network), interchangeable(network)
    generator = np.random.default_rng(seed)

    def without(gone: tuple[int, ...]) -> Wiring:
        return tuple(None if i in gone else i for i in blocks)

    random = [subsets(free, size, draws, generator) for size in range(len(free) + 1)]
    reordered = []
    for draw in range(draws if pairs else 0):
        order = list(blocks)
        for i, j in generator.choice(pairs, 1 + draw * len(blocks) // draws):
            order[i], order[j] = order[j], order[i]
        reordered.append(tuple(order))
    return _Plan(
        intact=tuple(blocks),
        single=[without((i,)) if i in free else None for i in blocks],
        random=[[without(gone) for gone in some] for some in random],
        exact=[math.comb(len(free), size) <= draws for size in range(len(free) + 1)],
        reordered=reordered,
    )


@dataclass
class _Found:
    """The numbers of a study.

    Attributes:
        names: The names of the measures.
        scores: The measures of each lesion, ``(prediction, measure)``.
        mass_above: The probability of the depths that use each block; empty for a model without axes.
    """

    names: list[str]
    scores: dict[Wiring, np.ndarray]
    mass_above: np.ndarray


def _measured(model: VDSModel, guide: Guide | None, data: Data, plan: _Plan) -> _Found:
    """Return the measures of every lesion from one pass of their tree over the data."""
    found, weigh = _Found([], {}, np.zeros(0)), weigher(model, guide)
    device = model.device_tensor().device
    with eval_mode(model), torch.inference_mode():
        for x, y in zip(*(split(part, BATCH_SIZE) for part in data), strict=True):
            x, y = moved(x, device), y.to(device)
            share, tables = len(y) / len(data[1]), weigh(x)
            if model.space:
                above = tables("posterior").exp().flip(0).cumsum(0).flip(0)[1:].mean(-1).double().cpu().numpy()
                found.mass_above = share * above + (found.mass_above if len(found.mass_above) else 0)
            for wiring, outputs in lesioned_outputs(model.backbone, x, plan.wirings()):
                outputs = at_least_float32(outputs)
                means = _means(model, outputs if model.space else outputs[None], tables, y)
                found.names = list(means[0])
                values = share * np.array([list(of_prediction.values()) for of_prediction in means])
                found.scores[wiring] = found.scores.get(wiring, 0) + values
    return found


def _means(model: VDSModel, outputs: Tensor, tables: Tables, y: Tensor) -> list[dict[str, float]]:
    """Return the mean of each measure of a batch, for the last read-out and, with axes, for the marginal."""
    predictions = [model.likelihood.mixture(outputs[-1:], outputs.new_zeros(1, 1))]
    if model.space:
        predictions.append(Mixture(model, outputs, tables).distribution)
    each = [model.likelihood.metrics(prediction, y) for prediction in predictions]
    return [{name: float(values.double().mean()) for name, values in measures.items()} for measures in each]


def _as_dataset(found: _Found, plan: _Plan, draws: int) -> xr.Dataset:
    """Return the numbers of a study with their names."""
    names = [NAMES.get(name, name) for name in found.names]
    squared = np.array([name == "squared_error" for name in found.names])
    predictions = [LAST, MARGINAL] if len(found.mass_above) else [LAST]
    nothing = np.full((len(predictions), len(names)), np.nan)

    def of(wirings: Sequence[Wiring | None], length: int) -> np.ndarray:
        """Return ``(prediction, measure, lesion)``, and NaN where there is no lesion."""
        values = [nothing if wiring is None else found.scores[wiring] for wiring in wirings]
        stacked = np.stack(values + [nothing] * (length - len(values)), -1)
        stacked[:, squared] = np.sqrt(stacked[:, squared])
        return stacked

    dims, blocks = ("prediction", "measure"), len(plan.intact)
    study = xr.Dataset(
        {
            "intact": (dims, of([plan.intact], 1)[..., 0], {"exact": 1}),
            "single": ((*dims, "block"), of(plan.single, blocks), {"exact": 1}),
            "random": (
                (*dims, "deleted", "draw"),
                np.stack([of(some, draws) for some in plan.random], 2),
                {"exact": int(all(plan.exact))},
            ),
        },
        {
            "prediction": predictions,
            "measure": names,
            "unit": ("measure", [UNITS.get(name, "") for name in names]),
            "block": np.arange(1, blocks + 1),
            "deleted": np.arange(len(plan.random)),
            "draw": np.arange(draws),
            "exact": ("deleted", plan.exact),
        },
    )
    if plan.reordered:
        study["reordered"] = ((*dims, "draw"), of(plan.reordered, draws), {"exact": 0})
        study["tau"] = ("draw", [float(np.asarray(kendalltau(plan.intact, one))[0]) for one in plan.reordered])
    if len(found.mass_above):
        study["mass_above"] = ("block", found.mass_above, {"exact": 1})
    return study
