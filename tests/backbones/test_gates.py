"""Gates on the blocks of a residual network."""

import itertools

import pytest
import torch

import pyro_vds as vds


def network(readout="all", blocks=4):
    torch.manual_seed(0)
    found = vds.ResidualMLP(3, 2, width=5, max_depth=blocks, readout=readout).double()
    found(torch.randn(40, 3, dtype=torch.double))  # statistics of batch norm
    return found.eval()


X = torch.randn(6, 3, dtype=torch.double, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("readout", ["all", "last"])
def test_every_mask_equals_its_lesion(readout):
    plain = network(readout)
    gated = vds.WithGates(plain).eval()
    masks = list(itertools.product((False, True), repeat=4))
    table = gated(X)
    for row, mask in zip(table, masks, strict=True):
        outputs = vds.lesion(plain, keep=mask)(X)
        assert torch.equal(row, outputs[-1] if readout == "all" else outputs)
        small = gated.restrict(block=mask).eval()
        assert torch.equal(small(X), row)
    torch.testing.assert_close(gated.at(X, {"block": torch.tensor(masks).long()}), table, rtol=0, atol=0)
    kept = sum(p.numel() for p in gated.restrict(block=(True, False, False, True)).parameters())
    left_out = sum(p.numel() for i in (1, 2) for p in plain.blocks[i].parameters())
    assert kept == sum(p.numel() for p in plain.parameters()) - left_out


def test_prefix_masks_are_the_truncated_networks():
    plain = network("last")
    gated = vds.WithGates(plain).eval()
    masks = torch.tensor([[i < depth for i in range(4)] for depth in range(5)]).long()
    for depth, outputs in enumerate(gated.at(X, {"block": masks})):
        assert torch.equal(outputs, truncated(plain, depth)(X))


def truncated(plain, depth):
    found = network("last")
    found.load_state_dict(plain.state_dict())
    found.blocks = found.blocks[:depth]
    return found.eval()


def test_the_posterior_over_masks_is_exact_and_pruned():
    model = vds.VDSModel(vds.WithGates(network()), priors=vds.priors.Price(0.2), num_data=6)
    guide = vds.AutoCategorical(model)
    y = torch.tensor([0, 1, 0, 1, 1, 0])
    exact = vds.exact_posterior(model, (X, y))
    by_hand = model.backbone(X).log_softmax(-1)[:, torch.arange(6), y].sum(1)
    log_prior = -0.2 * torch.tensor(list(itertools.product((0, 1), repeat=4))).double().sum(1)
    torch.testing.assert_close(exact.log_joint_probs, (by_hand + log_prior).log_softmax(0).detach())
    for _ in range(20):
        guide.follow(exact.log_joint_probs)
    small = vds.prune(model, guide, **guide.mode())
    expected = vds.predict_proba(model, guide, X, **guide.mode())
    torch.testing.assert_close(small(X).exp(), expected)
    assert model.space["block"].plate.labels == (1, 2, 3, 4)


@pytest.mark.usefixtures("as_a_user")
def test_networks_without_such_blocks_are_refused():
    with pytest.raises(TypeError, match="Expected a PerDepth network, whose blocks can be deleted"):
        vds.WithGates(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="at least one block to delete"):
        vds.WithGates(vds.ResidualMLP(2, 2, 4, 0))
    gated = vds.WithGates(network(blocks=17))
    with pytest.raises(ValueError, match=r"got 131,072. Use at\(x, .*'block': masks"):
        gated(X)
