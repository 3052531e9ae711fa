"""timm's networks with random weights: the last depth is the network itself, and other structures are refused."""

import copy

import pytest
import timm
import torch
from torch import nn

import pyro_vds as vds

SMALL_SWIN = {"img_size": 56, "depths": (1, 2, 1, 1), "embed_dim": 24, "num_heads": (1, 2, 3, 4)}
SMALL_CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32), "ls_init_value": 0.5}
NETWORKS = {
    "resnet10t": ({"num_classes": 5}, 64, 5, 512),
    "vit_tiny_patch16_224": ({"img_size": 32, "depth": 2, "num_classes": 5, "embed_dim": 48}, 32, 3, 48),
    "swin_tiny_patch4_window7_224": (SMALL_SWIN | {"num_classes": 5}, 56, 6, 192),
    "convnext_atto": (SMALL_CONVNEXT | {"num_classes": 5, "head_hidden_size": 20}, 64, 5, 20),
}


@pytest.fixture(params=NETWORKS)
def case(request):
    options, side, depths, width = NETWORKS[request.param]
    network = timm.create_model(request.param, pretrained=False, **options).eval()
    return network, torch.randn(2, 3, side, side), depths, width


@torch.no_grad()
def test_the_last_depth_is_the_network(case):
    network, x, depths, width = case
    net = vds.from_timm(network).eval()
    outputs = net(x)
    assert outputs.shape == (depths, 2, 5)
    torch.testing.assert_close(outputs[-1], network(x), rtol=1e-5, atol=1e-5)
    features = network.forward_head(network.forward_features(x), pre_logits=True)
    assert features.shape == (2, width)
    pooled = net.pool(nn.Sequential(net.stem, *net.blocks)(x))
    torch.testing.assert_close(pooled, features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(net.restrict(depth=1)(x), outputs[:2])
    # Every weight is there once, and the network keeps its own.
    adapters = sum(p.numel() for p in net.adapters.parameters())
    assert sum(p.numel() for p in net.parameters()) - adapters == sum(p.numel() for p in network.parameters())
    new = vds.from_timm(network, 7, readout="last").eval()
    torch.testing.assert_close(new(x), new.head(features), rtol=1e-5, atol=1e-5)
    assert new(x).shape == (2, 7)


def test_what_is_frozen_stays_in_eval_mode_and_the_original_is_left_alone():
    network = timm.create_model("resnet10t", pretrained=False, drop_rate=0.5)
    before = copy.deepcopy(network.state_dict())
    net = vds.from_timm(network, 3)
    for part in (net.stem, net.blocks, net.pool):
        vds.freeze(part)
    x = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(net.train()(x), net.eval()(x))
    assert all(torch.equal(values, network.state_dict()[name]) for name, values in before.items())


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "mobilenetv3_small_050",
            {},
            "Expected a network of timm with the parts conv1 and layer1 to layer4 .Res",
        ),
        (
            "vit_small_patch16_rope_224",
            {"img_size": 32, "depth": 1},
            "got Eva whose features are other than those",
        ),
        (
            "deit_tiny_distilled_patch16_224",
            {"img_size": 32, "depth": 1},
            "VisionTransformerDistilled with several",
        ),
    ],
)
def test_other_structures_are_refused(name, options, expected):
    with pytest.raises(ValueError, match=expected):
        vds.from_timm(timm.create_model(name, pretrained=False, **options))


@pytest.mark.usefixtures("as_a_user")
def test_networks_of_others_are_refused():
    with pytest.raises(ValueError, match="got Sequential with the parts 0. Pass its stem"):
        vds.from_timm(nn.Sequential(nn.Linear(2, 2)))
