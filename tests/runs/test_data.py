"""Data of settings: drawn by the seed, sized by the settings, looked for where they should be."""

import pytest
import torch

from pyro_vds.runs.data import load_data
from pyro_vds.runs.settings import Settings


def test_data_follow_the_seed_and_the_settings():
    first, again, other = (load_data(Settings(num_points=100, train_fraction=0.3, seed=s)) for s in (1, 1, 2))
    assert len(first.train[0]) == 30
    assert torch.equal(first.train[0], again.train[0])
    assert not torch.equal(first.train[0], other.train[0])


def test_rotation_and_noise_reach_the_spirals():
    data = load_data(Settings(num_points=100, rotation=90.0, noise=0.0))
    points = torch.cat([data.train[0], data.test[0]]) * data.std + data.mean
    assert 1.4 < points.norm(dim=1).max() < 1.5708


def test_train_size_and_validation_reach_the_digits():
    data = load_data(Settings(data="digits", train_size=100))
    assert data.validation is not None
    assert (len(data.train[0]), len(data.validation[0])) == (90, 10)


def test_npz_needs_a_path():
    with pytest.raises(ValueError, match="Expected --data-path FILE.npz for the data set npz, got none"):
        load_data(Settings(data="npz"))


def test_image_sets_are_looked_for_in_the_data_root(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("the test has no network")

    monkeypatch.setattr("socket.create_connection", refuse)
    with pytest.raises(FileNotFoundError, match=f"Expected the files {tmp_path}/MNIST/raw/train-images-idx3-ubyte.gz"):
        load_data(Settings(data="mnist", data_root=str(tmp_path)))
