"""The architecture that a guide over sites chooses."""

import pytest
import sites
import torch

import pyro_vds as vds


def test_without_a_threshold_it_is_the_mode():
    model, guide = sites.dense_model()
    assert vds.choose_architecture(guide) == guide.mode() == vds.choose_architecture(guide, 0.5)
    x, _ = sites.data()
    pruned = vds.prune(model, guide, **vds.choose_architecture(guide))
    opened = torch.tensor([model.space["gate"].choices(guide.mode()["gate"])])
    torch.testing.assert_close(pruned(x), model.backbone.at(x, {"gate": opened})[0].log_softmax(-1))


def test_a_threshold_opens_the_gates_above_it():
    _, guide = sites.dense_model()
    opened = [0.1, 0.2, 0.4, 0.6, 0.8, 0.95]
    guide.set_probs({"gate": torch.tensor([[1 - p, p] for p in opened])})
    assert vds.choose_architecture(guide, 0.3) == {"gate": (False, False, True, True, True, True)}
    assert vds.choose_architecture(guide, 0.9) == {"gate": (False, False, False, False, False, True)}


def test_a_single_nested_axis_has_its_mode():
    model = vds.VDSModel(vds.ResidualMLP(2, 2, 4, 3), num_data=10)
    guide = vds.AutoCategorical(model)
    guide.set_probs({"depth": torch.tensor([0.1, 0.2, 0.6, 0.1])})
    assert vds.choose_architecture(guide) == {"depth": 2}


@pytest.mark.parametrize("threshold", [-0.1, 1.0])
def test_a_threshold_out_of_range_is_refused(threshold):
    _, guide = sites.dense_model()
    with pytest.raises(ValueError, match=r"Expected a threshold in \[0, 1\) and axes with sites of two labels"):
        vds.choose_architecture(guide, threshold)


def test_what_has_no_gates_has_no_threshold():
    cell = vds.AutoCategorical(
        vds.VDSModel(vds.cell((1, 4, 4), 2, channels=2), priors=vds.priors.Uniform(), num_data=9)
    )
    depth = vds.AutoCategorical(vds.VDSModel(vds.ResidualMLP(2, 2, 4, 3), num_data=10))
    for guide in (cell, depth):
        with pytest.raises(ValueError, match="Leave the threshold out for the most probable architecture"):
            vds.choose_architecture(guide, 0.5)


def test_replicates_choose_one_by_one():
    network = vds.Replicated(vds.ResidualMLP(2, 2, 4, 3), 2)
    guide = vds.AutoCategorical(vds.VDSModel(network, num_data=10))
    with pytest.raises(ValueError, match="Expected the guide of a single model"):
        vds.choose_architecture(guide)
