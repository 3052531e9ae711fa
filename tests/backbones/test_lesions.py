"""Lesions against networks built by hand, and path gradients against products of matrices."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18

import pyro_vds as vds
from pyro_vds.backbones.lesions import deletable, gradients_along, interchangeable, lesioned_outputs

BLOCKS = 4


def network(readout="all", kind="conv"):
    """A network with random weights, and head statistics that differ between the depths."""
    torch.manual_seed(0)
    if kind == "dense":
        net, x = vds.ResidualMLP(3, 2, width=5, max_depth=BLOCKS, readout=readout), torch.randn(9, 3)
    else:
        net, x = vds.ResidualConvNet(1, 3, BLOCKS, channels=4, bottleneck=2, readout=readout), torch.randn(9, 1, 8, 8)
    net.train()
    for _ in range(3):
        net(2 * torch.randn_like(x))
    return net.eval(), x


class Skip(nn.Module):
    """A residual block that is a whole map, and may change the width."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(inputs, outputs), nn.Tanh())
        self.skip = nn.Identity() if inputs == outputs else nn.Linear(inputs, outputs)

    def forward(self, x):
        return self.skip(x) + self.inner(x)


def whole_maps(*widths):
    torch.manual_seed(1)
    blocks = [Skip(one, two) for one, two in itertools.pairwise(widths)]
    return vds.FromModules(nn.Linear(2, widths[0]), blocks, nn.Linear(widths[-1], 3), example=torch.zeros(1, 2)).eval()


def by_hand(net, x, wiring):
    """Each depth of a lesioned network by a loop, the features of all depths before the head."""
    activations = net.stem(x)
    features = [net.pool(activations)]
    for i in wiring:
        activations = activations if i is None else activations + net.blocks[i](activations)
        features.append(net.pool(activations))
    return net.head(features[-1]) if net.readout == "last" else net._read_out(features)


@pytest.mark.parametrize("kind", ["conv", "dense"])
@pytest.mark.parametrize("readout", ["all", "last"])
def test_no_lesion_is_bit_equal(readout, kind):
    net, x = network(readout, kind)
    for same in (
        vds.lesion(net),
        vds.lesion(net, keep=[True] * BLOCKS),
        vds.lesion(net, order=range(BLOCKS)),
        vds.lesion(net, keep=torch.ones(BLOCKS, dtype=torch.bool), order=np.arange(BLOCKS)),
    ):
        assert torch.equal(same(x), net(x))
        assert same.space == net.space
    assert not {id(p) for p in vds.lesion(net).parameters()} & {id(p) for p in net.parameters()}


def test_an_order_undone_by_its_inverse_is_bit_equal():
    net, x = network()
    order = [2, 0, 3, 1]
    shuffled = vds.lesion(net, order=order)
    assert not torch.allclose(shuffled(x), net(x))
    assert torch.equal(vds.lesion(shuffled, order=np.argsort(order))(x), net(x))


@pytest.mark.parametrize("depth", range(BLOCKS + 1))
def test_a_prefix_is_the_shorter_network(depth):
    net, x = network("last")
    shorter = vds.PerDepth(net.stem, list(net.blocks)[:depth], net.head, pool=net.pool, readout="last")
    assert torch.equal(vds.lesion(net, keep=[i < depth for i in range(BLOCKS)])(x), shorter.eval()(x))


@pytest.mark.parametrize("readout", ["all", "last"])
def test_lesions_equal_a_loop_over_the_blocks(readout):
    net, x = network(readout)
    cases = itertools.product(itertools.product([False, True], repeat=BLOCKS), ([0, 1, 2, 3], [3, 1, 0, 2]))
    for keep, order in cases:
        wiring = [i if k else None for i, k in zip(order, keep, strict=True)]
        assert torch.equal(vds.lesion(net, keep=keep, order=order)(x), by_hand(net, x, wiring))


def test_readouts_below_a_deleted_block_stay():
    net, x = network()
    cut = vds.lesion(net, keep=[i != 1 for i in range(BLOCKS)])(x)
    assert torch.equal(cut[:2], net(x)[:2])
    assert all((cut[i] - net(x)[i]).abs().max() > 1e-3 for i in range(2, BLOCKS + 1))


def test_a_lesioned_network_is_restricted_like_any_other():
    net, x = network()
    cut = vds.lesion(net, keep=[True, False, True, True])
    assert torch.equal(cut.restrict(depth=2)(x), cut(x)[:3])
    assert "blocks.1.0.weight" not in cut.state_dict()


class Counted(nn.Module):
    """A block that counts its runs."""

    runs = 0

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        Counted.runs += 1
        return self.layer(x).tanh()


@pytest.mark.parametrize("readout", ["all", "last"])
def test_all_masks_run_as_a_tree(readout):
    net = vds.PerDepth(nn.Linear(2, 4), [Counted() for _ in range(BLOCKS)], nn.Linear(4, 3), readout=readout)
    x = torch.randn(5, 2)
    wirings = [
        tuple(i if k else None for i, k in enumerate(keep)) for keep in itertools.product([False, True], repeat=BLOCKS)
    ]
    wirings += [(3, 1, 2, 0), (0, 1, 3, 2), (0, 1, 3, 2)]
    Counted.runs = 0
    found = dict(lesioned_outputs(net, x, wirings))
    assert Counted.runs == 2**BLOCKS - 1 + 4 + 2
    assert set(found) == set(wirings)
    for wiring, outputs in found.items():
        assert torch.equal(outputs, by_hand(net, x, wiring))


def test_blocks_of_other_shapes_stay_where_they_are():
    """Widths 6, 6, 4, 4, 3: the blocks 0 and 2 keep the width; none can take another's place."""
    net, x = whole_maps(6, 6, 4, 4, 3), torch.randn(7, 2)
    assert deletable(net) == [0, 2]
    assert interchangeable(net) == []
    activations = net.stem(x)
    for i in (1, 3):
        activations = net.blocks[i](activations)
    cut = vds.lesion(net, keep=[False, True, False, True])
    torch.testing.assert_close(cut(x)[-1], net.head(activations))
    (both,) = (outputs for _, outputs in lesioned_outputs(net, x, [(None, 1, None, 3)]))
    assert torch.equal(both, cut(x))
    with pytest.raises(ValueError, match=r"got False for position 1\. Blocks \[0, 2\] can be deleted"):
        vds.lesion(net, keep=[True, False, True, True])
    with pytest.raises(ValueError, match=r"got block 2 at position 0\. Pairs that can be exchanged: \[\]"):
        vds.lesion(net, order=[2, 1, 0, 3])


def test_blocks_are_told_apart_by_their_activations_not_their_features():
    """The second block keeps the channels and halves the image, which the pool does not see."""
    blocks = [nn.Conv2d(4, 4, 3, stride=s, padding=1) for s in (1, 2, 1)]
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = vds.FromModules(nn.Conv2d(1, 4, 1), blocks, nn.Linear(4, 3), example=torch.zeros(1, 1, 8, 8), pool=pool)
    assert set(net.stages) == {0}
    assert (deletable(net), interchangeable(net)) == ([0, 2], [])
    assert deletable(net.restrict(depth=2)) == [0]


def test_torchvision_networks_lose_the_blocks_that_keep_the_shape():
    net, x = vds.from_resnet(resnet18(num_classes=3)).eval(), torch.randn(2, 3, 32, 32)
    assert deletable(net) == [0, 1, 3, 5, 7]
    assert interchangeable(net) == [(0, 1)]
    expected = net.stem(x)
    for i in (1, 0, 2, 4, 5, 6, 7):
        expected = net.blocks[i](expected)
    cut = vds.lesion(net, keep=[i != 3 for i in range(8)], order=[1, 0, *range(2, 8)])
    torch.testing.assert_close(cut(x)[-1], net.head(net.pool(expected)))


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"keep": [True, False]}, ValueError, "a boolean for each of 4 blocks, got 2"),
        ({"keep": [1, 1, 0, 1]}, TypeError, r"Expected keep as booleans.*got \[1, 1, 0, 1\]"),
        ({"order": [0, 1, 2, 2]}, ValueError, r"a permutation of 0\.\.3, got \[0, 1, 2, 2\]"),
        ({"order": [0, 1, 2]}, ValueError, r"a permutation of 0\.\.3, got \[0, 1, 2\]"),
        ({"order": [0, 1, 2, 3.0]}, TypeError, r"Expected order as whole numbers, got \[0, 1, 2, 3\.0\]"),
    ],
)
@pytest.mark.usefixtures("as_a_user")
def test_lesions_that_cannot_be_are_refused(how, error, message):
    with pytest.raises(error, match=message):
        vds.lesion(network()[0], **how)


@pytest.mark.usefixtures("as_a_user")
def test_networks_without_blocks_are_refused():
    wide = vds.WithWidths(vds.ResidualMLP(2, 2, width=4, max_depth=2), [2, 4])
    with pytest.raises(TypeError, match="Expected a PerDepth network.*got WithWidths"):
        vds.lesion(wide)
    with pytest.raises(ValueError, match="at least one block to delete, got none"):
        vds.lesion(vds.ResidualMLP(2, 2, max_depth=0))


def along(net, start, chosen):
    """The gradient along one path, by stopping the others, in plain torch."""
    start = start.detach().requires_grad_()
    activations, features = start, [net.pool(start)]
    for block, through in zip(net.blocks, chosen, strict=True):
        added = block(activations)
        activations = activations.detach() + added if through else activations + added.detach()
        features.append(net.pool(activations))
    outputs = net.head(features[-1]) if net.readout == "last" else net._read_out(features)[-1]
    return torch.autograd.grad(weighed(outputs), start)[0]


def weighed(outputs):
    return (outputs * torch.arange(3.0)).sum()


PATHS = list(itertools.product([False, True], repeat=BLOCKS))


@pytest.mark.parametrize("readout", ["all", "last"])
def test_gradients_along_paths_are_those_with_all_else_stopped(readout):
    net, x = network(readout)
    start = net.stem(x)
    found = dict(gradients_along(net, start, PATHS, weighed))
    assert set(found) == set(PATHS)
    for path in PATHS:
        torch.testing.assert_close(found[path], along(net, start, path))
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("readout", ["all", "last"])
def test_the_gradients_of_all_paths_add_up_to_that_of_the_network(readout):
    net, x = network(readout)
    start = net.stem(x).detach().requires_grad_()
    activations, features = start, [net.pool(start)]
    for block in net.blocks:
        activations = activations + block(activations)
        features.append(net.pool(activations))
    outputs = net.head(features[-1]) if readout == "last" else net._read_out(features)[-1]
    (expected,) = torch.autograd.grad(weighed(outputs), start)
    total = sum(gradient for _, gradient in gradients_along(net, start, PATHS, weighed))
    torch.testing.assert_close(total, expected, rtol=0, atol=1e-12)
    assert expected.abs().max() > 1e-2


def test_all_paths_take_one_forward_pass():
    net = vds.PerDepth(nn.Linear(2, 4), [Counted() for _ in range(BLOCKS)], nn.Linear(4, 3))
    Counted.runs = 0
    assert len(list(gradients_along(net, net.stem(torch.randn(5, 2)), [*PATHS, PATHS[3]], weighed))) == 2**BLOCKS
    assert Counted.runs == BLOCKS


def test_the_values_along_a_path_are_those_of_the_network():
    for net, x in (network("all"), network("last"), (whole_maps(4, 4, 4, 4, 4), torch.randn(7, 2))):
        seen = []
        list(gradients_along(net, net.stem(x), PATHS[:1], lambda f, seen=seen: seen.append(f) or f.sum()))
        torch.testing.assert_close(seen[0], net(x) if net.readout == "last" else net(x)[-1])


def test_a_path_through_whole_maps_goes_around_what_they_add():
    net = whole_maps(4, 4, 4)
    start, (first, _) = net.stem(torch.randn(1, 2)), net.blocks
    ((_, found),) = gradients_along(net, start, [(True, False)], torch.sum)
    jacobian = torch.autograd.functional.jacobian(lambda a: first.inner(a[None])[0], start[0].detach())
    torch.testing.assert_close(found[0], net.head.weight.sum(0) @ jacobian)
