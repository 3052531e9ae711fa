"""Comparison of depths: against brute force, the optimum's conditions, and ArviZ's own table."""

import arviz as az
import numpy as np
import oracles
import pytest
import torch
import xarray as xr
from trees import COLOURS, random_tree, tree_of, tree_over

import pyro_vds as vds
from pyro_vds.diagnostics import comparison


@pytest.fixture(scope="module")
def made():
    torch.set_default_dtype(torch.float64)
    model, guide, x, y = oracles.problem(3, 40)
    model.backbone(x)
    return model, guide, x, y, vds.to_datatree(model, guide, x, y, draws=50)


def random_log_probs(depths=4, points=200, seed=0):
    return np.log(np.random.default_rng(seed).uniform(0.05, 1, (depths, points)))


def test_held_out_elpd_equals_log_predictive(made):
    model, guide, x, y, tree = made
    found = comparison.held_out_elpd(tree, prune=[1, 3])
    assert list(found) == ["depth 0", "depth 1", "depth 2", "depth 3", "mixture", "pruned to 1", "pruned to 3"]
    log_probs = oracles.log_probs(oracles.outputs(model.backbone.eval(), x), y).detach()
    for d in range(4):
        np.testing.assert_allclose(found[f"depth {d}"].elpd_i, log_probs[d])
    np.testing.assert_allclose(found["mixture"].elpd_i, vds.log_predictive(model, guide, x, y))
    np.testing.assert_allclose(found["pruned to 1"].elpd_i, vds.log_predictive(model, guide, x, y, depth=1))
    np.testing.assert_allclose(found["pruned to 3"].elpd_i, found["mixture"].elpd_i)
    values = log_probs[2]
    assert found["depth 2"].elpd == pytest.approx(float(values.sum()))
    assert found["depth 2"].se == pytest.approx(float((len(x) * values.var(correction=0)).sqrt()))


def test_arviz_compares_depths_mixture_and_ddn(made):
    *_, x, y, tree = made
    ddn = vds.VDSModel(vds.ResidualMLP(2, 3, 5, 2, readout="last"), num_data=len(x))
    results = comparison.held_out_elpd(tree, prune=1) | {"DDN 2": comparison.elpd(vds.log_predictive(ddn, None, x, y))}
    table = az.compare(results, round_to="none")
    assert set(table.index) == set(results)
    best = table.index[0]
    assert results[best].elpd == max(result.elpd for result in results.values())
    difference = results["DDN 2"].elpd_i - results[best].elpd_i
    assert table.loc["DDN 2", "elpd_diff"] == pytest.approx(float(difference.sum()))
    assert table.loc["DDN 2", "dse"] == pytest.approx(float(np.sqrt(len(x)) * difference.std()))
    figure = az.plot_compare(table, backend="matplotlib")
    assert figure is not None


def test_arviz_finds_the_better_of_two_and_no_winner_among_equals():
    rng = np.random.default_rng(0)
    base = rng.normal(-1, 0.5, 500)
    worse = comparison.elpd(base - 0.2 + rng.normal(0, 0.1, 500))
    equal = comparison.elpd(base + rng.normal(0, 0.1, 500))
    table = az.compare({"base": comparison.elpd(base), "worse": worse, "equal": equal}, round_to="none")
    assert table.index[2] == "worse"
    assert abs(table.loc["worse", "elpd_diff"]) > 10 * table.loc["worse", "dse"]
    assert abs(table.iloc[1]["elpd_diff"]) < 3 * table.iloc[1]["dse"]


def test_a_depth_without_mass_is_compared_all_the_same():
    log_p = random_log_probs(2)
    found = comparison.held_out_elpd(tree_of([0, 1], log_likelihood=log_p), prune=0)
    np.testing.assert_allclose(found["depth 0"].elpd_i, log_p[0])
    np.testing.assert_allclose(found["mixture"].elpd_i, log_p[1])
    np.testing.assert_allclose(found["pruned to 0"].elpd_i, log_p[0])


def test_arviz_prints_the_results(made):
    *_, tree = made
    assert "elpd_loo" in str(comparison.loo_over_architectures(tree))
    assert "40 observations" in str(comparison.held_out_elpd(tree)["mixture"])


def test_loo_of_the_exact_posterior_equals_leaving_each_point_out(made):
    model, _, x, y, tree = made
    log_probs = oracles.log_probs(oracles.outputs(model.backbone.eval(), x), y).detach()
    log_prior = oracles.prior(0.7, 4).log()
    found = comparison.loo_over_architectures(tree, weights="exact")
    for n in range(len(x)):
        others = [m for m in range(len(x)) if m != n]
        without = oracles.posterior(log_probs[:, others], log_prior)
        assert float(found.elpd_i[n]) == pytest.approx(float((without * log_probs[:, n].exp()).sum().log()))
    full = oracles.posterior(log_probs, log_prior)
    lpd = (full[:, None] * log_probs.exp()).sum(0).log().sum()
    assert found.p == pytest.approx(float(lpd) - found.elpd)
    assert found.p > 0


def test_loo_of_the_guide_is_the_formula(made):
    _, guide, _, _, tree = made
    likelihood = np.exp(tree["architecture"]["log_likelihood"].to_numpy())
    expected = -np.log((guide.probs()["depth"].numpy()[:, None] / likelihood).sum(0))
    np.testing.assert_allclose(comparison.loo_over_architectures(tree).elpd_i, expected)


def test_loo_of_a_certain_guide_costs_nothing():
    log_p = random_log_probs()
    found = comparison.loo_over_architectures(tree_of([0, 1, 0, 0], log_likelihood=log_p))
    np.testing.assert_allclose(found.elpd_i, log_p[1])
    assert found.p == pytest.approx(0)


def test_loo_and_held_out_results_do_not_mix(made):
    *_, tree = made
    mixed = {"loo": comparison.loo_over_architectures(tree), "held out": comparison.held_out_elpd(tree)["mixture"]}
    with pytest.raises(ValueError, match="incompatible cross-validation methods"):
        az.compare(mixed)


@pytest.mark.parametrize("depths", [1, 2, 5, 21])
def test_stacking_weights_are_optimal(depths):
    """The optimum of a concave function on the simplex: the gradient is 1 where there is weight, and at most 1."""
    log_p = random_log_probs(depths)
    w = comparison.stacking_weights(tree_of(np.full(depths, 1 / depths), log_likelihood=log_p)).to_numpy()
    assert w.sum() == pytest.approx(1)
    assert (w >= -1e-9).all()
    gradient = (np.exp(log_p) / (w @ np.exp(log_p))).mean(1)
    assert gradient.max() < 1.005
    np.testing.assert_allclose(gradient[w > 0.02], 1, atol=0.005)


def test_stacking_weights_find_the_truth_and_survive_tiny_likelihoods():
    rng = np.random.default_rng(0)
    from_second = rng.random(4000) < 0.7
    log_p = np.log(np.where([~from_second, from_second], 0.9, 0.1))
    expected = (0.7 - 0.1) / 0.8  # maximises 0.7 log(0.1 + 0.8 w) + 0.3 log(0.9 - 0.8 w)
    for shift in (0.0, -1000.0):
        w = comparison.stacking_weights(tree_of([0.5, 0.5], log_likelihood=log_p + shift))
        assert float(w.sel(depth=1)) == pytest.approx(expected, abs=0.03)


def test_power_scaled_posterior_equals_the_formula(made):
    model, _, x, y, tree = made
    log_probs = oracles.log_probs(oracles.outputs(model.backbone.eval(), x), y).detach()
    found = comparison.power_scaled_posterior(tree, [0, 0.5, 1, 3])
    for power, row in zip((0, 0.5, 1, 3), found.to_numpy(), strict=True):
        expected = (power * oracles.prior(0.7, 4).log() + log_probs.sum(1)).softmax(0)
        np.testing.assert_allclose(row, expected)
    found = comparison.power_scaled_posterior(tree, [0, 0.5, 1, 3], of="likelihood")
    for power, row in zip((0, 0.5, 1, 3), found.to_numpy(), strict=True):
        np.testing.assert_allclose(row, (oracles.prior(0.7, 4).log() + power * log_probs.sum(1)).softmax(0))


@pytest.mark.usefixtures("as_a_user")
def test_power_scaling_of_anything_else_is_refused(made):
    with pytest.raises(ValueError, match="Expected of='prior' or of='likelihood' to scale, got 'data'"):
        comparison.power_scaled_posterior(made[-1], of="data")


def test_power_scaling_moves_a_weak_posterior_and_leaves_a_sharp_one():
    prior = np.array([0.9, 0.1])
    weak = comparison.power_scaled_posterior(tree_of(prior, prior, prior), [1, 2])
    assert float(weak.sel(power=2, depth=0)) == pytest.approx(0.81 / 0.82)
    sharp = comparison.power_scaled_posterior(tree_of(prior, prior, [1e-9, 1 - 1e-9]), [1, 2])
    assert float(abs(sharp.sel(power=2) - sharp.sel(power=1)).max()) < 1e-7
    excluded = comparison.power_scaled_posterior(tree_of([0.5, 0.5], [1.0, 0.0], [1.0, 0.0]), [0, 2])
    np.testing.assert_allclose(excluded, [[1, 0], [1, 0]])


def test_another_axis_is_averaged_over():
    rng = np.random.default_rng(0)
    q, p = rng.dirichlet(np.ones(6)).reshape(2, 3), rng.random((2, 3, 5))
    logs = {name: (("depth", "width"), np.log(q)) for name in ("log_q", "log_prior", "log_exact_posterior")}
    exact = xr.Dataset(logs | {"log_likelihood": (("depth", "width", "obs_id"), np.log(p))}, {"depth": [0, 1]})
    tree = xr.DataTree.from_dict({"architecture": exact.assign_attrs(log_evidence=0.0)})
    found = comparison.held_out_elpd(tree)
    np.testing.assert_allclose(found["mixture"].elpd_i, np.log((q[..., None] * p).sum((0, 1))))
    np.testing.assert_allclose(found["depth 1"].elpd_i, np.log((q[1, :, None] * p[1]).sum(0) / q[1].sum()))
    assert comparison.power_scaled_posterior(tree, [1]).dims == ("power", "depth", "width")
    assert comparison.loo_over_architectures(tree).n_data_points == 5


def test_bad_input_is_refused(made):
    *_, tree = made
    with pytest.raises(
        ValueError, match=r"Expected finite log densities \(N,\), N > 0, got shape \(2,\) with 1 finite"
    ):
        comparison.elpd(np.array([0.0, -np.inf]))
    with pytest.raises(ValueError, match=r"Expected a depth in 0\.\.3, got 4"):
        comparison.held_out_elpd(tree, prune=4)
    with pytest.raises(ValueError, match="Expected the tree of one model, got the tree of replicates"):
        comparison.held_out_elpd(tree_of(np.eye(2)))
    with pytest.raises(ValueError, match=r"Expected one or more powers of at least 0, got \[1, -1\]"):
        comparison.power_scaled_posterior(tree, [1, -1])


def test_a_nested_axis_keeps_what_is_below_and_another_axis_one_entry():
    labels = {"colour": COLOURS, "size": (8, 16)}
    for nested in ((), ("colour",)):
        tree = random_tree(labels, nested=nested)
        exact = tree["architecture"]
        q, p = np.exp(exact["log_q"].to_numpy()), np.exp(exact["log_likelihood"].to_numpy())
        found = comparison.held_out_elpd(tree, prune=["green", "blue"])
        assert list(found) == [
            "colour red", "colour green", "colour blue", "mixture", "pruned to green", "pruned to blue",
        ]  # fmt: skip
        if nested:
            by_hand = sum(q[0, j] * p[0, j] + q[1:, j].sum() * p[1, j] for j in range(2))
        else:
            by_hand = sum(q[:, j].sum() * p[1, j] for j in range(2))
        np.testing.assert_allclose(found["pruned to green"].elpd_i, np.log(by_hand))
        expected = found["mixture"].elpd_i if nested else np.log(sum(q[:, j].sum() * p[2, j] for j in range(2)))
        np.testing.assert_allclose(found["pruned to blue"].elpd_i, expected)


def test_cuts_of_two_axes_equal_log_predictive():
    torch.manual_seed(0)
    net = vds.WithWidths(vds.ResidualMLP(2, 2, width=8, max_depth=2), widths=[2, 4, 8])
    priors = {"depth": vds.priors.Geometric(0.7), "width": vds.priors.Uniform()}
    model = vds.VDSModel(net, priors=priors, num_data=12)
    guide = vds.AutoJointCategorical(model)
    for logits in guide.parameters():
        torch.nn.init.normal_(logits)
    x, y = torch.randn(12, 2), torch.randint(0, 2, (12,))
    tree = vds.to_datatree(model, guide, x, y, draws=5)
    for axis, labels in (("depth", (0, 1, 2)), ("width", (2, 4, 8))):
        found = comparison.held_out_elpd(tree, axis, prune=labels)
        for label in labels:
            expected = vds.log_predictive(model, guide, x, y, **{axis: label})
            np.testing.assert_allclose(found[f"pruned to {label}"].elpd_i, expected)


def test_stacking_weights_are_those_of_the_named_axis():
    tree = random_tree({"colour": COLOURS, "size": (8, 16)}, points=200)
    assert comparison.stacking_weights(tree)["colour"].values.tolist() == list(COLOURS)
    weights = comparison.stacking_weights(tree, "size")
    assert weights["size"].values.tolist() == [8, 16]
    log_p = [comparison.held_out_elpd(tree, "size")[f"size {size}"].elpd_i.to_numpy() for size in (8, 16)]
    alone = comparison.stacking_weights(tree_of([0.5, 0.5], log_likelihood=np.stack(log_p)))
    np.testing.assert_allclose(weights, alone)
    one = comparison.stacking_weights(tree_over({"colour": ("red",)}, [1.0]))
    assert (one["colour"].values.tolist(), one.values.tolist()) == (["red"], [1.0])


def test_power_scaling_and_loo_take_any_axes():
    tree = random_tree({"colour": COLOURS, "size": (8, 16)})
    scaled = comparison.power_scaled_posterior(tree, [1.0])
    np.testing.assert_allclose(scaled.isel(power=0), np.exp(tree["architecture"]["log_exact_posterior"]))
    q, p = (np.exp(tree["architecture"][name].to_numpy()) for name in ("log_q", "log_likelihood"))
    expected = -np.log((q[..., None] / p).sum((0, 1)))
    np.testing.assert_allclose(comparison.loo_over_architectures(tree).elpd_i, expected)


def test_a_label_or_an_axis_that_is_not_there_is_refused():
    tree = random_tree({"colour": COLOURS})
    with pytest.raises(ValueError, match=r"Expected a colour in \['red', 'green', 'blue'\], got 'pink'"):
        comparison.held_out_elpd(tree, prune="pink")
    with pytest.raises(ValueError, match=r"Expected a tree with an axis 'depth', got the axes \['colour'\]"):
        comparison.stacking_weights(tree, "depth")
