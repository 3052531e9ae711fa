"""Weights of the architectures that a guide keeps by name."""

import copy
import math

import oracles
import pytest
import torch
from torch import nn

import pyro_vds as vds

SOME = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)


def test_weights_by_name():
    _, guide, *_ = oracles.problem(2)
    torch.testing.assert_close(guide.log_weights(), guide.joint_log_probs())
    torch.testing.assert_close(guide.log_weights("uniform"), torch.full((3,), -math.log(3)))
    assert guide.available_weights == ("posterior", "uniform")
    guide.keep_weights("stacked", SOME.log())
    guide.keep_weights("exact", torch.tensor([0.0, -math.inf, -math.inf]))
    torch.testing.assert_close(guide.log_weights("stacked").exp(), SOME)
    assert guide.log_weights("exact").exp().tolist() == [1, 0, 0]
    assert guide.available_weights == ("posterior", "uniform", "stacked", "exact")
    guide.forget_weights()
    assert guide.available_weights == ("posterior", "uniform")


@pytest.mark.parametrize(("name", "remedy"), [("stacked", "Fit with validation data"), ("exact", "exact_posterior")])
def test_weights_that_are_not_there_say_how_to_get_them(name, remedy):
    model, guide, x, _ = oracles.problem(2)
    message = f"Expected a guide with {name} weights, got one that has none yet.*{remedy}"
    with pytest.raises(ValueError, match=message):
        guide.log_weights(name)
    with pytest.raises(ValueError, match=message):
        vds.predict_proba(model, guide, x, weights=name)


def test_unknown_names_and_weights_that_do_not_fit_are_refused(as_a_user):
    _, guide, *_ = oracles.problem(2)
    with pytest.raises(ValueError, match="Expected weights of 'posterior', 'uniform', 'stacked', 'exact'; got 'flat'"):
        guide.log_weights("flat")
    for name in ("posterior", "uniform", "flat"):
        with pytest.raises(ValueError, match="Expected weights of 'stacked', 'exact' to keep"):
            guide.keep_weights(name, SOME.log())
    with pytest.raises(ValueError, match=r"Expected log weights of shape \(3,\), for the axes \['depth'\]; got \(2,\)"):
        guide.keep_weights("stacked", torch.zeros(2))
    for bad in (SOME, SOME.log() + 0.01, torch.full((3,), math.nan)):
        with pytest.raises(ValueError, match="whose exponentials sum to one"):
            guide.keep_weights("stacked", bad)
    assert guide.available_weights == ("posterior", "uniform")


def test_models_without_one_table_keep_none():
    plain = vds.AutoCategorical(vds.VDSModel(vds.ResidualMLP(2, 2, 4, 1, readout="last"), num_data=3))
    assert float(plain.log_weights("uniform")) == 0
    assert not [name for name, _ in plain.named_buffers() if "stacked" in name]
    model = vds.VDSModel(vds.ResidualMLP(2, 3, width=4, max_depth=2), num_data=12, plate=vds.DATA)
    by_input = vds.AutoPerInput(model, nn.Linear(2, 3))
    with pytest.raises(ValueError, match="'posterior' or 'uniform' for an architecture of its own for each input"):
        by_input.keep_weights("stacked", SOME.log())


def test_kept_weights_are_in_the_state_and_earlier_states_load():
    model, guide, *_ = oracles.problem(2)
    earlier = guide.state_dict()
    assert list(earlier) == ["logits.depth"]  # what is not set is in no state
    guide.keep_weights("stacked", SOME.log())
    assert list(guide.state_dict()) == ["logits.depth", "kept.stacked"]
    other = vds.AutoCategorical(model)
    other.load_state_dict(guide.state_dict())
    torch.testing.assert_close(other.log_weights("stacked").exp(), SOME)
    assert other.available_weights == ("posterior", "uniform", "stacked")
    unset = guide.state_dict() | {"kept.exact": torch.full((3,), math.nan)}  # as a version in between stored them
    other.load_state_dict(unset)
    assert other.available_weights == ("posterior", "uniform", "stacked")
    with pytest.raises(RuntimeError, match="size mismatch for kept.stacked"):
        other.load_state_dict(guide.state_dict() | {"kept.stacked": torch.zeros(4)})
    other.load_state_dict(earlier)
    assert other.available_weights == ("posterior", "uniform")
    assert [name for name, _ in guide.named_parameters()] == ["logits.depth"]


def test_what_is_kept_later_leaves_what_was_read_before_alone():
    model, guide, x, _ = oracles.problem(2)
    guide.keep_weights("stacked", SOME.log())
    before, mixture = guide.log_weights("stacked"), vds.predict(model, guide, x, weights="stacked")
    uniform = guide.log_weights("uniform")
    uniform.zero_()
    expected = vds.predict_proba(model, guide, x, weights="stacked")
    guide.forget_weights()
    torch.testing.assert_close(before.exp(), SOME)
    torch.testing.assert_close(mixture.probs, expected)
    torch.testing.assert_close(guide.log_weights("uniform"), torch.full((3,), -math.log(3)))


def test_sums_within_the_tolerance_become_one():
    _, guide, *_ = oracles.problem(2)
    guide.keep_weights("stacked", SOME.log() + 5e-5)
    assert float(guide.log_weights("stacked").exp().sum()) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(guide.log_weights("stacked").exp(), SOME)


def test_they_move_with_the_guide():
    model, guide, x, _ = oracles.problem(2)
    guide.keep_weights("stacked", torch.tensor([0.5, 0.5, 0.0]).log())
    expected = vds.predict_proba(model, guide, x, weights="stacked")
    single, its_guide = copy.deepcopy(model).float(), copy.deepcopy(guide).float()
    assert its_guide.available_weights == ("posterior", "uniform", "stacked")
    found = vds.predict_proba(single, its_guide, x.float(), weights="stacked")
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)
    uniform = vds.predict_proba(single, its_guide, x.float(), weights="uniform")
    torch.testing.assert_close(uniform.sum(-1), torch.ones(12))


def test_each_replicate_carries_its_weights():
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 3, 4, 2), 2), num_data=5)
    guide = vds.AutoCategorical(model)
    kept = torch.stack([SOME, SOME.flip(0)])
    guide.keep_weights("stacked", kept.log())
    for expected, (_, single) in zip(kept, vds.replicates(model, guide), strict=True):
        torch.testing.assert_close(single.log_weights("stacked").exp(), expected)
        assert "exact" not in single.available_weights
