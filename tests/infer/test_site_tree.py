"""What ArviZ and files get of axes with sites."""

import math

import arviz as az
import numpy as np
import pytest
import sites
import torch

import pyro_vds as vds
from pyro_vds.diagnostics import load_datatree, save_datatree


def test_the_mean_of_a_gate_is_the_probability_of_its_edge(tmp_path):
    model, guide = sites.dense_model(num_data=30)
    x, y = sites.data()
    exact = vds.exact_posterior(model, (x, y))
    tree = vds.to_datatree(model, guide, x, y, draws=4000, posterior=exact)
    summary = az.summary(tree, var_names=["gate"], kind="stats")
    names = [f"gate[{label}]" for label in model.space["gate"].plate.labels]
    assert list(summary.index) == names
    np.testing.assert_allclose(summary["mean"].astype(float), guide.probs()["gate"][:, 1], atol=0.03)
    prior = float(tree["prior"]["gate"].mean())
    assert prior == pytest.approx(1 / (1 + math.exp(2.0)), abs=0.02)
    save_datatree(tree, tmp_path / "tree.nc")
    group = load_datatree(tmp_path / "tree.nc")["architecture"]
    assert group["log_q_gate"].dims == ("edge", "gate")
    np.testing.assert_allclose(np.exp(group["log_q_gate"]), guide.probs()["gate"])
    np.testing.assert_allclose(np.exp(group["log_exact_posterior_gate"]), exact.probs["gate"])
    assert group.attrs["exact"] == 1
    assert group.attrs["elbo"] == pytest.approx(exact.elbo(guide))
    assert group.attrs["log_evidence"] == pytest.approx(exact.log_evidence)
    assert tree["log_likelihood"]["obs"].shape == (1, 4000, 30)
    drawn = torch.tensor(tree["posterior"]["gate"].values[0, :3]).long()
    expected = model.backbone.at(x, {"gate": drawn}).log_softmax(-1)[:, torch.arange(30), y]
    np.testing.assert_allclose(tree["log_likelihood"]["obs"].values[0, :3], expected.detach(), atol=1e-12)
    log_prior = model.prior("gate").log_prob(torch.tensor(tree["posterior"]["gate"].values).long())
    np.testing.assert_allclose(tree["log_prior"]["gate"], log_prior)


def test_operations_come_as_text_and_as_indicators():
    torch.manual_seed(0)
    cell = vds.cell((1, 4, 4), 3, channels=2, operations=("none", "skip_connect"))
    model = vds.VDSModel(cell, priors=vds.priors.Uniform(), num_data=6)
    guide = vds.AutoCategorical(model)
    tree = vds.to_datatree(model, guide, torch.randn(6, 1, 4, 4), torch.randint(0, 3, (6,)), draws=500)
    posterior = tree["posterior"]
    assert set(np.unique(posterior["op"])) == {"none", "skip_connect"}
    assert posterior["op_is"].dims == ("chain", "draw", "edge", "op_label")
    np.testing.assert_array_equal(posterior["op_is"].sel(op_label="none"), posterior["op"] == "none")


def test_a_tree_of_too_many_architectures_says_that_it_is_an_estimate(tmp_path):
    torch.manual_seed(0)
    network = vds.connectivity((5,), 4, layers=8, channels=3).double()
    model = vds.VDSModel(network, priors=vds.priors.Exchangeable(1.0, 3.0), num_data=30)
    guide = vds.AutoCategorical(model)
    x, y = sites.data()
    tree = vds.to_datatree(model, guide, x, y, draws=50)
    assert tree["posterior"]["gate"].shape == (1, 50, 45)
    assert tree["prior"]["gate"].shape == (1, 50, 45)
    log_prior = model.prior("gate").log_prob(torch.tensor(tree["posterior"]["gate"].values).long())
    np.testing.assert_allclose(tree["log_prior"]["gate"], log_prior)
    assert "prior_predictive" not in tree.children
    group = tree["architecture"]
    assert (group.attrs["exact"], group.attrs["samples"], group.attrs["architectures"]) == (0, 50, 2.0**45)
    assert "log_evidence" not in group.attrs
    assert "log_exact_posterior_gate" not in group
    np.testing.assert_allclose(np.exp(group["log_prior_gate"])[:, 1], 0.25)
    drawn = torch.tensor(tree["posterior"]["gate"].values[0]).long()
    expected = network.at(x, {"gate": drawn}).log_softmax(-1)[:, torch.arange(30), y]
    np.testing.assert_allclose(tree["log_likelihood"]["obs"].values[0], expected.detach(), atol=1e-12)
    save_datatree(tree, tmp_path / "tree.nc")
    assert load_datatree(tmp_path / "tree.nc")["architecture"].attrs["exact"] == 0


def test_dependence_of_the_posterior_is_that_of_its_table():
    model, _ = sites.dense_model(num_data=30)
    exact = vds.exact_posterior(model, sites.data())
    cube = exact.log_joint_probs.exp().view((2,) * 6)
    assert exact.entropy == pytest.approx(vds.dependence.entropy(cube))
    assert exact.total_correlation == pytest.approx(vds.dependence.total_correlation(cube))
    np.testing.assert_allclose(exact.mutual_information("gate"), vds.dependence.mutual_information(cube))
    assert exact.total_correlation > 0


@pytest.mark.usefixtures("as_a_user")
def test_only_axes_with_sites_have_dependent_sites():
    model = vds.VDSModel(vds.ResidualMLP(2, 2, 4, 2), num_data=5)
    exact = vds.exact_posterior(model, (torch.randn(5, 2), torch.randint(0, 2, (5,))))
    with pytest.raises(ValueError, match=r"Expected an axis with sites of \[\], got 'depth'"):
        exact.mutual_information("depth")
    assert exact.total_correlation == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("prior", [vds.priors.Price(1.5), vds.priors.Exchangeable(2.0, 5.0), vds.priors.Uniform()])
def test_another_prior_over_gates_is_that_of_a_model_with_it(prior):
    model, _ = sites.dense_model(num_data=30)
    other = vds.VDSModel(model.backbone, priors=prior, num_data=30)
    found = vds.reweight(vds.exact_posterior(model, sites.data()), prior)
    torch.testing.assert_close(found.log_joint_probs, vds.exact_posterior(other, sites.data()).log_joint_probs)
