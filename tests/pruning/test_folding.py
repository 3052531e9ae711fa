"""Folded batch norms have the numbers of the network, and are folded only where nobody else reads the layer."""

import copy

import pytest
import torch
from torch import nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock

import pyro_vds as vds
from pyro_vds.ops.compat import BatchNorm
from pyro_vds.pruning.folding import Folded, fold_batch_norms


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.other = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))


class ReadTwice(Named):
    def forward(self, x):
        h = self.conv(x)
        return self.norm(h) + h


class CalledTwice(Named):
    def forward(self, x):
        return self.norm(self.conv(x)) + self.other(self.conv(x))


class Tapped(Listed):
    def forward(self, x):
        taps = [x]
        for part in self.parts:
            taps.append(part(taps[-1]))
        return taps[1] + taps[2]


class Branches(Listed):
    def forward(self, x):
        return self.parts(x) if x.sum() > 0 else self.parts[0](x)


def shared():
    conv = nn.Conv2d(4, 4, 1)
    return nn.Sequential(nn.Sequential(conv, nn.BatchNorm2d(4)), conv)


def tied():
    conv, other = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
    other.weight = conv.weight
    return nn.Sequential(nn.Sequential(conv, nn.BatchNorm2d(4)), other)


def hooked():
    conv = nn.Conv2d(4, 4, 1)
    conv.register_forward_hook(lambda module, inputs, output: output.relu())
    return nn.Sequential(conv, nn.BatchNorm2d(4))


def down():
    return nn.Sequential(nn.Conv2d(4, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6))


def resnet(**how):
    blocks = [BasicBlock(4, 4), BasicBlock(4, 6, 2, downsample=down()), InvertedResidual(6, 6, 1, 2)]
    stem = nn.Sequential(nn.Conv2d(4, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    pool, head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3))
    return vds.FromModules(stem, blocks, head, example=torch.randn(1, 4, 8, 8), pool=pool, **how)


def conv():
    return vds.ResidualConvNet(4, 3, max_depth=2, channels=4, bottleneck=2)


def linear():
    return nn.Sequential(nn.Flatten(), nn.Linear(256, 4, bias=False), nn.BatchNorm1d(4, affine=False), nn.Tanh())


CASES = {
    # name: network, batch norms that are folded, batch norms that stay
    "resnet": (resnet, 9, 1),
    "frozen": (lambda: vds.freeze(resnet()), 9, 1),
    "last depth": (lambda: resnet(readout="last"), 10, 0),
    "pre-activation": (conv, 4, 3),
    "width": (lambda: vds.WithWidths(conv(), (2, 4)).restrict(width=2), 4, 3),
    "linear": (linear, 1, 0),
    "trains": (lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)), 0, 1),
    "parametrised": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)), nn.BatchNorm2d(4)), 0, 1,
    ),
} | {make.__name__: (make, 0, 1) for make in (shared, tied, hooked)}  # fmt: skip
CASES |= {kind.__name__: (kind, 0, 2) for kind in (ReadTwice, CalledTwice)}
CASES |= {kind.__name__: (kind, 0, 1) for kind in (Tapped, Branches)}


def with_statistics(network, x):
    with torch.no_grad():
        network.train()(x)
        for module in network.modules():
            if isinstance(module, BatchNorm) and module.affine:
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.bias)
    return network.eval()


@pytest.mark.parametrize("case", CASES)
def test_numbers_stay_and_what_can_be_folded_is(case):
    make, folded, stay = CASES[case]
    x = torch.randn(6, 4, 8, 8)
    network = with_statistics(make(), x)
    small = fold_batch_norms(copy.deepcopy(network))
    torch.testing.assert_close(small(x), network(x), rtol=1e-10, atol=1e-12)
    assert sum(isinstance(m, Folded) for m in small.modules()) == folded
    assert sum(isinstance(m, BatchNorm) for m in small.modules()) == stay
    assert {p.requires_grad for p in small.parameters()} == {p.requires_grad for p in network.parameters()}


def test_pruned_networks_fold_on_request():
    x = torch.randn(6, 4, 8, 8)
    network = with_statistics(conv(), x)
    model = vds.VDSModel(network, num_data=6)
    guide = vds.AutoCategorical(model)
    for net, which in ((model, guide), replicated(x)):
        plain, folded = (vds.prune(net, which, depth=1, fold_batch_norm=fold) for fold in (False, True))
        torch.testing.assert_close(folded(x), plain(x), rtol=1e-10, atol=1e-12)
        counts = [sum(isinstance(m, BatchNorm) for m in small.modules()) for small in (plain, folded)]
        assert counts == [4, 2]


def replicated(x):
    copies = with_statistics(vds.Replicated(conv(), 2), x.expand(2, *x.shape))
    model = vds.VDSModel(copies, num_data=6)
    return model, vds.AutoCategorical(model)


def test_a_linear_layer_over_tokens_is_refused_when_it_runs():
    """Its batch norm has the tokens as channels, which only an input tells."""
    network = with_statistics(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), torch.randn(5, 3, 3))
    small = fold_batch_norms(network)
    with pytest.raises(
        ValueError, match=r"Expected activations of 2 dimensions .*, got shape \(5, 3, 3\)\. Prune with"
    ):
        small(torch.randn(5, 3, 3))
