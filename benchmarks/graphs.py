"""Graphs of chosen connections: an exact step over all subgraphs against one with all edges, and the table of cells."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import pyro_vds as vds
from benchmarks.measure import Comparison, interleaved
from benchmarks.steps import ours, plain_step

DENSE = {"in_shape": (64,), "channels": 16}
CONV = {"in_shape": (1, 8, 8), "channels": 8, "pool": (1,)}


class _Network(nn.Module):
    """A network without choices as a backbone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.space = vds.Space()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


def graphs(device: torch.device, *, tiny: bool) -> list[Comparison]:
    """Compare steps of a graph with 10 gates, dense and convolutional, and networks of one cell with all cells.

    Args:
        device: Where to run.
        tiny: Small graphs and few rounds.
    """
    return [_steps("dense", DENSE, device, tiny), _steps("convolutions", CONV, device, tiny), _cells(device, tiny)]


def _steps(kind: str, sizes: Mapping[str, Any], device: torch.device, tiny: bool) -> Comparison:
    """Compare steps with all subgraphs and with four with steps of all edges open."""
    layers, batch, rounds = (1, 8, 2) if tiny else (3, 100, 15)
    torch.manual_seed(0)

    def graph() -> vds.SearchGraph:
        return vds.connectivity(outputs=10, layers=layers, **sizes).to(device)

    x = torch.randn(batch, *sizes["in_shape"], device=device)
    y = torch.randint(0, 10, (batch,), device=device)
    count = graph().space.count

    def opened() -> nn.Module:
        return _Network(graph().restrict(gate=(True,) * len(graph().edges)))

    plain = opened()
    cases = {
        "all edges open, plain torch": plain_step(plain, lambda: F.cross_entropy(plain(x), y)),
        "all edges open": ours(opened(), x, y, compile=False),
        "four drawn subgraphs": ours(graph(), x, y, compile=False, samples=4),
        f"all {count:,} subgraphs": ours(graph(), x, y, compile=False),
        f"all {count:,} subgraphs, compiled": ours(graph(), x, y, compile=True),
    }
    setting = f"connectivity, {layers} layers of {sizes['channels']}, batch {batch}, eager unless said"
    return Comparison(f"training step, gates, {kind}", "ms", setting, interleaved(cases, device, rounds=rounds))


@torch.inference_mode()
def _cells(device: torch.device, tiny: bool) -> Comparison:
    """Compare the outputs of one cell with the table of all of them."""
    images, rounds, operations = (2, 2, vds.NAS_BENCH_201[:2]) if tiny else (200, 3, vds.NAS_BENCH_201)
    torch.manual_seed(0)
    network = vds.cell((1, 8, 8), 10, operations=operations).to(device).eval()
    x = torch.randn(images, 1, 8, 8, device=device)
    one: Tensor = torch.full((1, 6), len(operations) - 1, device=device)
    cases = {"one cell": lambda: network.at(x, {"op": one}), f"all {network.space.count:,} cells": lambda: network(x)}
    setting = f"cell of 8 channels, {images} images of 8x8, eager"
    return Comparison("table of cells", "ms", setting, interleaved(cases, device, rounds=rounds))
