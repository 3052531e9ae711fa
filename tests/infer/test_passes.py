"""A pass over data: what it refuses, and what it leaves as it was."""

import oracles
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

import pyro_vds as vds
from pyro_vds.infer.passes import read_out


class Records(Dataset):
    """Points as a function makes them."""

    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return self.make(index)


@pytest.mark.parametrize("batch_size", [0, -3, 2.5, None])
def test_batch_sizes_are_positive(batch_size, as_a_user):
    model, guide, x, y = oracles.problem(1)
    with pytest.raises(ValueError, match="Expected a positive whole number as batch_size"):
        vds.predict_proba(model, guide, x, batch_size=batch_size)
    with pytest.raises(ValueError, match="Expected a positive whole number as batch_size"):
        vds.exact_posterior(model, (x, y), batch_size=batch_size)


def test_batches_of_other_parts_are_refused():
    model, guide, x, y = oracles.problem(1)
    with pytest.raises(TypeError, match="third part of the batches .* as floating-point weights .* Several inputs go"):
        vds.predict_proba(model, guide, DataLoader(Records(lambda i: (x[i], y[i], i)), 4))
    records = DataLoader(Records(lambda i: {"x": x[i], "y": y[i]}), 4)
    with pytest.raises(TypeError, match=r"a pair .*, got a dict with the keys \['x', 'y'\]"):
        vds.exact_posterior(model, records)
    with pytest.raises(ValueError, match="Expected inputs that the backbone accepts, got points of"):
        vds.predict_proba(model, guide, records)
    inputs = DataLoader(Records(lambda i: x[i]), 4)
    torch.testing.assert_close(vds.predict_proba(model, guide, inputs), vds.predict_proba(model, guide, x))


def test_the_global_generator_stays_as_it_was():
    model, guide, x, y = oracles.problem(1)
    shuffled = DataLoader(TensorDataset(x, y), 5, shuffle=True)
    before = torch.get_rng_state()
    vds.exact_posterior(model, shuffled)
    vds.log_predictive(model, guide, shuffled)
    vds.to_datatree(model, guide, shuffled, draws=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_modes_are_kept_between_batches_and_after_errors():
    model, _, x, y = oracles.problem(1)
    model.train()
    model.backbone.blocks[0].eval()
    modes = [child.training for child in model.modules()]
    batches = read_out(model, x, y, batch_size=5)
    next(batches)
    assert [child.training for child in model.modules()] == modes
    assert not torch.is_inference_mode_enabled()
    with pytest.raises(ZeroDivisionError):
        batches.throw(ZeroDivisionError())
    assert [child.training for child in model.modules()] == modes
