"""Spirals: the decision function at each depth of a learnt depth network and of a plain one (figure 3)."""

from collections.abc import Mapping
from typing import Any, cast

import torch

import pyro_vds as vds
from experiments.engine.presets import SPIRALS, TINY_SPIRALS
from experiments.engine.training import Repeat, as_settings, described, train_repeats
from pyro_vds.ops.modes import eval_mode
from pyro_vds.sweeps import Grid, Resources, Scan, product

EXTENT, RESOLUTION = 2.5, 40


def measure_functions(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train the repeats of a network, and return its functions on a grid of ``[-EXTENT, EXTENT]`` squared.

    Args:
        values: What differs from the default settings.
        repeats: Number of repeats.
        resources: How it is run.
    """
    trained, seconds = train_repeats(values, repeats, resources)
    return {
        "settings": described(as_settings(values, resources), values),
        "extent": EXTENT,
        "training_seconds": seconds,
        "repeats": [_functions(repeat) for repeat in trained],
    }


@torch.inference_mode()
def _functions(repeat: Repeat) -> dict[str, Any]:
    """Return the second class's probability in percent, and how far each block moves the training points."""
    network = cast(vds.PerDepth, repeat.model.backbone)
    # A plain network's head can be asked at every depth too: it has no statistics of its own.
    network.readout = "all"
    side = torch.linspace(-EXTENT, EXTENT, RESOLUTION)
    grid = torch.cartesian_prod(side, side).to(repeat.model.device_tensor())
    with eval_mode(network):
        percent = (100 * network(grid).softmax(-1)[..., 1]).round().int()
        moves = _moves(network, repeat.data.train[0].to(grid))
    q = repeat.guide.probs().get("depth")
    return {
        "seed": repeat.settings.seed,
        "percent": percent.reshape(-1, RESOLUTION, RESOLUTION).tolist(),
        "moves": moves,
        "q": None if q is None else q.tolist(),
        "points": repeat.data.train[0].tolist(),
        "classes": repeat.data.train[1].tolist(),
    }


def _moves(network: vds.PerDepth, x: torch.Tensor) -> list[float]:
    """Return ``mean_n ||block_i(a)|| / ||a||`` of each block: near 0 where it is the identity."""
    activations, moves = network.stem(x), []
    for block in network.blocks:
        change = block(activations)
        moves.append(float((change.norm(dim=1) / activations.norm(dim=1)).mean()))
        activations = activations + change
    return moves


SCAN = Scan(
    paper=Grid(product({"readout": ("all", "last")}), SPIRALS),
    tiny=Grid(product({"readout": ("all", "last")}), SPIRALS | TINY_SPIRALS),
    measure=measure_functions,
)
