"""Batch norm over depths against plain batch norms, called depth by depth."""

import copy

import pytest
import torch
from torch import nn

from pyro_vds.backbones.normalisation import ReadoutBatchNorm, keep_readout_statistics

READOUTS = 3


def plain(shape=(), momentum: float | None = 0.1) -> nn.Module:
    norm = (nn.BatchNorm2d if shape else nn.BatchNorm1d)(4, momentum=momentum)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def together(norm, depths):
    """Run a ReadoutBatchNorm on ``(depth, batch, ...)``."""
    flat = depths.movedim(0, 1).flatten(0, 1)
    return norm(flat).unflatten(0, (-1, len(depths))).movedim(1, 0)


@pytest.mark.parametrize("shape", [(), (2, 2)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_per_depth_equals_one_batch_norm_for_each_depth(shape, momentum):
    norms = [plain(shape, momentum)]
    norms += [copy.deepcopy(norms[0]) for _ in range(READOUTS - 1)]
    ours = ReadoutBatchNorm(copy.deepcopy(norms[0]), READOUTS)
    for _ in range(3):
        x = torch.randn(READOUTS, 6, 4, *shape)
        torch.testing.assert_close(together(ours, x), torch.stack([n(a) for n, a in zip(norms, x, strict=True)]))
    torch.testing.assert_close(ours.running_mean, torch.stack([n.running_mean for n in norms]))
    torch.testing.assert_close(ours.running_var, torch.stack([n.running_var for n in norms]))
    ours.eval()
    x = torch.randn(READOUTS, 6, 4, *shape)
    torch.testing.assert_close(together(ours, x), torch.stack([n.eval()(a) for n, a in zip(norms, x, strict=True)]))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_shared_equals_one_batch_norm_called_depth_by_depth(momentum):
    norm = plain(momentum=momentum)
    ours = ReadoutBatchNorm(copy.deepcopy(norm), READOUTS, "shared")
    for _ in range(3):
        x = torch.randn(READOUTS, 6, 4)
        torch.testing.assert_close(together(ours, x), torch.stack([norm(a) for a in x]))
    torch.testing.assert_close(ours.running_mean, norm.running_mean)
    torch.testing.assert_close(ours.running_var, norm.running_var)
    ours.eval()
    torch.testing.assert_close(together(ours, x), torch.stack([norm.eval()(a) for a in x]))


def test_both_train_alike_and_differ_at_test_time():
    norm = plain()
    pair = [ReadoutBatchNorm(copy.deepcopy(norm), READOUTS, how) for how in ("per_depth", "shared")]
    x = torch.randn(READOUTS, 6, 4) + 5 * torch.arange(READOUTS)[:, None, None]
    one, other = (together(n, x) for n in pair)
    torch.testing.assert_close(one, other)
    one, other = (together(n.eval(), x) for n in pair)
    assert (one - other).abs().max() > 0.1


def test_without_running_statistics_or_affine_parameters():
    norm = nn.BatchNorm1d(4, affine=False, track_running_stats=False)
    ours = ReadoutBatchNorm(norm, READOUTS).eval()
    x = torch.randn(READOUTS, 6, 4)
    torch.testing.assert_close(together(ours, x), torch.stack([norm(a) for a in x]))


def test_parameters_are_shared_with_the_converted_head():
    head = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    weight = head[1].weight
    converted = keep_readout_statistics(head, READOUTS, "per_depth")
    assert converted[1].weight is weight
    assert isinstance(converted[1], ReadoutBatchNorm)
    assert list(converted.state_dict()) == list(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).state_dict())


def test_a_head_cannot_be_converted_twice():
    head = keep_readout_statistics(nn.Sequential(nn.BatchNorm1d(4)), READOUTS, "per_depth")
    with pytest.raises(ValueError, match="Expected a new head for each backbone"):
        keep_readout_statistics(head, READOUTS, "per_depth")
