"""Posterior diagnostics against brute force, and on good and bad controls with known answers."""

import arviz as az
import numpy as np
import oracles
import pytest
import torch
import xarray as xr
from trees import COLOURS, random_tree, tree_of, tree_over

import pyro_vds as vds
from pyro_vds import diagnostics


@pytest.fixture(scope="module")
def made():
    torch.set_default_dtype(torch.float64)
    model, guide, x, y = oracles.problem(3)
    model.backbone(x)
    return model, guide, x, y, vds.to_datatree(model, guide, x, y, draws=2000)


def draws_of(q, draws=500, seed=0):
    """Draws of the depth as ``to_datatree`` makes them, one chain for each row of ``q``."""
    rng = np.random.default_rng(seed)
    return az.from_dict({"posterior": {"depth": np.stack([rng.choice(len(row), draws, p=row) for row in q])}})


def test_gap_equals_brute_force(made):
    model, guide, x, y, tree = made
    log_probs = oracles.log_probs(oracles.outputs(model.backbone.eval(), x), y).detach()
    log_prior, log_q = oracles.prior(0.7, 4).log(), guide.log_probs()["depth"].detach()
    elbo = float(oracles.elbo(log_probs, log_q, log_prior, len(x)))
    evidence = float(oracles.log_evidence(log_probs, log_prior))
    p = oracles.posterior(log_probs, log_prior)
    found = diagnostics.guide_gap(tree)
    assert float(found["elbo"]) == pytest.approx(elbo)
    assert float(found["gap"]) == pytest.approx(evidence - elbo)
    assert float(found["reverse_kl"]) == pytest.approx(float((p * (p.log() - log_q)).sum()))
    assert float(found["total_variation"]) == pytest.approx(float((p - log_q.exp()).abs().sum() / 2))


def test_gap_of_a_perfect_and_of_a_wrong_guide():
    good = diagnostics.guide_gap(tree_of([0.2, 0.5, 0.3]))
    assert [float(good[name]) for name in ("gap", "reverse_kl", "total_variation")] == pytest.approx([0, 0, 0])
    assert float(good["elbo"]) == pytest.approx(-7)
    bad = diagnostics.guide_gap(tree_of([0.5, 0.5, 0.0], exact=[0.0, 0.5, 0.5]))
    assert float(bad["total_variation"]) == pytest.approx(0.5)
    assert np.isinf(bad["gap"])
    assert np.isinf(bad["reverse_kl"])


def test_gap_to_an_exact_posterior_below_the_smallest_float():
    tree = tree_of([0.5, 0.5])
    tree["architecture"]["log_exact_posterior"][:] = [0.0, -2000.0]
    assert float(diagnostics.guide_gap(tree)["gap"]) == pytest.approx(1000 - np.log(2))
    assert float(diagnostics.guide_gap(tree)["reverse_kl"]) == pytest.approx(np.log(2))


def test_summary_by_hand():
    summary = diagnostics.summary(tree_of([0.05, 0.1, 0.5, 0.3, 0.05], prior=[0.2] * 5), prob=0.75)
    q = summary.sel(distribution="q")
    assert float(q["mean"]) == pytest.approx(0.1 + 1.0 + 0.9 + 0.2)
    assert float(q["sd"]) == pytest.approx(np.sqrt(0.1 + 2.0 + 2.7 + 0.8 - 2.2**2))
    assert [int(q[name]) for name in ("mode", "hdi_low", "hdi_high")] == [2, 2, 3]
    assert float(summary["effective_entries"].sel(distribution="prior")) == pytest.approx(5)
    assert float(q["entropy"]) == pytest.approx(-sum(p * np.log(p) for p in (0.05, 0.1, 0.5, 0.3, 0.05)))


def test_summary_of_a_certain_guide_has_one_effective_depth():
    q = diagnostics.summary(tree_of([0.0, 0.0, 1.0])).sel(distribution="q")
    assert [float(q[name]) for name in ("mean", "sd", "hdi_low", "hdi_high", "effective_entries")] == [2, 0, 2, 2, 1]


def test_summary_of_everything_is_the_whole_range():
    q = diagnostics.summary(tree_of([0.1] * 10), prob=1).sel(distribution="q")
    assert [int(q["hdi_low"]), int(q["hdi_high"])] == [0, 9]


@pytest.mark.parametrize("seed", range(5))
def test_interval_is_the_narrowest_of_all_that_hold_the_mass(seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(8))
    q = diagnostics.summary(tree_of(p), prob=0.6).sel(distribution="q")
    low, high = int(q["hdi_low"]), int(q["hdi_high"])
    assert p[low : high + 1].sum() >= 0.6
    fits = [j - i for i in range(8) for j in range(i, 8) if p[i : j + 1].sum() >= 0.6]
    assert high - low == min(fits)


def test_summary_agrees_with_arviz_on_many_draws():
    q = np.array([0.02, 0.08, 0.5, 0.3, 0.08, 0.02])
    drawn = draws_of([q], 20_000)
    exact = diagnostics.summary(tree_of(q), prob=0.85).sel(distribution="q")
    assert az.hdi(drawn, prob=0.85)["depth"].values.tolist() == [int(exact["hdi_low"]), int(exact["hdi_high"])]
    assert float(drawn["posterior"]["depth"].mean()) == pytest.approx(float(exact["mean"]), abs=0.03)


def test_summary_sums_over_other_axes():
    tree = tree_of([0.5, 0.5])
    joint = np.array([[0.1, 0.2, 0.1], [0.3, 0.2, 0.1]])
    logs = {name: (("depth", "width"), np.log(joint)) for name in ("log_q", "log_prior", "log_exact_posterior")}
    points = {"log_likelihood": (("depth", "width", "obs_id"), np.zeros((2, 3, 4)))}
    tree["architecture"] = xr.DataTree(xr.Dataset(logs | points, {"depth": [0, 1]}, {"log_evidence": 0.0}))
    np.testing.assert_allclose(diagnostics.axis_probs(tree).sel(distribution="q"), [0.4, 0.6])
    assert float(diagnostics.summary(tree)["mean"].sel(distribution="q")) == pytest.approx(0.6)
    assert diagnostics.log_likelihood(tree)["mean"].dims == ("depth", "width")


def test_log_likelihood_of_each_depth_and_its_error(made):
    model, _, x, y, tree = made
    log_probs = oracles.log_probs(oracles.outputs(model.backbone.eval(), x), y).detach()
    found = diagnostics.log_likelihood(tree)
    np.testing.assert_allclose(found["mean"], log_probs.mean(1))
    np.testing.assert_allclose(found["se"], log_probs.std(1) / np.sqrt(len(x)))


def test_standard_error_covers_the_truth_as_often_as_it_should():
    rng = np.random.default_rng(0)
    found = diagnostics.log_likelihood(tree_of(np.full(500, 1 / 500), log_likelihood=rng.normal(-1, 2, (500, 50))))
    assert float((abs(found["mean"] + 1) < 2 * found["se"]).mean()) == pytest.approx(0.95, abs=0.03)


def test_one_point_has_no_standard_error():
    found = diagnostics.log_likelihood(tree_of([0.5, 0.5], log_likelihood=np.zeros((2, 1))))
    assert np.isnan(found["se"]).all()


def test_agreement_of_equal_and_of_opposite_replicates():
    same = diagnostics.replicate_agreement(tree_of([[0.2, 0.8]] * 3))
    assert float(same["jensen_shannon"]) == pytest.approx(0)
    np.testing.assert_allclose(same["total_variation"], 0)
    apart = diagnostics.replicate_agreement(tree_of(np.eye(3)))
    assert float(apart["jensen_shannon"]) == pytest.approx(np.log(3))
    np.testing.assert_allclose(apart["total_variation"], 1 - np.eye(3))


def test_replicates_have_a_row_each():
    net = vds.Replicated(vds.ResidualMLP(2, 2, 4, 2), 3)
    model = vds.VDSModel(net, num_data=6)
    guide = vds.AutoCategorical(model)
    torch.nn.init.normal_(guide.logits["depth"])
    x, y = torch.randn(6, 2), torch.randint(0, 2, (6,))
    tree = vds.to_datatree(model, guide, x, y, draws=50)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        alone = vds.to_datatree(one, its_guide, x, y, draws=50)
        for measure in (diagnostics.guide_gap, diagnostics.summary, diagnostics.log_likelihood):
            xr.testing.assert_allclose(measure(tree).isel(chain=r, drop=True), measure(alone))
    assert diagnostics.replicate_agreement(tree)["total_variation"].shape == (3, 3)


def test_arviz_r_hat_tells_equal_from_different_replicates():
    q = [0.1, 0.2, 0.4, 0.3]
    assert float(az.rhat(draws_of([q] * 4))["depth"]) < 1.01
    assert float(az.rhat(draws_of([q, q, q[::-1]]))["depth"]) > 1.05


def test_arviz_rank_plot_draws_a_line_for_each_replicate():
    figure = az.plot_rank(draws_of([[0.3, 0.7]] * 3), var_names=["depth"], backend="matplotlib")
    assert figure.viz["ecdf_lines"]["depth"].sizes == {"chain": 3}


def test_arviz_fails_as_documented_where_every_draw_is_the_same():
    same = draws_of([[0.0, 1.0]] * 3)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(az.rhat(same)["depth"])
    with pytest.raises(ValueError, match="strictly increasing"):
        az.plot_rank(same, backend="matplotlib")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arviz_r_hat_of_replicates_certain_of_different_depths():
    assert float(az.rhat(draws_of(np.eye(3)))["depth"]) > 1e6


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"Expected a DataTree with a group 'architecture', got the groups \[\]"):
        diagnostics.guide_gap(xr.DataTree())
    with pytest.raises(ValueError, match=r"Expected the mass of the interval in \(0, 1\], got prob=0"):
        diagnostics.summary(tree_of([1.0]), prob=0)
    with pytest.raises(ValueError, match="Expected the tree of replicates, got the tree of one model"):
        diagnostics.replicate_agreement(tree_of([0.5, 0.5]))
    wide = tree_of([0.5, 0.5])
    wide["architecture"] = xr.DataTree(wide["architecture"].to_dataset().rename(depth="width"))
    with pytest.raises(ValueError, match=r"Expected a tree with an axis 'depth', got the axes \['width'\]"):
        diagnostics.summary(wide, "depth")


def test_summary_of_names_has_what_is_defined_without_numbers():
    tree = tree_over({"colour": COLOURS}, [0.2, 0.7, 0.1], prior=[0.5, 0.25, 0.25])
    found = diagnostics.summary(tree)
    assert list(found) == ["mode", "entropy", "effective_entries"]
    assert found["mode"].values.tolist() == ["red", "green", "green"]
    entropy = 0.5 * np.log(2) + 0.5 * np.log(4)
    assert float(found["entropy"].sel(distribution="prior")) == pytest.approx(entropy)
    assert float(found["effective_entries"].sel(distribution="prior")) == pytest.approx(np.exp(entropy))


def test_summary_of_yes_and_no_has_no_mean():
    found = diagnostics.summary(tree_over({"skip": (False, True)}, [0.2, 0.8]))
    assert list(found) == ["mode", "entropy", "effective_entries"]
    assert found["mode"].values.tolist() == [True] * 3


def test_summary_of_widths_is_in_units_of_width():
    q = diagnostics.summary(tree_over({"width": (8, 16, 64)}, [0.1, 0.5, 0.4]), prob=0.8).sel(distribution="q")
    assert float(q["mean"]) == pytest.approx(0.8 + 8 + 25.6)
    assert float(q["sd"]) == pytest.approx(np.sqrt(6.4 + 128 + 0.4 * 64**2 - 34.4**2))
    assert [int(q[name]) for name in ("mode", "hdi_low", "hdi_high")] == [16, 16, 64]


def test_any_of_two_axes_is_summarised_by_its_name():
    tree = random_tree({"colour": COLOURS, "size": (8, 16)})
    q = np.exp(tree["architecture"]["log_q"].to_numpy())
    np.testing.assert_allclose(diagnostics.axis_probs(tree).sel(distribution="q"), q.sum(1))
    np.testing.assert_allclose(diagnostics.axis_probs(tree, "size").sel(distribution="q"), q.sum(0))
    assert float(diagnostics.summary(tree, "size")["mean"].sel(distribution="q")) == pytest.approx(
        8 * q[:, 0].sum() + 16 * q[:, 1].sum()
    )
    assert diagnostics.log_likelihood(tree)["mean"].dims == ("colour", "size")
    assert diagnostics.log_likelihood(tree, "size")["mean"].dims == ("size",)
    assert float(diagnostics.guide_gap(tree)["gap"]) > 0


def test_replicates_agree_over_any_axes():
    q = np.eye(6).reshape(6, 3, 2)
    found = diagnostics.replicate_agreement(tree_over({"colour": COLOURS, "size": (8, 16)}, q))
    assert float(found["jensen_shannon"]) == pytest.approx(np.log(6))
    modes = diagnostics.summary(tree_over({"colour": COLOURS, "size": (8, 16)}, q))["mode"].sel(distribution="q")
    assert modes.values.tolist() == ["red", "red", "green", "green", "blue", "blue"]
