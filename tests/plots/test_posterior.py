"""Figures of diagnostics show the numbers that they are given, in the axes that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import oracles
import pytest
import torch
from trees import tree_of

import pyro_vds as vds
from pyro_vds import diagnostics, plots
from pyro_vds.diagnostics import comparison
from pyro_vds.metrics import uncertainty


@pytest.fixture(scope="module")
def tree():
    torch.set_default_dtype(torch.float64)
    model, guide, x, y = oracles.problem(3, 60)
    return vds.to_datatree(model, guide, x, y, draws=200)


def heights(ax):
    return [bar.get_height() for bar in ax.patches]


def test_prior_to_posterior_has_a_bar_for_each_distribution_and_depth(tree):
    ax = plots.plot_prior_to_posterior(tree)
    np.testing.assert_allclose(heights(ax), diagnostics.depth_probs(tree).to_numpy().ravel())
    assert ax.get_title() == f"gap {float(diagnostics.guide_gap(tree)['gap']):.2f} nats"


def test_log_likelihood_of_each_depth_has_bars_of_two_standard_errors(tree):
    ax = plots.plot_depth_log_likelihood(tree)
    values = diagnostics.depth_log_likelihood(tree)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), values["mean"])
    bars = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()], dtype=float)
    np.testing.assert_allclose(np.diff(bars).ravel(), 4 * values["se"])


def test_stacking_is_drawn_beside_the_guide(tree):
    found = heights(plots.plot_stacking(tree))
    np.testing.assert_allclose(found[:4], diagnostics.depth_probs(tree).sel(distribution="q"))
    np.testing.assert_allclose(found[4:], comparison.stacking_weights(tree))


def test_power_scaling_draws_a_line_for_each_power(tree):
    ax = plots.plot_power_scaling(tree, powers=[0, 2])
    drawn = [line.get_ydata() for line in ax.lines]
    np.testing.assert_allclose(drawn, comparison.power_scaled_posterior(tree, [0, 2]))


def test_risk_coverage_curves_have_their_areas_in_the_legend():
    curve = uncertainty.risk_coverage([0.1, 0.2, 0.3], [0, 0, 1])
    ax = plots.plot_risk_coverage({"entropy": curve})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), curve.risk)
    assert ax.get_legend().get_texts()[0].get_text() == "entropy: area 0.1111"


def test_pava_draws_an_isotonic_curve_in_the_axes_given(tree):
    _, ax = plt.subplots()
    assert plots.plot_pava(tree, 1, ax) is ax
    curves = [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines]
    curve = next(values for values in curves if len(values) == 60)
    assert (np.diff(curve) >= 0).all()
    assert curve.mean() == pytest.approx(float((tree["observed_data"]["obs"] == 1).mean()))
    assert len(ax.collections) == 1


def test_replicates_are_refused():
    with pytest.raises(ValueError, match=r"Expected the tree of one model .*, got \['chain'\] too"):
        plots.plot_prior_to_posterior(tree_of(np.eye(2)))
    with pytest.raises(ValueError, match="Draw replicates one by one"):
        plots.plot_depth_log_likelihood(tree_of(np.eye(2)))
