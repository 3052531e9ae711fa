"""The blog's network with soft gates, where gates start, and random graphs to compare with."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

import pyro_vds as vds
from pyro_vds.spaces.typing import Inputs

Start = float | Literal["normal", "chain"]


class Network(nn.Module):
    """A network without choices as a backbone.

    Args:
        network: Maps inputs to outputs.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.space = vds.Space()

    def forward(self, x: Inputs) -> Float[Tensor, "batch output"]:
        """Return the outputs."""
        return self.network(x)


class SoftGates(nn.Module):
    """The blog's network: what an edge carries times a learnt weight, ``sigmoid(w)`` or ``w`` itself.

    Args:
        graph: The graph, whose axis is ``"gate"``.
        start: The first ``w`` of each edge.
        squash: Whether the weight is ``sigmoid(w)``.
    """

    def __init__(self, graph: vds.SearchGraph, start: Float[Tensor, " edge"], *, squash: bool) -> None:
        super().__init__()
        self.graph = graph
        self.w = nn.Parameter(start.clone())
        self.squash = squash
        self.space = vds.Space()

    @property
    def weights(self) -> Float[Tensor, " edge"]:
        """The weight of each edge."""
        return self.w.sigmoid() if self.squash else self.w

    def forward(self, x: Inputs) -> Float[Tensor, "batch output"]:
        """Return the outputs of the weighted network."""
        weights = self.weights
        return self.graph.at(x, {"gate": torch.stack([1 - weights, weights], -1)[None]})[0]


def start_logits(start: Start, edges: Sequence[tuple[int, int]], *, seed: int) -> Float[Tensor, " edge"]:
    """Return the first logit of each gate.

    Args:
        start: One for all; ``"normal"`` draws them from N(0.5, 1); ``"chain"`` is 1 from each node to the next and 0.5
            elsewhere. These are the blog's.
        edges: The edges.
        seed: Seed of the draws.
    """
    if start == "normal":
        return 0.5 + torch.randn(len(edges), generator=torch.Generator().manual_seed(seed))
    if start == "chain":
        return torch.tensor([1.0 if target == source + 1 else 0.5 for source, target in edges])
    return torch.full((len(edges),), float(start))


def connected_at_random(edges: Sequence[tuple[int, int]], size: int, rng: np.random.Generator) -> tuple[bool, ...]:
    """Draw a subgraph with some number of edges, uniformly among those with a path from stem to head.

    Args:
        edges: All edges, ordered by target.
        size: Number of open edges, from 1 to all.
        rng: The generator.
    """
    while True:
        chosen = set(rng.choice(len(edges), size, replace=False).tolist())
        reached = {0}
        for number, (source, target) in enumerate(edges):
            if number in chosen and source in reached:
                reached.add(target)
        if edges[-1][1] in reached:
            return tuple(number in chosen for number in range(len(edges)))
