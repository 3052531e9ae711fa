"""Time of a prediction by a network pruned to each depth, against plain networks of the full depth (figure 11).

The paper's baseline evaluates the read-outs of all depths; a plain network (DDN) evaluates one. Both are here. Times
do not depend on the weights, so that nothing is trained: where a trained network was pruned to says what it gains.
"""

from collections.abc import Mapping
from typing import Any

import torch

import pyro_vds as vds
from benchmarks.measure import interleaved
from pyro_vds.sweeps import Grid, Resources, Scan, product

SHAPES = {"1x28x28": (1, 28, 28), "3x32x32": (3, 32, 32)}


@torch.inference_mode()
def measure_time(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Return the median time of each network for one batch, milliseconds.

    Args:
        values: ``image``, ``max_depth``, ``depth`` to prune to, ``batch_size``, and ``rounds`` of the measurement.
        repeats: Not used: a round is a repeat.
        resources: Where it is run.
    """
    device, shape, max_depth = resources.device, SHAPES[values["image"]], values["max_depth"]
    torch.manual_seed(0)
    x = torch.randn(values["batch_size"], *shape, device=device)
    plain = vds.ResidualConvNet(shape[0], 10, max_depth, readout="last").to(device).eval()
    every = vds.ResidualConvNet(shape[0], 10, max_depth).to(device).eval()
    model = vds.VDSModel(every, num_data=1)
    pruned = vds.prune(model, vds.AutoCategorical(model), depth=values["depth"])
    cases = {"pruned": lambda: pruned(x), "plain": lambda: plain(x), "all read-outs": lambda: every(x)}
    return {"settings": dict(values), "ms": interleaved(cases, device, rounds=values["rounds"])}


def _points(depths: range) -> list[dict[str, Any]]:
    return product({"image": SHAPES, "depth": depths})


SCAN = Scan(
    paper=Grid(_points(range(0, 55, 5)), {"max_depth": 50, "batch_size": 512, "rounds": 30}),
    cpu=Grid(_points(range(0, 55, 5)), {"max_depth": 50, "batch_size": 64, "rounds": 7}),
    tiny=Grid(_points(range(0, 4, 2)), {"max_depth": 2, "batch_size": 4, "rounds": 2}),
    measure=measure_time,
)
