"""A DataLoader is counted by its sampler, and may hold the validation data."""

import oracles
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import pyro_vds as vds
from pyro_vds.ops.loaders import count_points, smallest_batch

QUIET = {"progress": False}
DATA = TensorDataset(torch.randn(20, 2), torch.zeros(20, dtype=torch.long))


class Stream(IterableDataset):
    def __iter__(self):
        return iter(DATA)


class Batches:
    """A sampler of batches of one's own."""

    def __iter__(self):
        return iter([[0, 1, 2], [3, 4]])


class Endless(RandomSampler):
    def __len__(self):
        raise TypeError("no length")


@pytest.mark.parametrize(
    ("loader", "points", "smallest"),
    [
        (DataLoader(DATA, 6), 20, 2),
        (DataLoader(DATA, 5), 20, 5),
        (DataLoader(DATA, 6, drop_last=True), 20, 6),
        (DataLoader(DATA, 6, sampler=SubsetRandomSampler(range(13))), 13, 1),
        (DataLoader(DATA, 6, sampler=SubsetRandomSampler(range(13)), drop_last=True), 13, 6),
        (DataLoader(DATA, 6, sampler=WeightedRandomSampler([1.0] * 20, 8)), 8, 2),
        (DataLoader(DATA, batch_sampler=BatchSampler(SequentialSampler(range(9)), 4, False)), 9, 1),
        (DataLoader(DATA, batch_sampler=BatchSampler(SequentialSampler(range(9)), 4, True)), 9, 4),
        (DataLoader(DATA, batch_sampler=Batches()), None, 3),
        (DataLoader(DATA, 6, sampler=Endless(DATA)), None, 6),
        (DataLoader(DATA, batch_size=None), None, 1),
        (DataLoader(Stream(), 6), None, 6),
    ],
)
def test_points_are_those_of_the_sampler(loader, points, smallest):
    assert count_points(loader) == points
    first = next(iter(loader))[1]
    assert smallest_batch(loader, first.numel()) == smallest


def test_a_subset_sampler_trains_with_its_own_number_of_points():
    _, _, x, y = oracles.problem(2, 12)
    subset = DataLoader(TensorDataset(x, y), 8, sampler=SubsetRandomSampler(range(8)))
    model, guide, *_ = oracles.problem(2, 8)
    first = vds.fit(model, guide, subset, max_epochs=3, **QUIET).elbo
    model, guide, *_ = oracles.problem(2, 8)
    torch.testing.assert_close(vds.fit(model, guide, (x[:8], y[:8]), max_epochs=3, **QUIET).elbo, first)
    model, guide, *_ = oracles.problem(2, 12)
    with pytest.raises(ValueError, match="Expected 12 training points, the model's num_data, got 8"):
        vds.fit(model, guide, subset, **QUIET)


def test_a_sampler_that_leaves_one_point_for_the_last_batch_is_refused():
    model, guide, x, y = oracles.problem(2, 9)
    data = TensorDataset(torch.cat([x, x]), torch.cat([y, y]))
    with pytest.raises(ValueError, match="Expected at least 2 points in each batch"):
        vds.fit(model, guide, DataLoader(data, 4, sampler=SubsetRandomSampler(range(9))), **QUIET)
    dropped = DataLoader(data, batch_sampler=BatchSampler(RandomSampler(range(9)), 4, True))
    assert len(vds.fit(model, guide, dropped, max_epochs=2, **QUIET)) == 2


def test_validation_data_may_come_from_a_loader():
    found = []
    held_out = (torch.randn(9, 2), torch.randint(0, 3, (9,)))
    for validation in (held_out, DataLoader(TensorDataset(*held_out), 4)):
        model, guide, x, y = oracles.problem(2)
        before = torch.random.get_rng_state()
        history = vds.fit(model, guide, (x, y), validation=validation, max_epochs=5, **QUIET)
        assert torch.equal(torch.random.get_rng_state(), before)
        found.append((dict(history.validation), history.best_epoch))
    torch.testing.assert_close(*found)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    ("loader", "kind", "message"),
    [
        (DataLoader(DATA, 6, drop_last=True), ValueError, r"drops the last batch \(2 of 20 points\)"),
        (DataLoader(TensorDataset(DATA.tensors[0]), 6), TypeError, "Expected validation data as a pair"),
        (DataLoader(DATA, batch_sampler=[]), ValueError, "at least one batch as validation data, got none"),
    ],
)
def test_a_loader_without_all_validation_data_is_refused(loader, kind, message):
    model, guide, x, y = oracles.problem(2)
    with pytest.raises(kind, match=message):
        vds.fit(model, guide, (x, y), validation=loader, **QUIET)
