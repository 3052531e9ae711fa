"""A DataLoader goes wherever data go in, and gives the numbers of tensors; one that leaves points out is refused."""

import oracles
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)  # fmt: skip

import pyro_vds as vds
from pyro_vds.ops.loaders import count_points, require_every_point


def loaders(x, y):
    return DataLoader(TensorDataset(x, y), 5), DataLoader(TensorDataset(x), 5)


def test_predictions_equal_those_of_tensors():
    model, guide, x, y = oracles.problem(2)
    pairs, inputs = loaders(x, y)
    expected = vds.predict_proba(model, guide, x, depth=1)
    torch.testing.assert_close(vds.predict_proba(model, guide, pairs, depth=1), expected)
    torch.testing.assert_close(vds.predict_proba(model, guide, inputs, depth=1), expected)
    torch.testing.assert_close(vds.log_predictive(model, guide, pairs), vds.log_predictive(model, guide, x, y))
    torch.testing.assert_close(
        vds.predict_entropy(model, guide, pairs).total, vds.predict_entropy(model, guide, x).total
    )
    scores = vds.predict_disagreement(model, guide, x)
    torch.testing.assert_close(vds.predict_disagreement(model, guide, inputs), scores)


def test_exact_posterior_and_tree_equal_those_of_tensors():
    model, guide, x, y = oracles.problem(2)
    pairs, _ = loaders(x, y)
    exact = vds.exact_posterior(model, pairs)
    assert exact.log_evidence == pytest.approx(vds.exact_posterior(model, (x, y)).log_evidence)
    tree, expected = (vds.to_datatree(model, guide, *data, draws=20) for data in ((pairs,), (x, y)))
    assert tree["posterior"].to_dataset().equals(expected["posterior"].to_dataset())
    assert tree["constant_data"]["x"].equals(expected["constant_data"]["x"])


def test_points_that_are_left_out_are_refused():
    model, guide, x, y = oracles.problem(2)
    with pytest.raises(ValueError, match=r"drops the last batch \(2 of 12 points\)"):
        vds.exact_posterior(model, DataLoader(TensorDataset(x, y), 5, drop_last=True))
    twice = DataLoader(TensorDataset(x, y), sampler=RandomSampler(x, replacement=True))
    with pytest.raises(ValueError, match="Expected a DataLoader that yields each point once"):
        vds.exact_posterior(model, twice)
    weighted = DataLoader(TensorDataset(x, y), sampler=WeightedRandomSampler([1.0] * len(x), len(x)))
    with pytest.raises(ValueError, match="draws with replacement"):
        vds.exact_posterior(model, weighted)
    for some in (
        RandomSampler(x, num_samples=5),
        RandomSampler(x, num_samples=17),
        WeightedRandomSampler([1.0] * len(x), 5, replacement=False),
    ):
        with pytest.raises(ValueError, match=f"draws {len(some)} of 12 points at random"):
            vds.predict(model, guide, DataLoader(TensorDataset(x, y), sampler=some), want=["log_prob"])
    every = WeightedRandomSampler([1.0] * len(x), len(x), replacement=False)
    even = DataLoader(TensorDataset(x, y), 4, drop_last=True)  # leaves nothing out
    expected = vds.exact_posterior(model, (x, y)).log_evidence
    for all_points in (even, DataLoader(TensorDataset(x, y), sampler=every)):
        assert vds.exact_posterior(model, all_points).log_evidence == pytest.approx(expected)


@pytest.mark.usefixtures("as_a_user")
def test_what_a_loader_must_yield_is_said():
    model, guide, x, y = oracles.problem(2)
    _, inputs = loaders(x, y)
    with pytest.raises(TypeError, match="Expected the batches of a DataLoader as a pair"):
        vds.log_predictive(model, guide, inputs)
    with pytest.raises(TypeError, match="Expected targets for the inputs, got none"):
        vds.log_predictive(model, guide, x)
    with pytest.raises(TypeError, match="Expected only a DataLoader, which yields its own targets"):
        vds.log_predictive(model, guide, inputs, y)
    with pytest.raises(ValueError, match="Expected a DataLoader with at least one batch"):
        vds.exact_posterior(model, DataLoader(TensorDataset(x[:0], y[:0])))


def test_memory_is_estimated_from_the_first_batch():
    model, _, x, y = oracles.problem(2)
    expected = vds.estimate_memory(model, (x, y), batch_size=5)
    found = vds.estimate_memory(model, loaders(x, y)[0], batch_size=5)
    assert (found.state, found.activations, found.readouts) == (
        expected.state, expected.activations, expected.readouts
    )  # fmt: skip
    assert found.data == 0


class Endless(IterableDataset):
    def __iter__(self):
        return iter([])


def test_loaders_are_counted_by_their_sampler():
    data = TensorDataset(torch.zeros(12, 1))
    assert count_points(DataLoader(data, 5)) == 12
    assert count_points(DataLoader(data, 5, drop_last=True)) == 12  # another pass has the others
    assert count_points(DataLoader(data, 5, sampler=SubsetRandomSampler(range(7)))) == 7
    assert count_points(DataLoader(data, batch_sampler=BatchSampler(RandomSampler(range(9)), 4, True))) == 9
    assert count_points(DataLoader(data, batch_size=None)) is None  # the data set makes batches of its own
    assert count_points(DataLoader(Endless(), 5)) is None
    assert count_points(DataLoader(data, batch_sampler=[[0, 1], [2]])) is None
    with pytest.raises(ValueError, match=r"drops the last batch \(of unknown size\)"):
        require_every_point(DataLoader(Endless(), 5, drop_last=True))
