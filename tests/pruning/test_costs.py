"""Multiply-adds against counts by hand, of whatever torch runs as one kernel."""

import pytest
import torch
from torch import nn

import pyro_vds as vds
from pyro_vds.pruning.costs import count

T, W, H = 5, 8, 6  # steps, width, hidden units
ATTENTION = T * W * 3 * W + 2 * T * T * W + T * W * W  # queries, keys and values; scores and sums; output


class Takes(nn.Module):
    """Calls a module or a function with its input several times over."""

    def __init__(self, inner, times=1):
        super().__init__()
        self.inner, self.times = inner, times

    def forward(self, x):
        return self.inner(*[x] * self.times)


class Scores(nn.Module):
    """A parameter in an operation that is no product."""

    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(3, W))

    def forward(self, x):
        return torch.cdist(x, self.centres)


class Positions(nn.Module):
    """Parameters that are added, and put before the tokens."""

    def __init__(self):
        super().__init__()
        self.token, self.positions = nn.Parameter(torch.randn(1, 1, W)), nn.Parameter(torch.randn(1, T + 1, W))

    def forward(self, x):
        return torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions


def sequence():
    return torch.randn(1, T, W)


@pytest.mark.parametrize(
    ("module", "x", "expected"),
    [
        (lambda: Takes(nn.MultiheadAttention(W, 2, batch_first=True), 3), sequence, ATTENTION),
        (lambda: nn.TransformerEncoderLayer(W, 2, 16, batch_first=True), sequence, ATTENTION + 2 * T * W * 16),
        (lambda: Takes(nn.functional.scaled_dot_product_attention, 3), lambda: torch.randn(1, 2, T, 4), 4 * T * T * 4),
        (lambda: nn.LSTM(W, H, 2, batch_first=True), sequence, T * 4 * H * (W + H) + T * 4 * H * 2 * H),
        (lambda: nn.LSTM(W, H, batch_first=True, bidirectional=True), sequence, 2 * T * 4 * H * (W + H)),
        (lambda: nn.GRU(W, H, batch_first=True), sequence, T * 3 * H * (W + H)),
        (lambda: nn.LSTMCell(W, H), lambda: torch.randn(1, W), 4 * H * (W + H)),
        (lambda: nn.Conv2d(2, 3, 3, groups=1), lambda: torch.randn(1, 2, 6, 6), 3 * 2 * 9 * 16),
        (lambda: nn.ConvTranspose2d(2, 3, 3), lambda: torch.randn(1, 2, 6, 6), 3 * 2 * 9 * 36),
        (lambda: Takes(nn.Bilinear(3, 3, 5), 2), lambda: torch.randn(1, 3), 45),
        (lambda: nn.Linear(4, 3), lambda: torch.randn(4), 12),
        (lambda: nn.Embedding(10, 4), lambda: torch.tensor([[1, 2]]), 0),
        (lambda: nn.EmbeddingBag(10, 4), lambda: torch.tensor([[1, 2]]), 0),
        (lambda: nn.Sequential(nn.LayerNorm(W), nn.BatchNorm1d(T), nn.GroupNorm(1, T), nn.PReLU(T)), sequence, 0),
        (lambda: nn.Sequential(nn.RMSNorm(W), Positions(), nn.InstanceNorm1d(T + 1, affine=True)), sequence, 0),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(W, H)), sequence, T * W * H),
    ],
)
def test_counts_are_those_by_hand(module, x, expected):
    module = module()
    before = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled
    assert count(module, x()) == expected
    after = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled
    assert before == after
    assert module.training


def test_each_depth_of_an_encoder_costs_its_layers():
    blocks = [nn.TransformerEncoderLayer(W, 2, 16, batch_first=True) for _ in range(2)]
    net = vds.FromModules(nn.Identity(), blocks, nn.Sequential(nn.Flatten(), nn.Linear(T * W, 2)), example=sequence())
    layer, head = ATTENTION + 2 * T * W * 16, T * W * 2
    assert vds.multiply_adds(net, sequence()).tolist() == [head, layer + 2 * head, 2 * layer + 3 * head]


def test_what_is_not_counted_is_named():
    with pytest.warns(RuntimeWarning, match=r"got also aten\._cdist_forward in module 1, which the"):
        assert count(nn.Sequential(nn.Linear(W, W), Scores()), torch.randn(2, W)) == 2 * W * W
