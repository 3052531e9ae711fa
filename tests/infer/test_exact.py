"""The DataTree: its groups, its numbers, ArviZ on it, and NetCDF."""

import arviz as az
import numpy as np
import oracles
import pytest
import torch

import pyro_vds as vds
from pyro_vds.diagnostics.files import load_datatree, save_datatree

GROUPS = {
    "posterior", "prior", "log_prior", "log_likelihood", "posterior_predictive", "prior_predictive", "observed_data",
    "constant_data", "architecture",
}  # fmt: skip


@pytest.fixture(scope="module")
def made():
    torch.set_default_dtype(torch.float64)
    model, guide, x, y = oracles.problem(3)
    model.backbone(x)
    return model, guide, x, y, vds.to_datatree(model, guide, x, y, draws=4000)


def test_groups_and_dimensions(made):
    *_, tree = made
    assert set(tree.children) == GROUPS
    assert tree["posterior"]["depth"].dims == ("chain", "draw")
    assert tree["posterior"]["depth"].shape == (1, 4000)
    assert tree["log_likelihood"]["obs"].dims == ("chain", "draw", "obs_id")
    assert tree["posterior_predictive"]["obs"].shape == (1, 4000, 12)
    assert tree["architecture"]["log_likelihood"].dims == ("depth", "obs_id")
    assert tree["constant_data"]["x"].dims == ("obs_id", "feature_0")
    assert tree["architecture"]["depth"].attrs == {"nested": 1}


def test_draws_come_from_guide_and_prior(made):
    _, guide, _, _, tree = made
    for group, probs in (("posterior", guide.probs()["depth"]), ("prior", oracles.prior(0.7, 4))):
        frequency = np.bincount(tree[group]["depth"].values.ravel(), minlength=4) / 4000
        np.testing.assert_allclose(frequency, probs, atol=0.03)


def test_exact_group_equals_brute_force(made):
    model, guide, x, y, tree = made
    log_probs = oracles.log_probs(oracles.outputs(model.backbone.eval(), x), y).detach()
    log_prior = oracles.prior(0.7, 4).log()
    exact = tree["architecture"]
    np.testing.assert_allclose(exact["log_q"], guide.probs()["depth"].log())
    np.testing.assert_allclose(exact["log_prior"], log_prior)
    np.testing.assert_allclose(exact["log_likelihood"], log_probs)
    np.testing.assert_allclose(np.exp(exact["log_exact_posterior"]), oracles.posterior(log_probs, log_prior))
    assert exact.attrs["log_evidence"] == pytest.approx(float(oracles.log_evidence(log_probs, log_prior)))


def test_log_likelihood_of_a_draw_is_that_of_its_depth(made):
    *_, tree = made
    depth = tree["posterior"]["depth"].values[0]
    np.testing.assert_allclose(tree["log_likelihood"]["obs"][0], tree["architecture"]["log_likelihood"].values[depth])


def test_posterior_predictive_has_the_predicted_frequencies(made):
    model, guide, x, _, tree = made
    draws = tree["posterior_predictive"]["obs"].values[0]
    frequency = np.stack([(draws == c).mean(0) for c in range(3)], axis=1)
    np.testing.assert_allclose(frequency, vds.predict_proba(model, guide, x), atol=0.04)


def test_held_out_data_keep_the_posterior_of_the_training_data(made):
    model, guide, x, y, _ = made
    exact = vds.exact_posterior(model, (x, y))
    tree = vds.to_datatree(model, guide, x[:3], y[:3], posterior=exact, draws=5, constant_data=False)
    np.testing.assert_allclose(np.exp(tree["architecture"]["log_exact_posterior"]), exact.probs["depth"])
    assert tree["architecture"]["log_likelihood"].shape == (4, 3)
    assert "constant_data" not in tree.children


def test_same_seed_same_draws(made):
    model, guide, x, y, _ = made
    trees = [vds.to_datatree(model, guide, x, y, draws=50, seed=seed) for seed in (0, 0, 1)]
    assert trees[0].equals(trees[1])
    assert not trees[0]["posterior"].equals(trees[2]["posterior"])


def test_arviz_summarises_and_plots(made):
    *_, tree = made
    mean = float(az.summary(tree, var_names=["depth"], kind="stats", round_to=None).loc["depth", "mean"])
    assert mean == pytest.approx(float(tree["posterior"]["depth"].mean()), abs=0.01)
    az.plot_dist(tree, var_names=["depth"], backend="matplotlib")
    az.plot_prior_posterior(tree, var_names=["depth"], backend="matplotlib")


@pytest.mark.filterwarnings("ignore")
def test_arviz_loo_refuses_a_discrete_depth_as_documented(made):
    *_, tree = made
    with pytest.raises(ValueError, match="tail values are the same"):
        az.loo(tree)


def test_closed_form_loo_is_what_the_docstring_says(made):
    """``-log sum_d q(d) / p(y_n|d)`` is the harmonic mean of the draws' likelihoods, in the limit."""
    *_, tree = made
    exact = tree["architecture"]
    closed = -np.log(np.exp(exact["log_q"] - exact["log_likelihood"]).sum("depth"))
    drawn = -np.log(np.exp(-tree["log_likelihood"]["obs"]).mean(["chain", "draw"]))
    np.testing.assert_allclose(closed, drawn, atol=0.05)


def test_netcdf_round_trip(made, tmp_path):
    *_, tree = made
    save_datatree(tree, tmp_path / "posterior.nc")
    again = load_datatree(tmp_path / "posterior.nc")
    for group in GROUPS:
        for name, values in tree[group].data_vars.items():
            np.testing.assert_array_equal(values, again[group][name])
    tree.to_netcdf(tmp_path / "plain.nc")
    with az.from_netcdf(tmp_path / "plain.nc") as plain:
        assert set(plain.children) == GROUPS


def test_regression_tree():
    net = vds.ResidualMLP(2, 2, 4, 1)
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(), num_data=6)
    tree = vds.to_datatree(model, vds.AutoCategorical(model), torch.randn(6, 2), torch.randn(6, 2), draws=7)
    assert tree["posterior_predictive"]["obs"].dims == ("chain", "draw", "obs_id", "target_0")
    assert tree["log_likelihood"]["obs"].shape == (1, 7, 6)


def test_bad_arguments_are_refused(made):
    model, guide, x, y, _ = made
    with pytest.raises(ValueError, match="Expected a positive number of draws, got 0"):
        vds.to_datatree(model, guide, x, y, draws=0)
    plain = vds.VDSModel(vds.ResidualMLP(2, 3, 4, 1, readout="last"), num_data=12)
    with pytest.raises(ValueError, match="Expected a model with at least one axis"):
        vds.to_datatree(plain, vds.AutoCategorical(plain), x, y)


def test_another_prior_needs_no_training():
    model, _, x, y = oracles.problem(3)
    exact = vds.exact_posterior(model, (x, y))
    prior = vds.priors.Poisson(2)
    other = vds.VDSModel(model.backbone, priors=prior, num_data=12)
    expected = vds.exact_posterior(other, (x, y))
    for given in (prior, {"depth": prior}, prior(4)):
        found = vds.reweight(exact, given)
        torch.testing.assert_close(found.log_joint_probs, expected.log_joint_probs)
        assert found.log_evidence == pytest.approx(expected.log_evidence)
    with pytest.raises(ValueError, match=r"Expected priors for the axes \['depth'\], got \['width'\]"):
        vds.reweight(exact, {"width": prior})
    with pytest.raises(ValueError, match="Expected 4 probs"):
        vds.reweight(exact, vds.priors.Weights((0.5, 0.5)))
