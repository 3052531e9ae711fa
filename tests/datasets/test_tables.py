"""Regression data sets: sizes, splits, units, and what is said of bad files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_vds import datasets
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.datasets.toy import GAP_1D_INTERVALS

SIZES = {"boston": (506, 13), "concrete": (1030, 8), "energy": (768, 8), "kin8nm": (8192, 8), "naval": (11934, 16),
         "power": (9568, 4), "protein": (45730, 9), "wine": (1599, 11), "yacht": (308, 6)}  # fmt: skip


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def in_units(data: DataSet, part: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    assert data.target_mean is not None
    return part[0] * data.std + data.mean, part[1] * data.target_std + data.target_mean


def assert_standardised(data: DataSet) -> None:
    for part in data.train:
        torch.testing.assert_close(part.mean(0), torch.zeros_like(part[0]), atol=1e-4, rtol=0)
        torch.testing.assert_close(part.std(0), torch.ones_like(part[0]), atol=1e-4, rtol=0)
    assert data.classes is None


def write_uci(root: Path, **changes) -> Path:
    """A set of 10 points; split ``k`` tests on point ``k``."""
    arrays = {"x": np.arange(20.0).reshape(10, 2) ** 2, "y": np.arange(10.0), "test_mask": np.eye(2, 10, dtype=bool)}
    (root / "uci").mkdir()
    kept = {name: value for name, value in (arrays | changes).items() if value is not None}
    np.savez(root / "uci" / "boston.npz", **kept)
    return root


def test_diabetes_is_all_there_in_its_units():
    data = datasets.diabetes(validation_fraction=0.25, generator=seeded())
    assert data.validation is not None
    assert [len(x) for x, _ in (data.train, data.validation, data.test)] == [266, 88, 88]
    assert_standardised(data)
    y = torch.cat([in_units(data, part)[1] for part in (data.train, data.validation, data.test)])
    assert (round(float(y.min())), round(float(y.max()))) == (25, 346)
    assert float(y.double().mean()) == pytest.approx(152.1335, abs=1e-3)


def test_diabetes_follows_the_generator():
    one, again, other = (datasets.diabetes(generator=seeded(s)).test[1] for s in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("split", [0, 1])
def test_uci_takes_the_test_part_of_the_split(tmp_path, split):
    data = datasets.uci(write_uci(tmp_path), "boston", split, generator=seeded())
    x, y = in_units(data, data.test)
    torch.testing.assert_close(y, torch.tensor([float(split)]))
    torch.testing.assert_close(x, torch.tensor([[2.0 * split, 2.0 * split + 1]]) ** 2)
    assert sorted(in_units(data, data.train)[1].round().int().tolist()) == sorted(set(range(10)) - {split})


def test_uci_validation_part_comes_from_the_training_part(tmp_path):
    data = datasets.uci(write_uci(tmp_path), "boston", 1, validation_fraction=1 / 3, generator=seeded())
    assert data.validation is not None
    parts = [in_units(data, part)[1].round().int().tolist() for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [6, 3, 1]
    assert sorted(y for part in parts for y in part) == list(range(10))


@pytest.mark.parametrize("name", SIZES)
def test_real_uci_sets_are_complete_and_their_splits_distinct(shared_data, name):
    points, features = SIZES[name]
    parts = [datasets.uci(shared_data, name, split, generator=seeded()) for split in (0, 4)]
    for data in parts:
        assert len(data.train[0]) + len(data.test[0]) == points
        assert data.train[0].shape[1] == features
        assert len(data.test[0]) == pytest.approx(points / 10, abs=1)
    assert not torch.equal(in_units(parts[0], parts[0].test)[1], in_units(parts[1], parts[1].test)[1])


def test_real_boston_is_in_its_units(shared_data):
    data = datasets.uci(shared_data, "boston", generator=seeded())
    assert_standardised(data)
    y = torch.cat([in_units(data, part)[1] for part in (data.train, data.test)])
    assert float(y.double().mean()) == pytest.approx(22.5328, abs=1e-3)  # thousands of dollars


def test_a_missing_uci_set_is_named_with_those_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected the UCI set boston at .*boston.npz, found no set"):
        datasets.uci(tmp_path, "boston", generator=seeded())
    with pytest.raises(
        FileNotFoundError, match=r"set wine at .*wine.npz, found boston in that folder. Give the folder"
    ):
        datasets.uci(write_uci(tmp_path), "wine", generator=seeded())


@pytest.mark.parametrize("split", [-1, 2])
def test_a_split_out_of_range_is_refused(tmp_path, split):
    with pytest.raises(ValueError, match=rf"Expected a split in 0\.\.1 of boston, got {split}"):
        datasets.uci(write_uci(tmp_path), "boston", split, generator=seeded())


@pytest.mark.parametrize("wrong", [{"test_mask": None}, {"y": None}, {"y": np.array(["a"] * 10)}])
def test_uci_files_without_the_arrays_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match="Expected the arrays x, y and test_mask in .*boston.npz, but cannot read"):
        datasets.uci(write_uci(tmp_path, **wrong), "boston", generator=seeded())


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 cut off"])
def test_a_damaged_uci_file_is_named(tmp_path, content):
    (write_uci(tmp_path) / "uci" / "boston.npz").write_bytes(content)
    with pytest.raises(ValueError, match="Expected the arrays x, y and test_mask in .*boston.npz, but cannot read"):
        datasets.uci(tmp_path, "boston", generator=seeded())


@pytest.mark.parametrize("wrong", [{"y": np.zeros(9)}, {"test_mask": np.eye(10)}, {"x": np.zeros(10)}])
def test_uci_arrays_that_do_not_fit_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"Expected x \(n, features\), y \(n,\) and boolean test_mask"):
        datasets.uci(write_uci(tmp_path, **wrong), "boston", generator=seeded())


def test_the_toy_has_its_gaps_and_its_noise():
    data = datasets.gap_1d(num_points=3000, noise=0.3, generator=seeded())
    for part in (data.train, data.test):
        x, y = in_units(data, part)
        inside = torch.stack([(x >= low - 1e-4) & (x <= high + 1e-4) for low, high in GAP_1D_INTERVALS])
        assert inside.any(0).all()
        assert inside.sum((1, 2)).tolist() == [1000, 1000, 1000]
        assert float((y - datasets.gap_1d_mean(x)).std()) == pytest.approx(0.3, rel=0.05)
    assert_standardised(data)


def test_the_toy_follows_the_generator():
    one, again, other = (datasets.gap_1d(generator=seeded(s)).train[0] for s in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("wrong", [{"num_points": 1}, {"noise": -0.1}])
def test_the_toy_refuses_numbers_out_of_range(wrong):
    with pytest.raises(ValueError, match="Expected num_points >= 2 and noise >= 0"):
        datasets.gap_1d(**wrong, generator=seeded())
