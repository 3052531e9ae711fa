"""Networks of 16 bit, against arithmetic in double precision on their own outputs."""

import numpy as np
import oracles
import pytest
import torch
import xarray as xr
from torch import nn

import pyro_vds as vds
from pyro_vds.training.averaging import WeightAverage
from pyro_vds.training.optim import clipped

HALVES = [torch.float16, torch.bfloat16]
QUIET = {"progress": False}
N, DEPTH = 900, 3


def problem(dtype, plate=None):
    """A network with rounded weights, a guide away from uniform, and its outputs by a loop over depths."""
    torch.manual_seed(0)
    net = vds.ResidualMLP(2, 3, width=6, max_depth=DEPTH).to(dtype).eval()
    model = vds.VDSModel(net, num_data=N, plate=plate)
    x = torch.randn(N, 2).to(dtype)
    y = torch.arange(N) % 3
    with torch.no_grad():
        outputs = oracles.outputs(net, x).double()
    return model, x, y, outputs


@pytest.mark.parametrize("dtype", HALVES)
def test_likelihoods_and_their_sums_are_those_of_the_outputs_in_full(dtype):
    model, x, y, outputs = problem(dtype)
    guide = vds.AutoCategorical(model)
    q = torch.tensor([0.1, 0.2, 0.3, 0.4])
    guide.set_probs({"depth": q.float()})
    log_probs = oracles.log_probs(outputs, y)
    log_prior = oracles.prior(0.85, DEPTH + 1).log()
    exact = vds.exact_posterior(model, (x, y))
    near = {"rtol": 2e-6, "atol": 0}
    torch.testing.assert_close(exact.log_likelihood, log_probs.sum(1), **near)
    torch.testing.assert_close(exact.probs["depth"], (log_prior + log_probs.sum(1)).softmax(0), rtol=1e-3, atol=1e-9)
    expected = -(q @ log_probs.sum(1) - (q * (q.log() - log_prior)).sum())
    loss = vds.enum_elbo(model, guide)(x, y)
    torch.testing.assert_close(loss.double(), expected, **near)
    torch.testing.assert_close(guide.kl(model).double(), (q * (q.log() - log_prior)).sum(), rtol=1e-6, atol=0)
    for depth in (None, 1):
        cut = {} if depth is None else {"depth": depth}
        probs = vds.predict_proba(model, guide, x, **cut)
        assert probs.dtype == torch.float64
        torch.testing.assert_close(probs, oracles.predictive(outputs, q, depth), rtol=0, atol=1e-6)
    torch.testing.assert_close(vds.prune(model, guide, depth=1)(x).exp().double(), probs, rtol=0, atol=1e-6)
    damage = vds.lesion_study(model, guide, (x, y), draws=1)["intact"]
    mean = oracles.predictive(outputs, q).log().gather(1, y[:, None]).mean()
    assert abs(float(damage.sel(prediction="marginal", measure="log_likelihood")) - float(mean)) < 1e-6
    assert vds.path_gradients(model, x[:50], y[:50], draws=1).isfinite().all()


@pytest.mark.parametrize("dtype", HALVES)
def test_what_is_fitted_in_16_bit_goes_on_everywhere(dtype, tmp_path):
    model, x, y, _ = problem(dtype)
    x, y = x[:64], y[:64]
    model = vds.VDSModel(model.backbone, num_data=64, learn_prior=True)
    guide = vds.AutoCategorical(model)
    how = {"batch_size": 16, "clip_norm": 1.0, "averaging": "ema", "validation": (x, y)}
    history = vds.fit(model, guide, (x, y), max_epochs=3, **how, **QUIET)
    assert history.elbo.dtype == torch.float32
    assert all(p.dtype == dtype for p in model.backbone.parameters())
    assert all(p.dtype == torch.float32 for p in guide.parameters())
    probs, labels = vds.predict_proba(model, guide, x), y
    assert 0 <= vds.choose_depth(guide.probs()["depth"]) <= DEPTH
    assert 0 <= vds.calibration.ece(probs, labels) <= 1
    assert np.isfinite([vds.calibration.nll(probs, labels), vds.calibration.brier(probs, labels)]).all()
    assert vds.temperature.fit_temperature(probs, labels) > 0
    tree = vds.to_datatree(model, guide, x, y, draws=10)
    tree.to_netcdf(tmp_path / "tree.nc")
    with xr.open_datatree(tmp_path / "tree.nc") as stored:
        np.testing.assert_array_equal(stored["constant_data"]["x"], x.float())


@pytest.mark.parametrize("dtype", HALVES)
def test_a_model_made_16_bit_afterwards_keeps_its_tables(dtype):
    torch.manual_seed(0)
    likelihood = vds.likelihoods.Gaussian(0.123, learn_scale=True)
    model = vds.VDSModel(vds.ResidualMLP(2, 1, width=4, max_depth=30), likelihood=likelihood, num_data=8)
    guide = vds.AutoCategorical(model)
    guide.set_probs({"depth": torch.rand(31).softmax(0)})
    guide.keep_weights("stacked", torch.rand(31).log_softmax(0))
    before = (model.log_prior(), likelihood.scale, guide.joint_log_probs(), guide.log_weights("stacked"))
    model.to(dtype), guide.to(dtype)
    after = (model.log_prior(), model.likelihood.scale, guide.joint_log_probs(), guide.log_weights("stacked"))
    for values, expected in zip(after, before, strict=True):
        assert torch.equal(values, expected)
    assert model.backbone.head.weight.dtype == dtype
    x, y = torch.randn(8, 2), torch.randn(8)
    mean, variance = vds.predict_moments(model, guide, x.numpy())  # doubles become what the network has
    assert mean.dtype == torch.float64  # of the tables, which were made in double precision
    torch.testing.assert_close((mean, variance), vds.predict_moments(model, guide, x.to(dtype)))
    model.float(), guide.float()
    assert guide.joint_log_probs().dtype == torch.float32
    assert vds.exact_posterior(model, (x.float(), y.float())).log_likelihood.isfinite().all()


def test_a_guide_per_input_of_16_bit_has_probabilities_that_sum_to_one():
    model, x, _, outputs = problem(torch.bfloat16, vds.DATA)
    network = nn.Linear(2, DEPTH + 1).bfloat16()
    guide = vds.AutoPerInput(model, network)
    q = network(x).detach().double().softmax(-1)
    torch.testing.assert_close(guide.by_input(x).exp().double(), q, rtol=0, atol=1e-6)
    expected = (q.T[..., None] * outputs.softmax(-1)).sum(0)
    torch.testing.assert_close(vds.predict_proba(model, guide, x).double(), expected, rtol=0, atol=1e-6)
    log_probs, stops = vds.AdaptiveNetwork(model, guide, threshold=0.0)(x)
    torch.testing.assert_close(log_probs.exp().double(), expected, rtol=0, atol=1e-6)
    assert (stops == DEPTH).all()


def test_averages_and_norms_are_not_rounded_to_16_bit():
    weight = torch.ones(1, dtype=torch.bfloat16)
    average = WeightAverage([weight], "ema", 0.999)
    average.update()
    weight.fill_(2.0)
    for _ in range(100):
        average.update()
    torch.testing.assert_close(average.tensors[0], torch.tensor([2 - 0.999**100]).float())  # 1.0952; 1 in bfloat16
    with average.in_place():
        assert weight.item() == torch.tensor(2 - 0.999**100).bfloat16().item()
    (gradient,) = clipped([torch.full((4,), 300.0, dtype=torch.float16)], 1.0, replicates=False)  # 300**2 is too large
    torch.testing.assert_close(gradient, torch.full((4,), 0.5, dtype=torch.float16))
    (rows,) = clipped([torch.full((2, 4), 300.0, dtype=torch.float16)], 1.0, replicates=True)
    torch.testing.assert_close(rows, torch.full((2, 4), 0.5, dtype=torch.float16))
