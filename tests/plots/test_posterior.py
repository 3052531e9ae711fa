"""Figures of the posterior show the numbers that they are given, in the axes that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import oracles
import pytest
import torch
from trees import COLOURS, random_tree, tree_of, tree_over

import pyro_vds as vds
from pyro_vds import diagnostics, plots
from pyro_vds.diagnostics import comparison

ALL = (
    plots.plot_posterior, plots.plot_prior_to_posterior, plots.plot_log_likelihood, plots.plot_stacking,
    plots.plot_power_scaling,
)  # fmt: skip


@pytest.fixture(scope="module")
def tree():
    torch.set_default_dtype(torch.float64)
    model, guide, x, y = oracles.problem(3, 60)
    return vds.to_datatree(model, guide, x, y, draws=200)


def heights(ax):
    return [bar.get_height() for bar in ax.patches]


def tick_labels(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def test_depth_posterior_has_a_bar_for_each_depth(trained):
    model, guide, x, y, _ = trained
    ax = vds.plots.plot_posterior(vds.to_datatree(model, guide, x, y, draws=5), chosen=2)
    exact = vds.exact_posterior(model, (x, y)).probs["depth"]
    np.testing.assert_allclose(heights(ax), torch.cat([guide.probs()["depth"], exact]), rtol=1e-6)
    assert ax.get_xlabel() == "depth"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"prior", "exact posterior", "chosen depth 2", "posterior q(depth)"} <= set(labels)


def test_depth_posterior_of_replicates_is_their_mean():
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 2, 4, 2), 3), num_data=6)
    guide = vds.AutoCategorical(model)
    torch.nn.init.normal_(guide.logits["depth"])
    tree = vds.to_datatree(model, guide, torch.randn(6, 2), torch.randint(0, 2, (6,)), draws=5)
    np.testing.assert_allclose(heights(vds.plots.plot_posterior(tree))[:3], guide.probs()["depth"].mean(0))


def test_probabilities_are_below_the_log_likelihoods_and_all_within_the_figure():
    """Also of an exact posterior that is much sharper than the guide."""
    points = np.array([[-0.7, -1.4], [-0.1, -0.2], [-9.0, -2.3]])
    tree = tree_of([0.4, 0.35, 0.25], exact=[0.0, 1.0, 0.0], log_likelihood=points)
    ax = plots.plot_posterior(tree)
    twin = ax.figure.axes[-1]
    bars = np.array([[0, height] for height in heights(ax)])
    line = np.array([[0, value] for value in twin.lines[0].get_ydata()])
    tops = ax.transData.transform(bars)[:, 1], twin.transData.transform(line)[:, 1]
    frame = ax.get_window_extent()
    assert tops[0].max() < tops[1].min()
    assert frame.y0 <= tops[0].min()
    assert tops[1].max() <= frame.y1
    shown = twin.get_yticks()
    assert (shown >= points.mean(1).min()).all()
    assert (shown <= points.mean(1).max()).all()
    assert ax.get_yticks().max() <= 1


def test_the_points_of_the_log_likelihood_are_named():
    tree = tree_of([0.4, 0.35, 0.25])
    for points, text in (("test", "log-likelihood of each depth (test)"), ("", "log-likelihood of each depth")):
        ax = plots.plot_posterior(tree, points=points)
        assert ax.figure.axes[-1].lines[0].get_label() == text
    assert plots.plot_log_likelihood(tree, points="test").get_ylabel() == "log-likelihood (test, nats per point)"


@pytest.mark.parametrize(("exact", "says"), [([0.02, 0.97, 0.01], True), ([0.5, 0.3, 0.2], False)])
def test_a_figure_says_that_guide_and_exact_posterior_are_a_nat_apart(exact, says):
    tree = tree_of([0.6, 0.2, 0.2], exact=exact)
    note = plots.plot_posterior(tree).figure.get_suptitle()
    gap = float(diagnostics.guide_gap(tree)["gap"])
    assert (gap > 1) == says
    expected = f"(gap {gap:.2f} nats): the guide chooses depth 0, the exact posterior depth 1."
    assert (expected in note.replace("\n", " ")) == says
    assert bool(note) == says
    assert plots.plot_posterior(tree, note="Another.").figure.get_suptitle() == "Another."
    assert plots.plot_posterior(tree, note="").figure.get_suptitle() == ""


def test_prior_to_posterior_has_a_bar_for_each_distribution_and_depth(tree):
    ax = plots.plot_prior_to_posterior(tree)
    np.testing.assert_allclose(heights(ax), diagnostics.axis_probs(tree).to_numpy().ravel())
    assert ax.get_title() == f"gap {float(diagnostics.guide_gap(tree)['gap']):.2f} nats"


def test_log_likelihood_of_each_depth_has_bars_of_two_standard_errors(tree):
    ax = plots.plot_log_likelihood(tree)
    values = diagnostics.log_likelihood(tree)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), values["mean"])
    bars = np.array([segment[:, 1] for segment in ax.collections[0].get_segments()], dtype=float)
    np.testing.assert_allclose(np.diff(bars).ravel(), 4 * values["se"])


def test_stacking_is_drawn_beside_the_guide(tree):
    found = heights(plots.plot_stacking(tree))
    np.testing.assert_allclose(found[:4], diagnostics.axis_probs(tree).sel(distribution="q"))
    np.testing.assert_allclose(found[4:], comparison.stacking_weights(tree))


def test_power_scaling_draws_a_line_for_each_power(tree):
    ax = plots.plot_power_scaling(tree, powers=[0, 2])
    drawn = [line.get_ydata() for line in ax.lines]
    np.testing.assert_allclose(drawn, comparison.power_scaled_posterior(tree, [0, 2]))


def test_figures_go_where_they_are_told(trained):
    model, guide, x, y, _ = trained
    figure, (left, right) = plt.subplots(1, 2)
    tree = vds.to_datatree(model, guide, x, y, draws=5)
    assert vds.plots.plot_log_likelihood(tree, left) is left
    assert vds.plots.plot_posterior(tree, right) is right
    assert len(figure.axes) == 3  # the twin axis of the log-likelihoods


def test_replicates_are_refused():
    for draw in ALL[1:]:
        with pytest.raises(
            ValueError, match="Expected the tree of one model, got the tree of replicates. Make a tree for each"
        ):
            draw(tree_of(np.eye(2)))


def test_names_stand_below_the_bars():
    q, exact = [0.2, 0.7, 0.1], [0.3, 0.5, 0.2]
    tree = tree_over({"colour": COLOURS}, q, prior=[0.4, 0.3, 0.3], exact=exact)
    ax = plots.plot_posterior(tree, chosen="green")
    np.testing.assert_allclose(heights(ax), q + exact)
    assert (ax.get_xlabel(), tick_labels(ax)) == ("colour", list(COLOURS))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert {"posterior q(colour)", "chosen colour green", "log-likelihood of each colour"} <= set(labels)
    mark = next(line for line in ax.lines if line.get_label() == "chosen colour green")
    assert list(mark.get_xdata()) == [1, 1]
    with pytest.raises(ValueError, match=r"Expected a colour in \['red', 'green', 'blue'\], got 'pink'"):
        plots.plot_posterior(tree, chosen="pink")


@pytest.mark.parametrize("draw", ALL)
@pytest.mark.parametrize(
    ("labels", "shown"),
    [(COLOURS, list(COLOURS)), ((False, True), ["False", "True"]), ((8, 16, 64), ["8", "16", "64"])],
)
def test_every_figure_takes_labels_of_any_kind(draw, labels, shown):
    ax = draw(random_tree({"colour": labels}))
    assert (ax.get_xlabel(), tick_labels(ax)) == ("colour", shown)
    assert ax.get_xticks().tolist() == list(range(len(labels)))


@pytest.mark.parametrize("draw", ALL)
def test_every_figure_takes_any_of_two_axes(draw):
    tree = random_tree({"colour": COLOURS, "size": (8, 16)})
    assert tick_labels(draw(tree)) == list(COLOURS)
    assert tick_labels(draw(tree, axis="size")) == ["8", "16"]
    with pytest.raises(ValueError, match=r"Expected a tree with an axis 'depth', got the axes \['colour', 'size'\]"):
        draw(tree, axis="depth")


def test_other_axes_are_summed_over():
    tree = random_tree({"colour": COLOURS, "size": (8, 16)})
    probs = {name: np.exp(tree["architecture"][name].to_numpy()) for name in ("log_q", "log_exact_posterior")}
    drawn = heights(plots.plot_posterior(tree, axis="size"))
    np.testing.assert_allclose(drawn, [*probs["log_q"].sum(0), *probs["log_exact_posterior"].sum(0)])
    drawn = plots.plot_power_scaling(tree, axis="size", powers=[1.0]).lines[0].get_ydata()
    np.testing.assert_allclose(drawn, probs["log_exact_posterior"].sum(0))
    drawn = plots.plot_log_likelihood(tree, axis="size").lines[0].get_ydata()
    np.testing.assert_allclose(drawn, diagnostics.log_likelihood(tree, "size")["mean"])


def test_of_many_entries_some_are_named():
    assert tick_labels(plots.plot_posterior(tree_of(np.full(21, 1 / 21)))) == [str(2 * i) for i in range(11)]
