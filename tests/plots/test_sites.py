"""Figures of sites show the numbers of the tree, and say where these are an estimate."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import sites
import torch
import xarray as xr
from matplotlib.colors import to_hex
from torch import nn

import pyro_vds as vds
from pyro_vds import plots

OPERATIONS = ("none", "skip_connect", "nor_conv_3x3")
ALL = (plots.plot_choices, plots.plot_graph, plots.plot_dependence)


@pytest.fixture(scope="module")
def gates():
    torch.set_default_dtype(torch.float64)
    model, guide = sites.dense_model(num_data=30)
    return vds.to_datatree(model, guide, *sites.data(), draws=10)


@pytest.fixture(scope="module")
def operations():
    """The exact posterior of a random table over six edges, on an axis and a plate of other names."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    names = ("0->1", "0->2", "1->2", "0->3", "1->3", "2->3")
    model = vds.TabularModel(3 * torch.randn((3,) * 6), axis="kind", plate="link", options=OPERATIONS, sites=names)
    guide = vds.AutoCategorical(model)
    nn.init.normal_(guide.logits["kind"])
    return vds.to_datatree(model, guide, *model.data, draws=10)


@pytest.fixture(scope="module")
def estimate():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    network = vds.connectivity((5,), 4, layers=8, channels=3).double()
    model = vds.VDSModel(network, priors=vds.priors.Price(1.0), num_data=30)
    guide = vds.AutoCategorical(model)
    nn.init.normal_(guide.logits["gate"])
    return vds.to_datatree(model, guide, *sites.data(), draws=50)


def probs(tree, name):
    return np.exp(tree["architecture"][name].to_numpy())


def drawn_edges(ax):
    return [patch for patch in ax.patches if patch.get_gid() == "edge"]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_choices_are_the_probabilities_of_each_option_at_each_edge(operations):
    q, exact = plots.plot_choices(operations)
    np.testing.assert_allclose(q.images[0].get_array(), probs(operations, "log_q_kind").T)
    np.testing.assert_allclose(exact.images[0].get_array(), probs(operations, "log_exact_posterior_kind").T)
    assert (q.get_xlabel(), q.get_ylabel(), q.get_title()) == ("link", "kind", "posterior q(kind)")
    assert ticks(q.yaxis) == list(OPERATIONS)
    assert ticks(exact.xaxis) == operations["architecture"]["link"].to_numpy().tolist()
    written = [text.get_text() for text in q.texts]
    assert written == [f"{value:.2f}" for value in probs(operations, "log_q_kind").T.ravel()]


def test_gates_are_closed_or_open(gates):
    assert ticks(plots.plot_choices(gates)[0].yaxis) == ["closed", "open"]


def test_an_open_edge_is_as_wide_and_as_opaque_as_it_is_probable(gates):
    for of, name in (("q", "log_q_gate"), ("exact", "log_exact_posterior_gate")):
        ax = plots.plot_graph(gates, of=of)
        opened = probs(gates, name)[:, 1]
        arcs = drawn_edges(ax)
        np.testing.assert_allclose([arc.get_alpha() for arc in arcs], opened)
        np.testing.assert_allclose([arc.get_linewidth() for arc in arcs], 6 * opened)
        assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for value in opened] + list("0123")
    ends = [(arc.get_path().vertices[0, 0], arc.get_path().vertices[-1, 0]) for arc in arcs]
    assert [f"{start:.0f}->{end:.0f}" for start, end in ends] == gates["architecture"]["edge"].to_numpy().tolist()


def test_of_operations_the_most_probable_has_its_colour(operations):
    ax = plots.plot_graph(operations)
    q = probs(operations, "log_q_kind")
    most = q.argmax(1)
    assert {0, 1, 2} == set(most)  # a case with an edge that carries nothing
    arcs = drawn_edges(ax)
    np.testing.assert_allclose([arc.get_alpha() for arc in arcs], q.max(1)[most > 0])
    colours = {1: plots.ORANGE, 2: plots.GREEN}
    assert [to_hex(arc.get_edgecolor()).upper() for arc in arcs] == [colours[entry] for entry in most[most > 0]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(OPERATIONS)
    assert len(drawn_edges(plots.plot_graph(operations, nothing="skip_connect"))) == int((most != 1).sum())


def test_dependence_is_the_mutual_information_without_the_entropies(operations):
    ax = plots.plot_dependence(operations)
    group = operations["architecture"]
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    off = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose(shown[off], group["dependence_kind"].to_numpy()[off])
    assert np.isnan(np.diagonal(shown)).all()
    assert ax.get_title().endswith(f"total correlation {group.attrs['total_correlation']:.2f} nats")


def test_an_estimate_says_so_under_its_title(estimate, gates):
    note = "estimate: 50 of 3.5e13 architectures"
    (choices,) = plots.plot_choices(estimate)
    assert choices.get_title().splitlines() == ["posterior q(gate)", note]
    graph = plots.plot_graph(estimate)
    assert graph.get_title().splitlines() == ["q(gate)", note]
    assert len(drawn_edges(graph)) == 45
    with pytest.raises(ValueError, match=r"Expected a tree with an exact posterior, whose .*got an estimate: 50 of"):
        plots.plot_dependence(estimate)
    with pytest.raises(ValueError, match=r"got an estimate: 50 of 3.5e13 architectures. Use of='q'"):
        plots.plot_graph(estimate, of="exact")
    assert "estimate" not in plots.plot_graph(gates).get_title()


def test_chains_are_drawn_by_their_mean(gates):
    model, guide = sites.dense_model(num_data=30)
    nn.init.normal_(guide.logits["gate"])
    trees = [gates, vds.to_datatree(model, guide, *sites.data(), draws=10)]
    joined = vds.as_chains(trees)
    mean = np.mean([probs(tree, "log_q_gate") for tree in trees], axis=0)
    np.testing.assert_allclose(plots.plot_choices(joined)[0].images[0].get_array(), mean.T)
    np.testing.assert_allclose([arc.get_alpha() for arc in drawn_edges(plots.plot_graph(joined))], mean[:, 1])
    between = np.mean([tree["architecture"]["dependence_gate"] for tree in trees], axis=0)
    off = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose(plots.plot_dependence(joined).images[0].get_array()[off], between[off])


def test_figures_go_where_they_are_told(operations):
    axes = plt.subplots(1, 4)[1]
    assert plots.plot_choices(operations, axes[:2]) is not None
    assert len(axes[1].images) == 1
    assert plots.plot_graph(operations, axes[2], axis="kind") is axes[2]
    assert plots.plot_dependence(operations, axes[3]) is axes[3]
    with pytest.raises(ValueError, match=r"Expected 2 axes to draw on, one for each of \['q', 'exact'\], got 1"):
        plots.plot_choices(operations, axes[:1])


def test_certain_edges_are_drawn_where_rounding_makes_them_more_than_certain(gates):
    tree = gates.copy()
    group = tree["architecture"].to_dataset()
    certain = np.log(np.array([[1e-30, 1 + 1e-12]] * 6))
    tree["architecture"] = xr.DataTree(group.assign(log_q_gate=(("edge", "gate"), certain)))
    assert [arc.get_alpha() for arc in drawn_edges(plots.plot_graph(tree))] == [1.0] * 6


def test_wrong_trees_are_refused(operations, trained):
    model, guide, x, y, _ = trained
    depth = vds.to_datatree(model, guide, x, y, draws=5)
    for draw in ALL:
        with pytest.raises(ValueError, match=r"Expected a tree of a model with sites.*got the axes \['depth'\]"):
            draw(depth)
        with pytest.raises(ValueError, match=r"Expected a tree with an axis 'gate' with sites, got .*\['kind'\]"):
            draw(operations, axis="gate")
    with pytest.raises(ValueError, match="Expected of='q' or of='exact', got 'prior'"):
        plots.plot_graph(operations, of="prior")
    unnamed = vds.TabularModel(torch.zeros(2, 2))
    tree = vds.to_datatree(unnamed, vds.AutoCategorical(unnamed), *unnamed.data, draws=5)
    with pytest.raises(ValueError, match=r"Expected sites that are the edges of a graph.*got \['0', '1'\]"):
        plots.plot_graph(tree)
