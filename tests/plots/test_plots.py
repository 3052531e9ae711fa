"""Figures show the numbers that they are given."""

from dataclasses import replace

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


def test_depth_posterior_of_replicates_is_their_mean():
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 2, 4, 2), 3), num_data=6)
    guide = vds.AutoCategorical(model)
    torch.nn.init.normal_(guide.logits["depth"])
    tree = vds.to_datatree(model, guide, torch.randn(6, 2), torch.randint(0, 2, (6,)), draws=5)
    heights = [bar.get_height() for bar in vds.plots.plot_depth_posterior(tree).patches]
    np.testing.assert_allclose(heights, guide.probs()["depth"].mean(0))


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


def test_reliability_diagram_of_bins_of_equal_mass(trained):
    model, guide, x, y, _ = trained
    probs = vds.predict_proba(model, guide, x).numpy()
    ax = vds.plots.plot_reliability(probs, y.numpy(), bins=3, binning="mass")
    table = vds.calibration.reliability_table(probs, y.numpy(), 3, binning="mass")
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], table.counts / 12)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], np.diff(table.edges))


def test_history_draws_the_objective_and_each_axis(trained):
    *_, history = trained
    axes = vds.plots.plot_history(history)
    assert len(axes) == 2
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), -history.elbo)
    np.testing.assert_allclose(axes[1].images[0].get_array(), history.probs["depth"].T)


def test_history_names_the_entries_of_each_axis(trained):
    history = trained[-1]
    probs = torch.rand(len(history), 20)
    wide = replace(history, probs={"width": probs})
    ax = vds.plots.plot_history(wide, coords={"width": [5 * i for i in range(1, 21)]})[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["5", "20", "35", "50", "65", "80", "95"]
    assert ax.get_yticks().tolist() == [0, 3, 6, 9, 12, 15, 18]


def test_history_draws_the_validation_metrics_last(trained):
    model, guide, x, y, _ = trained
    history = vds.fit(model, guide, (x, y), max_epochs=4, validation=(x, y), progress=False)
    axes = vds.plots.plot_history(history)
    assert [ax.get_ylabel() for ax in axes] == ["nats", "depth", "log density (nats per point)"]
    twin = axes[2].figure.axes[-1]
    assert twin.get_ylabel() == "error (%)"
    np.testing.assert_allclose(axes[2].lines[0].get_ydata(), history.validation["log_prob"])
    np.testing.assert_allclose(twin.lines[0].get_ydata(), 100 * history.validation["error"])
    legend = [text.get_text() for text in axes[2].get_legend().get_texts()]
    assert legend == ["validation log density", "best", "validation error"]


def test_history_of_a_density_has_no_error_to_draw(trained):
    history = replace(trained[-1], validation={"log_prob": torch.arange(5.0)})
    axes = vds.plots.plot_history(history)
    assert "error (%)" not in [ax.get_ylabel() for ax in axes[0].figure.axes]
    assert axes[2].get_ylim()[0] < 0 < 4 < axes[2].get_ylim()[1]


@pytest.mark.parametrize("name", ["elbo", "expected_log_prob", "kl"])
def test_history_shows_values_that_are_not_positive(trained, name):
    history = trained[-1]
    assert vds.plots.plot_history(history)[0].get_yscale() == "log"
    values = getattr(history, name).clone()
    values[2] = 0.0 if name == "kl" else 30.0
    ax = vds.plots.plot_history(replace(history, **{name: values}))[0]
    assert ax.get_yscale() == "symlog"
    low, high = ax.get_ylim()
    assert all(low <= value <= high for line in ax.lines[:3] for value in line.get_ydata())


def test_history_of_a_plain_network_is_its_loss_alone(trained):
    history = replace(trained[-1], kl=torch.zeros(5), probs={})
    (ax,) = vds.plots.plot_history(history)
    assert [line.get_label() for line in ax.lines] == ["negative ELBO", "best"]
    assert ax.get_yscale() == "log"


def test_history_without_an_epoch_is_drawn(trained, tmp_path):
    history = trained[-1]
    none = {name: torch.zeros(0) for name in ("elbo", "expected_log_prob", "kl")}
    axes = vds.plots.plot_history(replace(history, **none, probs={"depth": torch.zeros(0, 4)}, best_epoch=-1))
    axes[0].figure.savefig(tmp_path / "empty.png")


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
