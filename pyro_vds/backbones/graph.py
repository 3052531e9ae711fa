"""Networks whose connections and operations are chosen: a graph of layers with options on its edges."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.chosen_graph import ChosenGraph, Edge, Merge, apply, by_target, merged, named, resized, smallest
from pyro_vds.ops.compat import BatchNorm
from pyro_vds.ops.copies import copied
from pyro_vds.ops.inputs import device_of, mapped
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.parts import called, spare_input
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.axis import Axis, Plate
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Inputs

Options = Mapping[Any, nn.Module | None]


class SearchGraph(nn.Module):
    """A graph of layers in which each edge carries one of several operations, or nothing.

    ``h_0 = stem(x)``, ``m_j = merge_{i<j} op_ij(h_i)``, ``h_j = layer_j(m_j)``, and the output of the last node is
    ``head(m_{L+1})``. An edge that carries nothing gives zeros. Before the operation, the maps that enter a node are
    averaged to the size of the smallest, except at the last node. The choices are one axis with a site for each edge;
    edges are ordered by their target, then by their source.

    ``forward`` returns all architectures: a layer runs once for each state of the choices behind it, so that 74 runs of
    layers give all 1,024 subgraphs of three layers. ``at`` runs the architectures that it is given.

    Args:
        stem: Maps inputs to the activations of node 0, ``(batch, *event)``.
        layers: The layers of the nodes ``1..L``; they see zeros if nothing enters them.
        head: Maps what enters the last node to outputs. A head that is linear belongs into the operations of the last
            edges, so that it runs once for each state of their sources.
        options: For each edge ``(source, target)`` the operations by their labels, the same labels on all edges;
            ``None`` carries nothing.
        axis: Name of the axis of choices.
        merge: ``"sum"``; or ``"max"``, for activations that are not negative, so that nothing is neutral. The last node
            has the sum.
        example: Inputs ``(1, ...)``, from which the shapes in the graph are known; a graph cut to one architecture
            takes inputs of this size.

    Raises:
        ValueError: If an edge does not go from a node to a later one, edges have different labels, a node has no edge,
            or there is a batch norm, whose statistics would mix architectures.
    """

    def __init__(
        self,
        stem: nn.Module,
        layers: Sequence[nn.Module],
        head: nn.Module,
        options: Mapping[Edge, Options],
        *,
        axis: str,
        merge: Merge = "sum",
        example: Inputs,
    ) -> None:
        super().__init__()
        self.edges = sorted(options, key=lambda edge: (edge[1], edge[0]))
        self.labels = _checked_labels(options, len(layers))
        if merge not in ("sum", "max"):
            raise ValueError(f"Expected merge 'sum' or 'max', got {merge!r}.")
        self.axis = axis
        self.merge: Merge = merge
        self.stem, self.head = stem, head
        self.layers = nn.ModuleList(layers)
        operations = [[options[edge][label] for label in self.labels] for edge in self.edges]
        self.empty = [[operation is None for operation in row] for row in operations]
        self.operations = nn.ModuleList(
            nn.ModuleList(nn.Identity() if operation is None else operation for operation in row) for row in operations
        )
        self.shapes: dict[int, torch.Size] = {}
        self.sizes: dict[int, tuple[int, ...]] = {}
        _refuse_batch_norm(self)
        for part in (
            self.stem,
            *self.layers,
            self.head,
            *(o for row in self.operations for o in cast(nn.ModuleList, row)),
        ):
            spare_input(part)
        with torch.no_grad(), eval_mode(self), isolated_rng(device_of(example)):
            example = mapped(torch.clone, example)
            self.shapes[0] = self._first(example).shape[1:]
            self.at(example, {axis: torch.zeros(1, len(self.edges), dtype=torch.long)})

    @property
    def space(self) -> Space:
        """One axis with a site for each edge."""
        names = tuple(f"{source}->{target}" for source, target in self.edges)
        return Space([Axis(self.axis, self.labels, Plate("edge", len(self.edges), names), read_out=False)])

    def forward(self, x: Inputs) -> Float[Tensor, "architecture batch *event"]:
        """Return the outputs of every architecture, in the order of ``space.architectures()``.

        Raises:
            ValueError: If there are more than 65,536.
        """
        self.space.require_table("in one pass", f"Use at(x, {{{self.axis!r}: entries}}).")
        nodes: list[tuple[Tensor, int]] = [(self._first(x), 0)]
        for target, (layer, numbers) in enumerate(self._targets(), start=1):
            total: Tensor | None = None
            for number, source in self._sources(target, numbers, nodes):
                carried = self._under_each_option(number, source, nodes[self.edges[number][0]][1])
                total = carried if total is None else self._merged(target, total.unsqueeze(number), carried)
            assert total is not None
            lead = numbers[-1] + 1
            nodes.append((apply(self, layer, total, lead), lead))
        outputs, lead = nodes[-1]
        return outputs.expand(*[len(self.labels)] * lead, *outputs.shape[lead:]).flatten(0, lead - 1)

    def at(self, x: Inputs, architectures: Mapping[str, Tensor]) -> Float[Tensor, "architecture batch *event"]:
        """Return the outputs of some architectures.

        Args:
            x: Inputs ``(batch, ...)``.
            architectures: The entry of each edge, ``(architecture, edge)``; or the weights of the operations on each
                edge, ``(architecture, edge, option)``, for networks that mix them.
        """
        choice = architectures[self.axis]
        weights = choice if choice.is_floating_point() else F.one_hot(choice, len(self.labels))
        nodes = [self._first(x)[None]]
        for target, (layer, numbers) in enumerate(self._targets(), start=1):
            total: Tensor | None = None
            for number, source in self._sources(target, numbers, [(maps, 1) for maps in nodes]):
                carried = self._weighted(number, source, weights[:, number].to(source))
                total = carried if total is None else self._merged(target, total, carried)
            assert total is not None
            self.shapes.setdefault(target, total.shape[2:])
            nodes.append(apply(self, layer, total, 1))
        return nodes[-1].expand(len(choice), *nodes[-1].shape[1:])

    def restrict(self, **cut: Hashable) -> nn.Module:
        """Return an independent copy of one architecture, without edges that carry nothing and nodes that lead nowhere.

        Args:
            cut: The label of each edge, by the name of the axis; without it the copy is whole.

        Raises:
            TypeError: If it is no sequence.
            ValueError: If the axis is another one, or there are labels of another number of edges.
        """
        if not self.space.index(cut):
            return copied(self)
        entries = self.space[self.axis].choices(cut[self.axis])
        carried = {
            edge: cast(nn.ModuleList, operations)[entry]
            for edge, operations, entry, empty in zip(self.edges, self.operations, entries, self.empty, strict=True)
            if not empty[entry]
        }
        return copied(ChosenGraph(self, carried))

    def _first(self, x: Inputs) -> Tensor:
        """Return the activations of node 0."""
        return called(self.stem, x, lambda part: named(self, part))

    def _targets(self) -> list[tuple[nn.Module, list[int]]]:
        """Return the layer of each node, and the numbers of the edges into it."""
        return list(zip((*self.layers, self.head), by_target(self.edges, len(self.layers) + 1), strict=True))

    def _sources(self, target: int, numbers: list[int], nodes: list[tuple[Tensor, int]]) -> list[tuple[int, Tensor]]:
        """Return the number of each edge into a node with the activations that enter it, all of the same size."""
        found = [(number, *nodes[self.edges[number][0]]) for number in numbers]
        if target > len(self.layers):
            return [(number, maps) for number, maps, _ in found]
        size = smallest([maps.shape[lead + 1 :] for _, maps, lead in found])
        self.sizes.setdefault(target, size)
        return [(number, resized(maps, lead, size)) for number, maps, lead in found]

    def _merged(self, target: int, one: Tensor, other: Tensor) -> Tensor:
        return merged("sum" if target > len(self.layers) else self.merge, one, other)

    def _under_each_option(self, number: int, source: Tensor, lead: int) -> Tensor:
        """Return what an edge carries, ``(*edges, batch, *event)``: one dimension for each edge up to this one.

        A dimension has size 1 where nothing depends on the edge.
        """
        found = self._carried(number, source, lead)
        like = next(maps for maps in found if maps is not None)
        stacked = torch.stack([torch.zeros_like(like) if maps is None else maps for maps in found], lead)
        return stacked[(*[slice(None)] * lead, *[None] * (number - lead))]

    def _weighted(self, number: int, source: Tensor, weights: Tensor) -> Tensor:
        """Return what an edge carries in each architecture, with weights ``(architecture, option)``."""
        parts = [
            maps * weights[:, option].view(-1, *[1] * (maps.ndim - 1))
            for option, maps in enumerate(self._carried(number, source, 1))
            if maps is not None
        ]
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]

    def _carried(self, number: int, source: Tensor, lead: int) -> list[Tensor | None]:
        """Return the result of each operation of an edge; ``None`` for the one that carries nothing."""
        row = zip(cast(nn.ModuleList, self.operations[number]), self.empty[number], strict=True)
        return [None if empty else apply(self, operation, source, lead) for operation, empty in row]


def _refuse_batch_norm(graph: nn.Module) -> None:
    """Raise if a graph has batch norm."""
    if any(isinstance(module, BatchNorm) for module in graph.modules()):
        raise ValueError(
            "Expected a graph without batch norm, whose statistics would mix architectures, got one. Use "
            "torch.nn.GroupNorm on an edge, or none."
        )


def _checked_labels(options: Mapping[Edge, Options], layers: int) -> tuple[Hashable, ...]:
    """Return the labels that all edges share."""
    for source, target in options:
        if not 0 <= source < target <= layers + 1:
            raise ValueError(f"Expected edges from a node to a later one of 0..{layers + 1}, got {(source, target)}.")
    missing = set(range(1, layers + 2)) - {target for _, target in options}
    if missing:
        raise ValueError(f"Expected an edge into each of the nodes 1..{layers + 1}, got none into {sorted(missing)}.")
    labels = {tuple(operations) for operations in options.values()}
    if len(labels) != 1:
        raise ValueError(f"Expected the same labels of operations on all edges, got {sorted(map(str, labels))}.")
    (found,) = labels
    if any(all(operation is None for operation in operations.values()) for operations in options.values()):
        raise ValueError("Expected an operation on each edge that carries something, got only None.")
    return found
