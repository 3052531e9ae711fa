"""Figures show the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import oracles
import pytest
import torch

import pyro_vds as vds


@pytest.fixture
def trained():
    model, guide, x, y = oracles.problem(3, classes=2)
    history = vds.fit(model, guide, (x, y), max_epochs=5, progress=False)
    return model, guide, x, y, history


def test_depth_posterior_has_a_bar_for_each_depth(trained):
    model, guide, x, y, _ = trained
    ax = vds.plots.plot_depth_posterior(vds.to_datatree(model, guide, x, y, draws=5), chosen=2)
    heights = [bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(heights, guide.probs()["depth"], rtol=1e-6)
    assert ax.get_xlabel() == "depth (residual blocks)"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"prior", "exact posterior", "chosen depth 2", "posterior q(depth)"} <= set(labels)


def test_a_sharp_exact_posterior_is_written_at_the_top(trained):
    model, guide, x, y, _ = trained
    exact = vds.exact_posterior(model, (x.repeat(500, 1), y.repeat(500)))
    ax = vds.plots.plot_depth_posterior(vds.to_datatree(model, guide, x, y, posterior=exact, draws=5))
    assert "1.00" in [text.get_text() for text in ax.texts]


def test_reliability_diagram_draws_the_table(trained):
    model, guide, x, y, _ = trained
    probs = vds.predict_proba(model, guide, x).numpy()
    ax = vds.plots.plot_reliability(probs, y.numpy(), bins=5, title="marginal")
    table = vds.calibration.reliability_table(probs, y.numpy(), 5)
    assert ax.get_title() == f"marginal: ECE {100 * table.ece:.1f} %"
    drawn = next(line for line in ax.lines if line.get_label() == "accuracy")
    np.testing.assert_allclose(drawn.get_ydata(), table.accuracy)


def test_history_draws_the_objective_and_each_axis(trained):
    *_, history = trained
    axes = vds.plots.plot_history(history)
    assert len(axes) == 2
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), -history.elbo)
    np.testing.assert_allclose(axes[1].images[0].get_array(), history.probs["depth"].T)


def test_depth_functions_draw_a_panel_for_each_depth(trained):
    model, _, x, y, _ = trained
    axes = vds.plots.plot_depth_functions(model, x, y, resolution=10)
    assert [ax.get_title() for ax in axes] == [f"depth {d}" for d in range(4)]
    corner = (x.amin(0) - 0.2)[None]
    expected = model.eval().backbone(corner).softmax(-1)[:, 0, 1].detach()
    drawn = [float(ax.collections[0].get_array().ravel()[0]) for ax in axes]
    np.testing.assert_allclose(drawn, expected)
    assert len(vds.plots.plot_depth_functions(model, x, y, depths=[0, 2], resolution=5)) == 2


def test_figures_go_where_they_are_told(trained):
    model, guide, x, y, history = trained
    figure, (left, right) = plt.subplots(1, 2)
    probs = vds.predict_proba(model, guide, x)
    assert vds.plots.plot_reliability(probs, y, left) is left
    assert vds.plots.plot_depth_posterior(vds.to_datatree(model, guide, x, y, draws=5), right) is right
    assert vds.plots.plot_history(history, plt.subplots(1, 2)[1])[0].get_xlabel() == "epoch"
    assert len(figure.axes) == 3  # the twin axis of the log-likelihoods


@pytest.mark.usefixtures("as_a_user")
def test_functions_of_more_than_two_inputs_are_refused(trained):
    model = trained[0]
    with pytest.raises(
        ValueError, match=r"Expected points of two features, \(N, 2\), to draw functions of; got \(4, 3\)"
    ):
        vds.plots.plot_depth_functions(model, torch.zeros(4, 3), torch.zeros(4))
