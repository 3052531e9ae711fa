"""The study of lesions against networks that are lesioned, run and measured one by one."""

import itertools
import math

import numpy as np
import oracles
import pytest
import torch
from scipy.stats import kendalltau
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import pyro_vds as vds

DEPTH = 4


@pytest.fixture
def problem():
    model, guide, x, y = oracles.problem(DEPTH, 40)
    for block in model.backbone.blocks:
        nn.init.normal_(block[0].weight)  # blocks that matter
    return model, guide, x, y


def one_by_one(model, guide, data, **how):
    """Log-likelihood and error of the last depth and of the marginal, by plain torch on a lesioned copy."""
    x, y = data
    outputs = vds.lesion(model.backbone, **how).eval()(x).detach()
    mixed = oracles.predictive(outputs, guide.probs()["depth"].detach())
    each = [p.log().gather(1, y[:, None]).mean() for p in (outputs[-1].softmax(-1), mixed)]
    wrong = [(p.argmax(1) != y).double().mean() for p in (outputs[-1], mixed)]
    return np.array([[float(v) for v in pair] for pair in zip(each, wrong, strict=True)])


def shown(study, name):
    return study[name].sel(measure=["log_likelihood", "error"]).to_numpy()


def test_single_deletions_are_those_of_lesioned_networks(problem):
    model, guide, x, y = problem
    study = vds.lesion_study(model, guide, (x, y), draws=3)
    np.testing.assert_allclose(shown(study, "intact"), one_by_one(model, guide, (x, y)))
    for i in range(DEPTH):
        expected = one_by_one(model, guide, (x, y), keep=[j != i for j in range(DEPTH)])
        np.testing.assert_allclose(shown(study, "single")[..., i], expected)
    assert study["single"].attrs["exact"] == study["intact"].attrs["exact"] == 1
    assert (study.attrs["seed"], study.attrs["draws"], study.attrs["points"]) == (0, 3, 40)
    assert study["unit"].sel(measure="log_likelihood") == "nats per point"


def test_enough_draws_are_the_exact_mean_over_all_masks(problem):
    model, guide, x, y = problem
    study = vds.lesion_study(model, guide, (x, y), draws=6)
    assert study["exact"].to_numpy().all()
    assert study["random"].attrs["exact"] == 1
    for k in range(DEPTH + 1):
        masks = [[i not in gone for i in range(DEPTH)] for gone in itertools.combinations(range(DEPTH), k)]
        expected = np.mean([one_by_one(model, guide, (x, y), keep=keep) for keep in masks], 0)
        np.testing.assert_allclose(np.nanmean(shown(study, "random")[:, :, k], -1), expected)
        assert np.isfinite(shown(study, "random")[0, 0, k]).sum() == math.comb(DEPTH, k)


def test_few_draws_are_different_masks_of_each_number(problem):
    model, guide, x, y = problem
    study = vds.lesion_study(model, guide, (x, y), draws=4, seed=1)
    assert study["exact"].to_numpy().tolist() == [True, True, False, True, True]
    assert study["random"].attrs["exact"] == 0
    pairs = shown(study, "random")[1, 0, 2]
    every = [
        one_by_one(model, guide, (x, y), keep=[i not in gone for i in range(DEPTH)])[1, 0]
        for gone in itertools.combinations(range(DEPTH), 2)
    ]
    assert len({round(value, 9) for value in pairs}) == 4
    assert all(np.isclose(value, every).any() for value in pairs)
    again = vds.lesion_study(model, guide, (x, y), draws=4, seed=1)
    assert again.identical(study)
    assert not vds.lesion_study(model, guide, (x, y), draws=4, seed=2)["tau"].equals(study["tau"])


def test_reorderings_have_the_error_of_an_order_with_their_tau(problem):
    model, guide, x, y = problem
    study = vds.lesion_study(model, guide, (x, y), draws=8)
    orders = list(itertools.permutations(range(DEPTH)))
    taus = np.array([kendalltau(range(DEPTH), order)[0] for order in orders])
    found = np.stack([one_by_one(model, guide, (x, y), order=order) for order in orders], -1)
    for draw in range(8):
        same = np.isclose(taus, float(study["tau"][draw]))
        assert np.isclose(found[..., same], shown(study, "reordered")[..., draw, None]).all((0, 1)).any()
    assert study["reordered"].attrs["exact"] == 0


def test_the_mass_above_is_that_of_the_depths_that_use_a_block(problem):
    model, guide, x, y = problem
    q = guide.probs()["depth"].detach()
    study = vds.lesion_study(model, guide, (x, y), draws=1)
    np.testing.assert_allclose(study["mass_above"], [float(q[i:].sum()) for i in range(1, DEPTH + 1)])


def test_a_plain_network_has_only_its_last_depth():
    torch.manual_seed(0)
    net = vds.ResidualMLP(2, 3, width=5, max_depth=DEPTH, readout="last")
    x, y = torch.randn(20, 2), torch.randint(0, 3, (20,))
    study = vds.lesion_study(vds.VDSModel(net, num_data=20), None, (x, y), draws=2)
    assert study["prediction"].to_numpy().tolist() == ["last"]
    assert "mass_above" not in study
    without = vds.lesion(net, keep=[True, False, True, True]).eval()
    log_prob = without(x).detach().log_softmax(-1).gather(1, y[:, None]).mean()
    assert float(study["single"].sel(prediction="last", measure="log_likelihood", block=2)) == pytest.approx(
        float(log_prob)
    )


def test_numbers_are_measured_by_rmse():
    torch.manual_seed(0)
    net = vds.ResidualMLP(2, 1, width=5, max_depth=2)
    x, y = torch.randn(20, 2), torch.randn(20)
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(0.5), num_data=20)
    guide = vds.AutoCategorical(model)
    study = vds.lesion_study(model, guide, (x, y), draws=2)
    assert study["measure"].to_numpy().tolist() == ["log_likelihood", "rmse"]
    outputs = vds.lesion(net, keep=[False, True]).eval()(x).detach().squeeze(-1)
    weights = guide.probs()["depth"].detach()
    expected = [((mean - y) ** 2).mean().sqrt() for mean in (outputs[-1], (weights[:, None] * outputs).sum(0))]
    np.testing.assert_allclose(study["single"].sel(measure="rmse", block=1), expected)


def test_a_depth_for_each_input_is_weighed_for_each_input():
    torch.manual_seed(0)
    x, y = torch.randn(20, 2), torch.randint(0, 3, (20,))
    net = vds.ResidualMLP(2, 3, width=5, max_depth=2)
    model = vds.VDSModel(net, num_data=20, plate=vds.DATA)
    guide = vds.AutoPerInput(model, nn.Linear(2, 3))
    study = vds.lesion_study(model, guide, (x, y), draws=2)
    expected = vds.log_predictive(model, guide, x, y).mean()
    assert float(study["intact"].sel(prediction="marginal", measure="log_likelihood")) == pytest.approx(float(expected))


class Counted(nn.Linear):
    points = 0

    def forward(self, x):
        Counted.points += len(x)
        return super().forward(x)


def test_every_block_runs_once_for_each_state_of_those_before_it():
    net = vds.PerDepth(nn.Linear(2, 3), [Counted(3, 3) for _ in range(3)], nn.Linear(3, 2))
    model = vds.VDSModel(net, num_data=30)
    Counted.points = 0
    vds.lesion_study(model, vds.AutoCategorical(model), (torch.randn(30, 2), torch.randint(0, 2, (30,))), draws=3)
    looked_at = 3  # the single point that is looked at
    assert Counted.points - looked_at <= 30 * (2**3 - 1 + 3 * 3)


def test_a_loader_has_the_numbers_of_its_tensors(problem):
    model, guide, x, y = problem
    loader = DataLoader(TensorDataset(x, y), batch_size=7)
    expected = vds.lesion_study(model, guide, (x, y), draws=2)
    assert vds.lesion_study(model, guide, loader, draws=2).identical(expected)


def test_blocks_of_other_shapes_are_left_alone():
    torch.manual_seed(0)
    blocks = [nn.Linear(6, 6), nn.Linear(6, 4), nn.Linear(4, 4)]
    net = vds.FromModules(nn.Linear(2, 6), blocks, nn.Linear(4, 3), example=torch.zeros(1, 2))
    model = vds.VDSModel(net, num_data=9)
    data = torch.randn(9, 2), torch.randint(0, 3, (9,))
    study = vds.lesion_study(model, vds.AutoCategorical(model), data, draws=2)
    assert np.isnan(study["single"].sel(measure="error")).all("prediction").to_numpy().tolist() == [False, True, False]
    assert study["deleted"].to_numpy().tolist() == [0, 1, 2]
    assert "reordered" not in study


@pytest.mark.usefixtures("as_a_user")
def test_what_has_no_blocks_is_refused(problem):
    model, guide, x, y = problem
    with pytest.raises(ValueError, match="Expected a positive number of draws, got 0"):
        vds.lesion_study(model, guide, (x, y), draws=0)
    with pytest.raises(TypeError, match=r"Expected data as a pair"):
        vds.lesion_study(model, guide, x)
    wide = vds.VDSModel(vds.WithWidths(model.backbone, [2, 5]), num_data=40)
    with pytest.raises(TypeError, match="Expected a PerDepth network, whose blocks.*got WithWidths"):
        vds.lesion_study(wide, vds.AutoCategorical(wide), (x, y))
    flat = vds.VDSModel(vds.ResidualMLP(2, 3, max_depth=0), num_data=40)
    with pytest.raises(ValueError, match="at least one block to delete, got none"):
        vds.lesion_study(flat, vds.AutoCategorical(flat), (x, y))
