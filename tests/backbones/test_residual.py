"""Backbones against one forward pass for each depth."""

import copy

import oracles
import pytest
import torch
from torch import nn

import pyro_vds as vds
from pyro_vds.backbones.normalisation import ReadoutBatchNorm
from pyro_vds.spaces.backbone import Backbone


def conv(max_depth: int = 3, **how) -> vds.ResidualConvNet:
    return vds.ResidualConvNet(2, 5, max_depth, channels=6, bottleneck=3, **how)


@pytest.mark.parametrize("max_depth", [0, 1, 4])
def test_mlp_reads_out_every_depth(max_depth):
    net = vds.ResidualMLP(3, 2, width=5, max_depth=max_depth)
    x = torch.randn(7, 3)
    assert tuple(net.space) == ("depth",)
    assert net.space.sizes == (max_depth + 1,)
    assert isinstance(net, Backbone)
    torch.testing.assert_close(net(x), oracles.outputs(net, x))


def test_conv_head_is_normalised_depth_by_depth_in_training():
    net, x = conv(), torch.randn(8, 2, 10, 10)
    plain = copy.deepcopy(net)
    plain.head[0].branch[2] = norm = nn.BatchNorm1d(6)
    norm.load_state_dict({k: v for k, v in net.head[0].branch[2].state_dict().items() if "running" not in k}, False)
    torch.testing.assert_close(net(x), oracles.outputs(plain, x))


def test_conv_shapes():
    net = vds.ResidualConvNet(1, 10, max_depth=2)
    assert net(torch.randn(2, 1, 28, 28)).shape == (3, 2, 10)
    assert net.blocks[0][2].weight.shape == (32, 64, 1, 1)
    assert net.head[0].branch[0].weight.shape == (64, 64)


@pytest.mark.parametrize("make", [conv, lambda **how: vds.ResidualMLP(200, 5, 6, 3, **how)], ids=["conv", "mlp"])
def test_last_readout_is_the_deepest_network(make):
    torch.manual_seed(1)
    every = make()
    torch.manual_seed(1)
    last = make(readout="last")
    assert (tuple(last.space), last.space.sizes) == ((), ())
    x = torch.randn(8, 2, 10, 10) if isinstance(last, vds.ResidualConvNet) else torch.randn(8, 200)
    torch.testing.assert_close(last(x), every(x)[-1])
    assert not any(isinstance(m, ReadoutBatchNorm) for m in last.modules())


@pytest.mark.parametrize("statistics", ["per_depth", "shared"])
@pytest.mark.parametrize("depth", [0, 2, 3])
def test_truncated_network_has_the_same_outputs_and_fewer_parameters(statistics, depth):
    net, x = conv(head_statistics=statistics), torch.randn(8, 2, 10, 10)
    net(x)
    net.eval()
    shorter = net.restrict(depth=depth)
    torch.testing.assert_close(shorter(x), net(x)[: depth + 1])
    assert shorter.max_depth == depth
    assert net.max_depth == 3
    with torch.no_grad():
        shorter.stem[0].weight.zero_()
    assert net.stem[0].weight.abs().sum() > 0


def test_own_modules_with_a_pool_and_a_convolutional_head():
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Tanh()) for _ in range(2)]
    head = nn.Sequential(nn.Conv2d(4, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = vds.PerDepth(nn.Conv2d(1, 4, 3), blocks, head, pool=nn.AvgPool2d(2))
    x = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(net(x), oracles.outputs(net, x))


def test_no_depth_keeps_its_feature_map():
    """The stacked tensor is pooled: its size does not depend on the picture's."""
    net = conv()
    seen = []
    net.head.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    net(torch.randn(8, 2, 10, 10))
    assert seen == [(4 * 8, 6)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vds.ResidualMLP(0, 2), "Expected in_features of at least 1, got 0"),
        (lambda: vds.ResidualMLP(2, 2, width=-1), "Expected width of at least 1"),
        (lambda: vds.ResidualMLP(2, 2, max_depth=-1), "Expected max_depth of at least 0"),
        (lambda: vds.ResidualConvNet(1, 0), "Expected out_features of at least 1"),
    ],
)
def test_bad_sizes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("depth", [-1, 4])
def test_truncating_out_of_range_is_refused(depth):
    with pytest.raises(ValueError, match=rf"Expected a depth in 0\.\.3, got {depth}"):
        conv().restrict(depth=depth)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("how", [{"max_depth": 2.0}, {"width": "20"}, {"max_depth": True}])
def test_sizes_must_be_integers(how):
    with pytest.raises(TypeError, match="as an int, got"):
        vds.ResidualMLP(2, 2, **how)
