"""Trees of several trainings, joined as chains."""

import arviz as az
import numpy as np
import pytest
import sites
import torch
from torch import nn

import pyro_vds as vds
from pyro_vds.diagnostics import load_datatree, replicate_agreement, save_datatree


def trees_of(logits, draws=400):
    """A tree for each start of the guide, of the same network and data."""
    model, guide = sites.dense_model(num_data=30)
    exact = vds.exact_posterior(model, sites.data())
    found = []
    for value in logits:
        with torch.no_grad():
            guide.logits["gate"].copy_(torch.tensor([0.0, value]).expand(6, 2))
        found.append(vds.to_datatree(model, guide, *sites.data(), posterior=exact, draws=draws, seed=len(found)))
    return found


def test_chains_keep_the_draws_and_the_numbers_of_each(tmp_path):
    trees = trees_of([-1.0, 0.5, 2.0])
    joined = vds.as_chains(trees)
    assert joined["posterior"]["gate"].dims == ("chain", "draw", "edge")
    for place, tree in enumerate(trees):
        np.testing.assert_array_equal(joined["posterior"]["gate"][place], tree["posterior"]["gate"][0])
        own, group = tree["architecture"], joined["architecture"].to_dataset().sel(chain=place)
        np.testing.assert_array_equal(group["log_q_gate"], own["log_q_gate"])
        for name in ("log_evidence", "elbo", "total_correlation"):
            assert float(group[name]) == own.attrs[name]
    assert joined["architecture"].attrs == {"units": "nats", "exact": 1, "architectures": 64.0}
    save_datatree(joined, tmp_path / "joined.nc")
    assert load_datatree(tmp_path / "joined.nc")["architecture"]["elbo"].shape == (3,)


def test_rhat_tells_the_same_posterior_from_different_ones():
    same = az.rhat(vds.as_chains(trees_of([0.5, 0.5])), var_names=["gate"])["gate"]
    assert float(same.max()) < 1.02
    different = az.rhat(vds.as_chains(trees_of([-1.0, 2.0])), var_names=["gate"])["gate"]
    assert float(different.min()) > 1.1


def test_chains_of_depth_are_as_those_of_replicates():
    torch.manual_seed(0)
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(5, 4, 4, 2), 2), num_data=30)
    guide = vds.AutoCategorical(model)
    nn.init.normal_(guide.logits["depth"])
    x, y = sites.data()
    trees = [
        vds.to_datatree(m, g, x, y, draws=20, seed=seed)
        for seed, (m, g) in enumerate(vds.replicates(model.double(), guide.double()))
    ]
    expected = vds.to_datatree(model, guide, x, y, draws=20)
    joined = vds.as_chains(trees)
    np.testing.assert_array_equal(joined["posterior"]["depth"], expected["posterior"]["depth"])
    np.testing.assert_allclose(joined["architecture"]["log_q"], expected["architecture"]["log_q"])
    assert float(replicate_agreement(joined)["jensen_shannon"]) == pytest.approx(
        float(replicate_agreement(expected)["jensen_shannon"])
    )


def test_trees_that_do_not_fit_are_refused():
    trees = trees_of([0.0, 1.0], draws=10)
    with pytest.raises(ValueError, match="Expected one or more trees to join, got none"):
        vds.as_chains([])
    with pytest.raises(ValueError, match=r"Expected trees of one chain each, got \[2, 1\] chains"):
        vds.as_chains([vds.as_chains(trees), trees[0]])
    with pytest.raises(ValueError, match="Expected trees of the same model with the same points and number of draws"):
        vds.as_chains([trees[0], *trees_of([1.0], draws=5)])
    plain = vds.VDSModel(vds.ResidualMLP(5, 4, 4, 2).double(), num_data=30)
    depth = vds.to_datatree(plain, vds.AutoCategorical(plain), *sites.data(), draws=10)
    with pytest.raises(ValueError, match="in tree 1"):
        vds.as_chains([trees[0], depth])
    model, guide = sites.dense_model(num_data=30)
    x, y = sites.data()
    with pytest.raises(ValueError, match="Expected trees of the same points, got other targets in tree 1"):
        vds.as_chains([trees[0], vds.to_datatree(model, guide, x, y.flip(0), draws=10)])
