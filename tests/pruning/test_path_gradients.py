"""Gradients along paths against products of matrices and brute force in plain torch."""

import itertools

import oracles
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

import pyro_vds as vds


def linear_problem(blocks=4):
    """Linear blocks and a Gaussian with one output: every gradient is a product of matrices."""
    torch.manual_seed(0)
    net = vds.PerDepth(nn.Linear(2, 3), [nn.Linear(3, 3) for _ in range(blocks)], nn.Linear(3, 1), readout="last")
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(0.7), num_data=6)
    return model, torch.randn(6, 2), torch.randn(6)


def test_linear_blocks_have_a_closed_form():
    """``d log p / d a_0 = (y - f) / sigma**2 * head W_last ... W_first`` of the chosen blocks."""
    model, x, y = linear_problem()
    net = model.backbone
    residual = ((y - net(x).squeeze(-1)) / 0.7**2).detach()
    expected = []
    for length in range(5):
        norms = []
        for chosen in itertools.combinations(range(4), length):
            row = net.head.weight[0].detach()
            for i in reversed(chosen):
                row = row @ net.blocks[i].weight.detach()
            norms.append((residual[:, None] * row).norm(dim=1).mean())
        expected.append(torch.stack(norms).mean())
    found = vds.path_gradients(model, x, y, draws=6)
    torch.testing.assert_close(found, torch.stack(expected))


def test_classes_equal_brute_force_over_paths():
    model, _, x, y = oracles.problem(3)
    net = model.backbone.eval()
    expected = torch.zeros(4)
    for chosen in itertools.product([False, True], repeat=3):
        for n in range(len(x)):
            start = net.stem(x[n : n + 1]).detach().requires_grad_()
            a = start
            for block, through in zip(net.blocks, chosen, strict=True):
                a = a.detach() + block(a) if through else a + block(a).detach()
            (gradient,) = torch.autograd.grad(F.cross_entropy(net.head(a), y[n : n + 1]), start)
            expected[sum(chosen)] += gradient.norm() / len(x) / (1, 3, 3, 1)[sum(chosen)]
    torch.testing.assert_close(vds.path_gradients(model, x, y), expected)


def test_paths_are_drawn_by_the_seed():
    model, x, y = linear_problem(6)
    few = vds.path_gradients(model, x, y, draws=2)
    assert torch.equal(vds.path_gradients(model, x, y, draws=2), few)
    others = torch.stack([vds.path_gradients(model, x, y, draws=2, seed=s) for s in range(1, 40)])
    exact = vds.path_gradients(model, x, y, draws=20)
    torch.testing.assert_close(few[[0, 6]], exact[[0, 6]])
    error = others.std(0) / 39**0.5
    assert ((others.mean(0) - exact).abs()[1:6] < 4 * error[1:6]).all()
    assert (error[1:6] > 0).all()


def test_the_model_and_its_gradients_stay_as_they_were():
    model, x, y = linear_problem()
    model.train()
    with torch.no_grad():
        vds.path_gradients(model, x, y)
    assert model.training
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.usefixtures("as_a_user")
def test_what_does_not_fit_is_refused():
    model, x, y = linear_problem()
    with pytest.raises(ValueError, match="Expected a positive number of draws, got 0"):
        vds.path_gradients(model, x, y, draws=0)
    with pytest.raises(ValueError, match="Expected as many targets as inputs"):
        vds.path_gradients(model, x, y[:3])
    blocks = [nn.Linear(4, 4), nn.Linear(4, 3)]
    net = vds.FromModules(nn.Linear(2, 4), blocks, nn.Linear(3, 1), example=x[:1])
    narrowing = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(), num_data=6)
    with pytest.raises(ValueError, match="keep the shape of the activations.*block 1, counted from 0"):
        vds.path_gradients(narrowing, x, y)
