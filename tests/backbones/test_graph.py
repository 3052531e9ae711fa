"""Graphs of layers: the table of all architectures, some of them, and one."""

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import pyro_vds as vds

MERGES = ("squeeze", "concat", "sum", "max")


def by_hand(graph, x, gates, merge):
    """One architecture of a graph of gates, node by node, in plain torch."""
    nodes = [graph.stem(x)]
    edges = dict(zip(graph.edges, zip(graph.operations, gates, strict=True), strict=True))
    for target, layer in enumerate((*graph.layers, graph.head), start=1):
        last = target == len(graph.layers) + 1
        size = min(node.shape[-1] for node in nodes)
        carried = []
        for source, maps in enumerate(nodes):
            operations, gate = edges[source, target]
            maps = maps if last else F.adaptive_avg_pool2d(maps, size)
            carried.append(gate * operations[1](maps))
        stacked = torch.stack(carried)
        nodes.append(layer(stacked.amax(0) if merge == "max" and not last else stacked.sum(0)))
    return nodes[-1]


@pytest.mark.parametrize("merge", MERGES)
def test_the_table_equals_each_architecture_by_hand(merge):
    torch.manual_seed(0)
    graph = vds.connectivity((2, 6, 6), 3, layers=2, channels=4, merge=merge, pool=(1,)).double()
    x = torch.randn(5, 2, 6, 6, dtype=torch.double)
    table = graph(x)
    rows = torch.tensor(list(itertools.product((0, 1), repeat=6)))
    expected = torch.stack([by_hand(graph, x, row, merge) for row in rows])
    torch.testing.assert_close(table, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(graph.at(x, {"gate": rows}), expected, rtol=0, atol=1e-12)
    for position in range(64):
        small = graph.restrict(**graph.space.architecture(position))
        torch.testing.assert_close(small(x), expected[position], rtol=0, atol=1e-12)


def test_the_concatenation_of_the_blog_equals_the_sum_of_convolutions():
    """A 1x1 (3x3) convolution of the concatenated, gated inputs, as the blog has it."""
    for merge, kernel in (("squeeze", 1), ("concat", 3)):
        torch.manual_seed(0)
        graph = vds.connectivity((2, 6, 6), 3, layers=2, channels=4, merge=merge).double()
        x = torch.randn(5, 2, 6, 6, dtype=torch.double)
        gates = torch.tensor([1, 1, 0, 0, 1, 1])
        h0 = graph.stem(x)
        h1 = graph.layers[0](graph.operations[0][1](h0))
        weight = torch.cat([graph.operations[1][1].weight, graph.operations[2][1].weight], 1)
        together = torch.cat([gates[1] * h0, gates[2] * h1], 1)
        h2 = graph.layers[1](F.conv2d(together, weight, padding=kernel // 2))
        read = [graph.operations[number][1] for number in (3, 4, 5)]
        expected = graph.head(gates[4] * read[1](h1) + gates[5] * read[2](h2))
        torch.testing.assert_close(graph.at(x, {"gate": gates[None]})[0], expected)


def test_layers_run_once_for_each_state_of_the_choices_behind_them():
    """2 + 8 + 64 runs of the three layers give the 1,024 subgraphs."""
    graph = vds.connectivity((3,), 2, layers=3, channels=2)
    rows = []
    for layer in graph.layers:
        layer.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    graph(torch.randn(1, 3))
    assert rows == [2, 8, 64]


def test_a_cell_of_fifteen_thousand_networks_equals_some_one_by_one():
    torch.manual_seed(0)
    cell = vds.cell((1, 5, 5), 3, channels=2).double()
    x = torch.randn(2, 1, 5, 5, dtype=torch.double)
    table = cell(x)
    assert table.shape == (15_625, 2, 3)
    rows = torch.randint(0, 5, (40, 6))
    flat = (rows * 5 ** torch.arange(5, -1, -1)).sum(1)
    torch.testing.assert_close(cell.at(x, {"op": rows}), table[flat], rtol=0, atol=1e-12)
    for position in flat[:5].tolist():
        small = cell.restrict(**cell.space.architecture(position))
        torch.testing.assert_close(small(x), table[position], rtol=0, atol=1e-12)
    by_operation = F.one_hot(rows, 5).double()
    torch.testing.assert_close(cell.at(x, {"op": by_operation}), table[flat], rtol=0, atol=1e-12)


def test_a_pruned_graph_has_no_dead_ends_and_exports():
    torch.manual_seed(0)
    graph = vds.connectivity((1, 8, 8), 3, layers=3, channels=4)
    names = graph.space["gate"].plate.labels
    opened = {"0->1", "1->4", "0->2", "2->3"}  # node 3 leads nowhere, and so does node 2
    small = graph.restrict(gate=tuple(name in opened for name in names))
    assert small.edges == [(0, 1), (1, 4)]
    assert small.nodes == [1, 4]
    one = sum(p.numel() for p in [*graph.stem.parameters(), *graph.layers[0].parameters(), *graph.head.parameters()])
    one += sum(p.numel() for number in (0, names.index("1->4")) for p in graph.operations[number].parameters())
    assert sum(p.numel() for p in small.parameters()) == one
    x = torch.randn(3, 1, 8, 8)
    program = torch.export.export(small, (x,))
    torch.testing.assert_close(program.module()(x), small(x))
    assert small.operations[0].weight is not graph.operations[0][1].weight


def test_a_node_that_nothing_enters_is_a_constant():
    graph = vds.connectivity((3,), 2, layers=1, channels=2)
    small = graph.restrict(gate=(False, False, True))
    x = torch.randn(4, 3)
    torch.testing.assert_close(small(x), graph.at(x, {"gate": torch.tensor([[0, 0, 1]])})[0])
    assert small(x).std(0).max() == 0


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vds.connectivity((3, 3), 2), r"Expected in_shape \(features,\) or \(channels, height, width\)"),
        (lambda: vds.connectivity((3,), 2, merge="mean"), "Expected merge 'squeeze', 'concat', 'sum' or 'max'"),
        (lambda: vds.connectivity((3,), 2, pool=(1,)), "Expected no pooling of dense layers"),
        (lambda: vds.cell((1, 8, 8), 2, operations=("conv7x7",)), "operations of .'none'"),
        (lambda: small_graph({(1, 0): {"on": nn.Identity()}}), "Expected edges from a node to a later one of 0..2"),
        (lambda: small_graph({(0, 2): {"on": nn.Identity()}}), r"got none into \[1\]"),
        (
            lambda: small_graph({(0, 1): {"on": nn.Identity()}, (1, 2): {"off": nn.Identity()}}),
            "Expected the same labels of operations on all edges",
        ),
        (lambda: small_graph({(0, 1): {"on": None}, (1, 2): {"on": None}}), "that carries something, got only None"),
        (
            lambda: vds.connectivity((3,), 2, layers=5).forward(torch.randn(1, 3)),
            r"Expected at most 65,536 architectures in one pass, got 2,097,152. Use at\(x, \{'gate': entries\}\)",
        ),
        (lambda: vds.connectivity((3,), 2).restrict(gate=(True,)), "Expected a gate for each of 10 sites, got 1"),
    ],
)
def test_wrong_graphs_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def small_graph(options):
    return vds.SearchGraph(nn.Identity(), [nn.Identity()], nn.Identity(), options, axis="op", example=torch.zeros(1, 2))
