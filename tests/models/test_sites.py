"""What a model with axes with sites takes and refuses, beside its numbers in the tests of inference."""

import copy

import numpy as np
import pytest
import sites
import torch
from torch import nn

import pyro_vds as vds


def big():
    """A model of too many architectures to list."""
    torch.manual_seed(0)
    network = vds.connectivity((5,), 4, layers=8, channels=3).double()
    model = vds.VDSModel(network, priors=vds.priors.Price(1.0), num_data=30)
    return model, vds.AutoCategorical(model)


def test_memory_is_estimated():
    model, _ = sites.dense_model(num_data=30)
    exact = vds.estimate_memory(model, sites.data(), batch_size=30)
    alone = vds.VDSModel(vds.ResidualMLP(5, 4, 6, 2).double(), num_data=30)
    assert exact.activations > vds.estimate_memory(alone, sites.data(), batch_size=30).activations
    many, _ = big()
    drawn = vds.estimate_memory(many, sites.data(), batch_size=30, config=vds.TrainingConfig(samples=2))
    more = vds.estimate_memory(many, sites.data(), batch_size=30, config=vds.TrainingConfig(samples=8))
    assert 2 * drawn.activations < more.activations < 5 * drawn.activations


def test_a_pruned_graph_does_not_depend_on_what_was_run_before():
    torch.manual_seed(0)
    graph = vds.connectivity((1, 8, 8), 3, layers=2, channels=4, pool=(1,))
    x = torch.randn(2, 1, 8, 8)
    before = graph.restrict(gate=(True,) * 6)(x)
    graph(torch.randn(1, 1, 16, 16))
    small = graph.restrict(gate=(1,) * 6)
    assert torch.equal(small(x), before)
    with pytest.raises(ValueError, match=r"Expected maps \(4, 8, 8\) behind the stem"):
        small(torch.randn(1, 1, 16, 16))


def test_a_maximum_with_closed_edges_counts_their_zeros():
    torch.manual_seed(0)
    options = {edge: {False: None, True: nn.Identity()} for edge in [(0, 1), (0, 2), (1, 2), (2, 3)]}
    layers = [nn.Linear(3, 3), nn.Linear(3, 3)]  # negative values too
    graph = vds.SearchGraph(
        nn.Identity(), layers, nn.Identity(), options, axis="gate", merge="max", example=torch.zeros(1, 3)
    )
    x = torch.randn(5, 3)
    for row, gates in zip(graph(x), graph.space.architectures(), strict=True):
        torch.testing.assert_close(graph.restrict(**gates)(x), row)


def test_building_a_graph_leaves_modules_and_generators_alone():
    torch.manual_seed(3)
    state = torch.get_rng_state()
    dropped = nn.Sequential(nn.Dropout(0.5), nn.Identity())
    vds.SearchGraph(
        dropped, [nn.Identity()], nn.Identity(), {(0, 1): {"on": nn.Identity()}, (1, 2): {"on": nn.Identity()}},
        axis="op", example=torch.ones(1, 2),
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    assert dropped.training


def test_drawn_models_keep_the_modes_of_their_parts():
    model, guide = sites.dense_model()
    model.backbone.layers[0].eval()
    vds.estimate_evidence(model, guide, sites.data(), samples=4)
    vds.predict_proba(*vds.drawn(model, guide, samples=3), sites.data()[0])
    assert not model.backbone.layers[0].training
    assert model.backbone.layers[1].training
    copy.deepcopy(model)


def test_sites_have_a_uniform_prior_unless_one_is_given():
    model = vds.VDSModel(vds.connectivity((5,), 4, layers=1, channels=2), num_data=3)
    torch.testing.assert_close(model.log_prior().exp(), torch.full((8,), 1 / 8))


def test_a_batch_of_one_point_trains_a_graph_of_too_many_architectures():
    model, guide = big()
    vds.fit(model, guide, sites.data(), max_epochs=1, batch_size=1, samples=2, progress=False)


def test_few_draws_have_no_shape():
    model, guide = sites.dense_model()
    found = vds.estimate_evidence(model, guide, sites.data(), samples=2)
    assert np.isnan(found.khat)
    assert "Pareto k unknown" in str(found)


def test_averages_begin_when_the_guide_moves():
    assert vds.TrainingConfig(averaging="swa", guide_from=5).averaged_from == 5
    assert vds.TrainingConfig(averaging="swa", averaging_start=7, guide_from=5).averaged_from == 7


def normalised():
    options = {(0, 1): {"on": nn.Identity()}, (1, 2): {"on": nn.Identity()}}
    return vds.SearchGraph(
        nn.BatchNorm1d(2), [nn.Identity()], nn.Identity(), options, axis="op", example=torch.zeros(1, 2)
    )


def hierarchical():
    prior = vds.priors.Hierarchical(vds.priors.Geometric(0.5), "decay", vds.priors.Beta(2.0, 2.0))
    return vds.VDSModel(vds.connectivity((5,), 4, layers=1, channels=2), priors=prior, num_data=3)


def of_replicates():
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 2, 4, 2), 2), num_data=5)
    return vds.AutoCategorical(model)


def gated():
    return vds.WithGates(vds.ResidualMLP(2, 2, 4, 2))


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (hierarchical, ValueError, "Expected a prior without uncertain parameters for axis 'gate' with sites"),
        (lambda: of_replicates().mode(), ValueError, "Expected the guide of one model, got one of 2 replicates"),
        (lambda: of_replicates().sample(3), ValueError, "Expected the guide of one model"),
        (normalised, ValueError, "Expected a graph without batch norm, whose statistics would mix architectures"),
        (lambda: gated()(torch.randn(4, 2)), ValueError, "Expected batch norms in eval mode"),
        (lambda: vds.Plate("architecture", 3), ValueError, "Expected a name of a plate other than the plates"),
        (lambda: vds.Plate("draw", 3), ValueError, "Take another name, such as 'draw_'"),
        (
            lambda: vds.Space([vds.Axis("a", (0, 1), vds.Plate("a", 2), read_out=False)]),
            ValueError,
            "Expected axes of different names, and plates of others",
        ),
        (lambda: vds.BoundGap(*big(), sites.data()), ValueError, "got 3.5e13. Use pyro_vds.estimate_evidence"),
        (lambda: vds.to_datatree(*big(), *sites.data(), posterior="none"), ValueError, "Expected no posterior for a"),
        (lambda: vds.TrainingConfig(samples=2.5), TypeError, "Expected samples as an int, got 2.5"),
        (lambda: vds.TrainingConfig(guide_from=1.5), TypeError, "Expected guide_from as an int, got 1.5"),
        (lambda: vds.TabularModel(np.zeros((2, 2))), TypeError, "Expected a table as a tensor, got ndarray"),
        (lambda: vds.connectivity((1, 4, 4), 2, layers=2, pool=(9,)), ValueError, "some of the layers 1..2, got .9,"),
    ],
)
def test_wrong_uses_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
