"""One architecture of a graph: the edges that carry something, and the nodes that lead to the output."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.ops.parts import called
from pyro_vds.spaces.typing import Inputs

Merge = Literal["sum", "max"]
Edge = tuple[int, int]


class ChosenGraph(nn.Module):
    """The network of one architecture of a :class:`pyro_vds.SearchGraph`.

    Nodes that do not lead to the output are gone. A node that nothing enters stays if it leads there: its layer sees
    zeros, which a bias turns into a constant.

    Args:
        graph: The :class:`pyro_vds.SearchGraph`; its modules are shared.
        carried: The operation of each edge that carries something.
    """

    def __init__(self, graph: Any, carried: Mapping[Edge, nn.Module]) -> None:
        super().__init__()
        self.last = len(graph.layers) + 1
        kept = _leading_to(self.last, carried)
        self.stem, self.head = graph.stem, graph.head
        self.merge: Merge = graph.merge
        self.nodes = sorted(kept - {0})
        self.layers = nn.ModuleList(graph.layers[node - 1] for node in self.nodes if node != self.last)
        self.edges = sorted((edge for edge in carried if edge[1] in kept), key=lambda edge: (edge[1], edge[0]))
        self.operations = nn.ModuleList(carried[edge] for edge in self.edges)
        self.shapes = {node: tuple(graph.shapes[node]) for node in (0, *self.nodes)}
        # Where an edge carries nothing, its zeros count in a maximum.
        closed = {edge[1] for edge in graph.edges if edge not in carried}
        self.with_zeros = closed if graph.merge == "max" else set()
        self.sizes = {node: graph.sizes[node] for node in self.nodes if node != self.last}

    def forward(self, x: Inputs) -> Float[Tensor, "batch *event"]:
        """Return the outputs.

        Raises:
            ValueError: If the inputs have another size than those that the graph was built for.
        """
        nodes = {0: called(self.stem, x, self._name)}
        if tuple(nodes[0].shape[1:]) != self.shapes[0]:
            raise ValueError(
                f"Expected maps {self.shapes[0]} behind the stem, those that the graph was built for, got "
                f"{tuple(nodes[0].shape[1:])}. Build the graph for inputs of this size."
            )
        for node, layer in zip(self.nodes, (*self.layers, self.head), strict=True):
            merge: Merge = "sum" if node == self.last else self.merge
            total: Tensor | None = None
            for (source, target), operation in zip(self.edges, self.operations, strict=True):
                if target == node:
                    maps = nodes[source] if node == self.last else resized(nodes[source], 0, self.sizes[node])
                    carried = called(operation, maps, self._name)
                    total = carried if total is None else merged(merge, total, carried)
            if total is not None and node in self.with_zeros and node != self.last:
                total = total.clamp_min(0)
            entering = nodes[0].new_zeros(len(nodes[0]), *self.shapes[node]) if total is None else total
            nodes[node] = called(layer, entering, self._name)
        return nodes[self.last]

    def _name(self, part: nn.Module) -> str:
        return named(self, part)


def by_target(edges: Sequence[Edge], nodes: int) -> list[list[int]]:
    """Return the numbers of the edges into each of the nodes ``1..nodes``.

    Args:
        edges: The edges, ordered by target.
        nodes: Number of nodes behind the first.
    """
    return [[number for number, edge in enumerate(edges) if edge[1] == node] for node in range(1, nodes + 1)]


def apply(graph: nn.Module, module: nn.Module, maps: Tensor, lead: int) -> Tensor:
    """Run a module on maps with leading dimensions before the batch.

    Args:
        graph: The graph that the module is a part of, whose names messages use.
        module: Maps ``(batch, *event)`` to ``(batch, *other)``.
        maps: ``(*leading, batch, *event)``.
        lead: Number of leading dimensions.
    """
    results = called(module, maps.flatten(0, lead), lambda part: named(graph, part))
    return results.unflatten(0, maps.shape[: lead + 1])


def named(graph: nn.Module, part: nn.Module) -> str:
    """Return what messages call a part of a graph: the name by which it is registered.

    Args:
        graph: The graph.
        part: One of its modules.
    """
    return next(name for name, module in graph.named_modules() if module is part)


def merged(merge: Merge, one: Tensor, other: Tensor) -> Tensor:
    """Return the merge of what two edges carry.

    Args:
        merge: ``"sum"`` or ``"max"``.
        one: What one carries.
        other: What the other carries.
    """
    return torch.maximum(one, other) if merge == "max" else one + other


def smallest(events: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the size of the smallest map among shapes ``(channels, *space)``; empty for vectors.

    Args:
        events: The shapes.
    """
    return tuple(min(sizes) for sizes in zip(*(event[1:] for event in events), strict=True))


def resized(maps: Tensor, lead: int, size: Sequence[int]) -> Tensor:
    """Return maps ``(*leading, batch, channels, *space)`` averaged to a size.

    Args:
        maps: The maps.
        lead: Number of leading dimensions.
        size: The size of ``space``.
    """
    if tuple(maps.shape[lead + 2 :]) == tuple(size):
        return maps
    flat = F.adaptive_avg_pool2d(maps.flatten(0, lead), (size[0], size[1]))
    return flat.unflatten(0, maps.shape[: lead + 1])


def _leading_to(last: int, carried: Mapping[Edge, nn.Module]) -> set[int]:
    """Return the nodes from which a path leads to the last node; and node 0, which gives the type of zeros."""
    kept = {last, 0}
    for source, target in sorted(carried, key=lambda edge: -edge[1]):
        if target in kept:
            kept.add(source)
    return kept
