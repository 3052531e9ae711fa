"""Data sets: reproducible draws, honest splits, normalisation by the training part, readable errors."""

import gzip
import hashlib
import io
import math
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import pyro_vds as vds
from pyro_vds import datasets
from pyro_vds.datasets.dataset import DataSet, split_and_normalise
from pyro_vds.runs import build
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.settings import Settings


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(size: int) -> tuple[Tensor, Tensor]:
    """Points whose target is their own number, so that a split can be followed."""
    return torch.randn(size, 3, generator=seeded(9)) * torch.tensor([1.0, 5.0, 0.1]) + 7, torch.arange(size)


def split(size: int = 40, **options) -> DataSet:
    options = {"classes": size, "generator": seeded()} | options
    return split_and_normalise(numbered(size), numbered(10), **options)


# Spirals


def test_spirals_are_the_papers_200_and_1800_points():
    data = datasets.spirals(generator=seeded())
    assert data.train[0].shape == (200, 2)
    assert data.test[0].shape == (1800, 2)
    assert data.validation is None
    assert data.classes == 2
    assert torch.cat([data.train[1], data.test[1]]).bincount().tolist() == [1000, 1000]


def test_spirals_training_part_has_mean_0_and_std_1():
    x = datasets.spirals(generator=seeded()).train[0]
    torch.testing.assert_close(x.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(x.std(0), torch.ones(2))


def test_spirals_of_one_seed_are_equal_and_of_two_seeds_are_not():
    first, again, other = (datasets.spirals(generator=seeded(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first.train + first.test, again.train + again.test, strict=True))
    assert not torch.equal(first.train[0], other.train[0])


def test_spirals_without_noise_are_two_arms_half_a_turn_apart():
    x, y = datasets.spiral_points(500, rotation=720, noise=0, generator=seeded())
    t = x.norm(dim=1)
    curve = torch.stack([t * t.cos(), t * t.sin()], 1)
    torch.testing.assert_close((1 - 2 * y)[:, None] * x, curve)


def test_spiral_radius_has_density_proportional_to_itself():
    x, _ = datasets.spiral_points(20_000, rotation=720, noise=0, generator=seeded())
    uniform = (x.norm(dim=1) / math.radians(720)).square().sort().values
    assert (uniform - torch.linspace(0, 1, len(uniform))).abs().max() < 0.015


@pytest.mark.parametrize(
    ("kind", "mean", "std", "largest"), [("gaussian", 0.0, 0.3, None), ("uniform", 0.15, 0.3 / math.sqrt(12), 0.3)]
)
def test_spiral_noise_has_the_moments_of_its_kind(kind, mean, std, largest):
    points = [
        datasets.spiral_points(20_000, rotation=360, noise=noise, noise_kind=kind, generator=seeded())
        for noise in (0.3, 0.0)
    ]
    noise = points[0][0] - points[1][0]
    torch.testing.assert_close(noise.mean(), torch.tensor(mean), atol=0.01, rtol=0)
    torch.testing.assert_close(noise.std(), torch.tensor(std), atol=0.01, rtol=0)
    assert largest is None or (noise.min() > -1e-6 and noise.max() < largest + 1e-6)


@pytest.mark.parametrize("wrong", [{"num_points": 1}, {"rotation": 0.0}, {"noise": -0.1}])
def test_spirals_refuse_numbers_out_of_range(wrong):
    with pytest.raises(ValueError, match="Expected num_points >= 2, rotation > 0 and noise >= 0, got"):
        datasets.spirals(**wrong, generator=seeded())


def test_spirals_refuse_an_unknown_kind_of_noise(as_a_user):
    with pytest.raises(ValueError, match="Expected noise_kind 'gaussian' or 'uniform', got 'salt'"):
        datasets.spirals(noise_kind="salt", generator=seeded())


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 0.0001])
def test_spirals_refuse_an_empty_part(fraction):
    with pytest.raises(ValueError, match="Expected training and test points, got .* Choose train_fraction"):
        datasets.spirals(train_fraction=fraction, generator=seeded())


# Split and normalisation


def test_validation_part_is_disjoint_from_training_and_together_they_are_all():
    data = split(validation_fraction=0.25)
    assert data.validation is not None
    train, validation = set(data.train[1].tolist()), set(data.validation[1].tolist())
    assert len(validation) == 10
    assert train.isdisjoint(validation)
    assert train | validation == set(range(40))


def test_split_is_random_and_follows_the_generator():
    first, again, other = (split(validation_fraction=0.25, generator=seeded(seed)).train[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.sort().values.tolist() != list(range(30))


def test_without_a_fraction_there_is_no_validation_part():
    assert split().validation is None
    assert len(split().train[0]) == 40


def test_normalisation_comes_from_the_training_part_alone():
    x, _ = numbered(40)
    data = split(validation_fraction=0.25)
    assert data.validation is not None
    kept = x[data.train[1]]
    torch.testing.assert_close(data.mean, kept.mean(0))
    torch.testing.assert_close(data.std, kept.std(0))
    torch.testing.assert_close(data.train[0], (kept - kept.mean(0)) / kept.std(0))
    torch.testing.assert_close(data.validation[0], (x[data.validation[1]] - kept.mean(0)) / kept.std(0))
    torch.testing.assert_close(data.test[0], (numbered(10)[0] - kept.mean(0)) / kept.std(0))


def test_images_are_normalised_by_channel():
    x = torch.randn(20, 3, 4, 5, generator=seeded()) * torch.tensor([1.0, 2, 3])[:, None, None] + 4
    part = (x, torch.zeros(20, dtype=torch.long))
    data = split_and_normalise(part, part, classes=1, generator=seeded())
    assert data.mean.shape == data.std.shape == (3,)
    torch.testing.assert_close(data.train[0].mean((0, 2, 3)), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(data.train[0].std((0, 2, 3)), torch.ones(3))


def test_a_constant_feature_becomes_zero():
    x = torch.stack([torch.full((30,), 0.1).float(), torch.randn(30, generator=seeded()).float()], 1)
    part = (x, torch.zeros(30))
    data = split_and_normalise(part, part, classes=None, generator=seeded())
    torch.testing.assert_close(data.train[0][:, 0], torch.zeros(30), atol=1e-6, rtol=0)
    assert data.std[0] == 1


def test_train_size_takes_so_many_points_before_the_split():
    data = split(train_size=20, validation_fraction=0.25)
    assert data.validation is not None
    assert (len(data.train[0]), len(data.validation[0]), len(data.test[0])) == (15, 5, 10)
    assert len(set(data.train[1].tolist() + data.validation[1].tolist())) == 20


def test_regression_targets_are_standardised_by_the_training_part_alone():
    x = torch.randn(40, 3, generator=seeded())
    y = torch.stack([3 * x.sum(1) + 5, torch.arange(40.0), torch.full((40,), 0.1)], 1)
    data = split_and_normalise((x, y), (x, y), classes=None, validation_fraction=0.25, generator=seeded())
    assert data.validation is not None
    assert data.target_mean is not None
    kept, rest = ((part[1] * data.target_std + data.target_mean) for part in (data.train, data.validation))
    torch.testing.assert_close(torch.cat([kept, rest]).sort(0).values, y.sort(0).values)
    torch.testing.assert_close(data.target_mean, kept.mean(0))
    torch.testing.assert_close(data.target_std, torch.tensor([*kept[:, :2].std(0), 1.0]))
    torch.testing.assert_close(data.train[1].mean(0), torch.zeros(3))
    torch.testing.assert_close(data.train[1].std(0), torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(data.test[1], (y - kept.mean(0)) / data.target_std)


def test_classes_are_not_standardised():
    data = split()
    assert data.target_mean is data.target_std is None
    assert data.test[1].tolist() == list(range(10))


def test_regression_refuses_targets_that_are_integers():
    with pytest.raises(TypeError, match=r"Expected floating-point targets for regression, got torch.int64. Use y.flo"):
        split(classes=None)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, math.nan])
def test_split_refuses_a_validation_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match="Expected 0 <= validation_fraction < 1, got"):
        split(validation_fraction=fraction)


@pytest.mark.parametrize(
    "wrong", [{"train_size": 0}, {"train_size": -3}, {"train_size": 41}, {"validation_fraction": 0.98}]
)
def test_split_refuses_to_leave_fewer_than_two_training_points(wrong):
    with pytest.raises(ValueError, match="Expected at least 2 of the 40 training points to train on, got train_size="):
        split(**wrong)


# Digits


def test_digits_are_all_there_and_normalised():
    data = datasets.digits(validation_fraction=0.1, generator=seeded())
    assert data.validation is not None
    parts = (data.train, data.validation, data.test)
    assert [len(x) for x, _ in parts] == [1213, 135, 449]
    assert {tuple(x.shape[1:]) for x, _ in parts} == {(1, 8, 8)}
    assert torch.cat([y for _, y in parts]).bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert abs(float(data.train[0].mean())) < 1e-5
    assert abs(float(data.train[0].std()) - 1) < 1e-5
    assert data.classes == 10


def test_digits_split_follows_the_generator():
    first, again, other = (datasets.digits(generator=seeded(seed)).test[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_digits_refuse_an_empty_part(fraction):
    with pytest.raises(ValueError, match="Expected training and test points.* Choose test_fraction"):
        datasets.digits(test_fraction=fraction, generator=seeded())


def write_npz(folder: Path, **arrays) -> Path:
    rng = np.random.default_rng(0)
    arrays = {"x": rng.normal(size=(50, 3)), "y": np.arange(50) % 4} | arrays
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def read_npz(path: Path, **options) -> DataSet:
    return datasets.npz(path, **options, generator=seeded())


def test_npz_integer_targets_are_classes(tmp_path):
    data = read_npz(write_npz(tmp_path), validation_fraction=0.25)
    assert data.validation is not None
    assert [len(x) for x, _ in (data.train, data.validation, data.test)] == [30, 10, 10]
    assert data.classes == 4
    assert (data.train[0].dtype, data.train[1].dtype) == (torch.get_default_dtype(), torch.int64)


def test_npz_floating_point_targets_are_for_regression(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 3))
    data = read_npz(write_npz(tmp_path, x=x, y=x.sum(1)), test_fraction=0.1)
    assert data.classes is None
    assert len(data.test[0]) == 5
    assert data.test[1].dtype == torch.get_default_dtype()
    assert data.target_mean is not None
    y = data.test[1] * data.target_std + data.target_mean
    torch.testing.assert_close((data.test[0] * data.std + data.mean).sum(1), y)


def test_npz_grey_images_get_a_channel(tmp_path):
    data = read_npz(write_npz(tmp_path, x=np.random.default_rng(0).normal(size=(50, 6, 7))))
    assert data.train[0].shape == (40, 1, 6, 7)


def test_npz_keeps_the_test_part_of_the_file(tmp_path):
    x_test = np.linspace(0, 1, 21).reshape(7, 3)
    data = read_npz(write_npz(tmp_path, x_test=x_test, y_test=np.arange(7) % 4))
    assert len(data.train[0]) == 50
    torch.testing.assert_close(data.test[0] * data.std + data.mean, torch.from_numpy(x_test))
    assert data.test[1].tolist() == [0, 1, 2, 3, 0, 1, 2]


def test_npz_counts_classes_over_both_parts(tmp_path):
    with pytest.warns(UserWarning, match=r"1 of 5 classes, 4, are in y in .*, but not in the part to train on"):
        data = read_npz(write_npz(tmp_path, x_test=np.zeros((2, 3)), y_test=np.array([0, 4])))
    assert data.classes == 5


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.array([1, 2, 3]), ("1", "2", "3")),
        (np.array([2019, 0, -1]), ("-1", "0", "2019")),
        (np.array(["dog", "cat", "hamster"]), ("cat", "dog", "hamster")),
        (np.array([b"yes", b"no"]), ("no", "yes")),
        (np.array([True, False]), ("False", "True")),
        (np.arange(4, dtype=np.uint8)[:, None], None),
        (np.arange(25), None),
        (np.arange(25) + 1, tuple(map(str, range(1, 26)))),
    ],
)
def test_npz_classes_keep_their_names(tmp_path, labels, names):
    y = labels[np.arange(400) % len(labels)]
    x = np.arange(400.0)[:, None]
    data = read_npz(write_npz(tmp_path, x=x, y=y), validation_fraction=0.25)
    assert data.class_names == names
    assert data.classes == len(labels)
    assert data.validation is not None
    found = torch.cat([part[1] for part in (data.train, data.validation, data.test)])
    rows = torch.cat([part[0] for part in (data.train, data.validation, data.test)]) * data.std + data.mean
    expected = y[rows[:, 0].round().long().numpy()]
    texts = [value.decode() if isinstance(value, bytes) else str(value) for value in expected.flatten().tolist()]
    assert [(names or list(map(str, range(25))))[code] for code in found] == texts


def test_npz_names_cover_the_test_part_of_the_file(tmp_path):
    y, y_test = np.array(["b", "d"])[np.arange(50) % 2], np.array(["dolphin", "a"])
    with pytest.warns(UserWarning, match=r"2 of 4 classes, a, dolphin, are in y in"):
        data = read_npz(write_npz(tmp_path, y=y, x_test=np.zeros((2, 3)), y_test=y_test))
    assert data.class_names == ("a", "b", "d", "dolphin")
    assert data.test[1].tolist() == [3, 0]


def test_npz_many_integers_with_gaps_may_be_either_and_are_refused(tmp_path):
    path = write_npz(tmp_path, y=1900 + 2 * np.arange(50))
    with pytest.raises(
        ValueError, match=r"at most 20 different ones, got 50 in 1900\.\.1998\. Save y\.astype\(float\)"
    ):
        read_npz(path)
    assert read_npz(path, targets="numbers").classes is None
    with pytest.warns(UserWarning, match="10 of 50 classes, .* and others, are in y"):
        assert read_npz(path, targets="classes").class_names == tuple(str(1900 + 2 * n) for n in range(50))


@pytest.mark.parametrize("y", [np.arange(50) % 2 * 1.0, np.eye(3)[np.arange(50) % 3], np.arange(50)[:, None] % 2 * 1.0])
def test_npz_floats_that_look_like_labels_are_a_regression_with_a_warning(tmp_path, y):
    path = write_npz(tmp_path, y=y)
    with pytest.warns(
        UserWarning, match=r"regression, but they are only the whole numbers 0, 1\. .* save y\.astype\(int\)"
    ):
        data = read_npz(path)
    assert data.targets == "numbers"
    assert data.train[1].shape == ((40, 3) if y.shape == (50, 3) else (40,))
    assert read_npz(path, targets="numbers").targets == "numbers"  # without a warning


def test_npz_counts_stay_as_they_are(tmp_path):
    data = read_npz(write_npz(tmp_path, y=np.arange(50)), targets="counts")
    assert data.targets == "counts"
    assert (data.classes, data.target_std) == (None, None)
    assert torch.cat([data.train[1], data.test[1]]).sort().values.tolist() == list(range(50))


@pytest.mark.parametrize(
    ("y", "kind", "message"),
    [
        (np.zeros(50, int), None, "Expected at least two classes as y in .*, got only 0"),
        (np.full(50, "yes"), None, "Expected at least two classes as y in .*, got only yes"),
        (np.eye(2, dtype=int)[np.arange(50) % 2], None, r"got shape \(50, 2\)\. Use y\.argmax\(1\) for one-hot"),
        (np.full(50, "yes"), "numbers", "as numbers, got texts such as 'yes'"),
        (np.arange(50) - 1, "counts", "whole numbers of at least 0, for counts, got -1"),
        (np.arange(50) / 2, "classes", "whole numbers, for classes, got 0.5"),
    ],
)
def test_npz_targets_of_another_kind_are_refused(tmp_path, y, kind, message):
    path = write_npz(tmp_path, y=y)
    with pytest.raises(ValueError, match=message):
        read_npz(path, targets=kind)


def test_small_differences_of_large_numbers_survive(tmp_path):
    """As float32, seconds since 1970 would have three different values here."""
    torch.set_default_dtype(torch.float32)
    noise = np.random.default_rng(0).normal(size=(50, 1))
    data = read_npz(write_npz(tmp_path, x=1.7e9 + 50 * noise, y=1.7e9 + noise[:, 0]))
    torch.set_default_dtype(torch.float64)
    x, y = data.train
    assert x.dtype == y.dtype == torch.float32
    assert len(x.unique()) == len(y.unique()) == 40
    assert abs(float(x.mean())) < 1e-5
    torch.testing.assert_close(x[:, 0], y)


def test_a_validation_share_of_no_point_is_refused():
    with pytest.raises(
        ValueError, match=r"Expected at least one point to validate on, got .*=0.1 of 4 training points"
    ):
        split(validation_fraction=0.1, train_size=4)


def test_npz_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected an npz file with arrays x and y at .*none.npz, found none"):
        read_npz(tmp_path / "none.npz")


@pytest.mark.parametrize("names", [("x",), ("y", "z"), ("x", "y", "x_test")])
def test_npz_missing_array_is_reported_with_those_found(tmp_path, names):
    np.savez(tmp_path / "data.npz", **{name: np.ones((4, 2)) for name in names})
    with pytest.raises(ValueError, match="Expected arrays x and y, .*, found " + ", ".join(f".*'{n}'" for n in names)):
        read_npz(tmp_path / "data.npz")


@pytest.mark.parametrize("wrong", [{"x": np.full((50, 3), "a")}, {"y": np.ones(50) * 1j}])
def test_npz_refuses_what_is_not_a_number(tmp_path, wrong):
    with pytest.raises(ValueError, match="Expected numbers as x, and integers or texts for classes or floating-point "):
        read_npz(write_npz(tmp_path, **wrong))


@pytest.mark.parametrize(
    "wrong", [{"y": np.arange(49)}, {"x": np.zeros(50)}, {"y": np.array(1)}, {"x": np.zeros((0, 3)), "y": np.zeros(0)}]
)
def test_npz_refuses_shapes_that_do_not_fit(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"Expected x of shape \(N, features\), .* and N targets in .* got x \("):
        read_npz(write_npz(tmp_path, **wrong))


@pytest.mark.parametrize("wrong", [{"x_test": np.zeros((4, 1))}, {"y_test": np.zeros(4)}, {"y_test": np.ones((4, 2))}])
def test_npz_refuses_a_test_part_unlike_the_training_part(tmp_path, wrong):
    arrays = {"x_test": np.zeros((4, 3)), "y_test": np.arange(4)} | wrong
    with pytest.raises(ValueError, match="Expected x_test and y_test in .* like x and y, shapes .* got"):
        read_npz(write_npz(tmp_path, **arrays))


def test_npz_counts_the_points_that_are_not_finite(tmp_path):
    x = np.zeros((50, 3))
    x[7, 1], x[9, 2] = np.nan, np.inf
    with pytest.raises(ValueError, match="Expected finite inputs in .*, got NaN or infinity in 2 of 50 points"):
        read_npz(write_npz(tmp_path, x=x))


@pytest.mark.parametrize("value", [{}, "cat"])
def test_npz_refuses_pickled_objects(tmp_path, value):
    with pytest.raises(
        ValueError, match=r"y in .* holds Python objects, which are not read\. .* y\.astype\(str\)"
    ) as info:
        read_npz(write_npz(tmp_path, y=np.array([value] * 50, dtype=object)))
    assert "allow_pickle" not in str(info.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("data.csv", "is a table. Give its target: pyro-vds fit table --data-path .*data.csv --target COLUMN"),
        ("plain.npy", r"holds one\. Save inputs and targets together: numpy\.savez\('data\.npz', x=x, y=y\)"),
    ],
)
def test_other_kinds_of_files_get_the_advice_for_their_kind(tmp_path, name, message):
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    np.save(tmp_path / "plain.npy", np.zeros((4, 2)))
    with pytest.raises(ValueError, match=message) as info:
        read_npz(tmp_path / name)
    assert "allow_pickle" not in str(info.value)


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 cut off"])
def test_npz_reports_a_damaged_file(tmp_path, content):
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(ValueError, match="Expected a file of arrays, .*numpy.savez.*, but cannot read .*data.npz"):
        read_npz(tmp_path / "data.npz")


# Images in torchvision's layout


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("the test has no network")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)


def idx_files() -> dict[str, bytes]:
    """A tiny data set in the format of MNIST: 20 and 8 images of 28x28 pixels."""
    rng = np.random.default_rng(0)
    files = {}
    for name, size in (("train", 20), ("t10k", 8)):
        images = rng.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        header = b"".join(n.to_bytes(4, "big") for n in (0x803, size, 28, 28))
        files[f"{name}-images-idx3-ubyte"] = header + images.tobytes()
        labels = (np.arange(size) % 10).astype(np.uint8)
        files[f"{name}-labels-idx1-ubyte"] = (0x801).to_bytes(4, "big") + size.to_bytes(4, "big") + labels.tobytes()
    return files


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in folder.rglob("*")}


@pytest.mark.parametrize(("load", "name"), [(datasets.mnist, "MNIST"), (datasets.fashion_mnist, "FashionMNIST")])
def test_grey_images_are_read_from_unpacked_files(tmp_path, no_network, load, name):
    raw = tmp_path / name / "raw"
    raw.mkdir(parents=True)
    files = idx_files()
    for file, content in files.items():
        (raw / file).write_bytes(content)
    data = load(tmp_path, validation_fraction=0.2, generator=seeded())
    assert data.validation is not None
    assert [x.shape for x, _ in (data.train, data.validation, data.test)] == [(n, 1, 28, 28) for n in (16, 4, 8)]
    assert data.classes == 10
    assert data.test[1].tolist() == list(range(8))
    pixels = np.frombuffer(files["t10k-images-idx3-ubyte"][16:], np.uint8).reshape(8, 1, 28, 28) / 255
    torch.testing.assert_close(data.test[0].float() * data.std + data.mean, torch.from_numpy(pixels).float())


@pytest.mark.usefixtures("as_a_user")
def test_pixels_stay_bytes_and_the_network_normalises_them(tmp_path, no_network):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, content in idx_files().items():
        (raw / file).write_bytes(content)
    how = {"data": "mnist", "data_root": str(tmp_path), "max_depth": 1, "channels": 4, "bottleneck": 2, "max_epochs": 1}
    found = []
    for pixels in ("uint8", "float32"):
        settings = Settings(pixels=pixels, **how).resolved()
        data = load_data(settings)
        model, guide = build.build(settings, DataSummary.of(data))
        build.train(settings, model, guide, data, progress=False)
        found.append(vds.predict_proba(model, guide, data.test[0]))
        assert (data.train[0].dtype == torch.uint8) is (pixels == "uint8")
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="Expected pixels 'float32' or 'uint8', got 'int8'"):
        datasets.mnist(tmp_path, pixels="int8", generator=seeded())
    with pytest.raises(ValueError, match="Expected pixels float32 for digits"):
        load_data(Settings(data="digits", pixels="uint8"))


def test_compressed_images_are_read_and_their_folder_left_alone(tmp_path, no_network, monkeypatch):
    from torchvision.datasets import MNIST

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file, content in idx_files().items():
        (raw / f"{file}.gz").write_bytes(gzip.compress(content))
    sums = [(url, hashlib.md5((raw / Path(url).name).read_bytes()).hexdigest()) for url, _ in MNIST.resources]
    monkeypatch.setattr(MNIST, "resources", sums)
    for path in (*raw.iterdir(), raw, raw.parent, tmp_path):
        path.chmod(path.stat().st_mode & ~0o222)
    before = listing(tmp_path)
    data = datasets.mnist(tmp_path, generator=seeded())
    after = listing(tmp_path)
    tmp_path.chmod(0o755)
    assert len(data.train[0]) == 20
    assert after == before


def test_real_mnist_is_complete_and_its_folder_left_alone(shared_data, no_network):
    before = sorted(shared_data.rglob("*"))
    data = datasets.mnist(shared_data, train_size=1000, generator=seeded())
    assert sorted(shared_data.rglob("*")) == before
    assert data.test[1].bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = data.test[0] * data.std[0] + data.mean[0]
    assert abs(float(pixels.mean()) - 0.13251) < 1e-5
    assert len(data.train[0]) == 1000


@pytest.mark.parametrize(
    ("load", "file"),
    [
        (datasets.mnist, "MNIST/raw/t10k-labels-idx1-ubyte.gz"),
        (datasets.fashion_mnist, "FashionMNIST/raw/train-images-idx3-ubyte.gz"),
        (datasets.svhn, "train_32x32.mat"),
        (datasets.cifar10, "cifar-10-batches-py"),
    ],
)
def test_missing_files_are_named_when_there_is_no_network(tmp_path, no_network, load, file):
    with pytest.raises(FileNotFoundError, match=f"Expected the files .*{tmp_path}/{file}.* Put them there by hand"):
        load(tmp_path, generator=seeded())


def test_a_damaged_image_file_is_named(tmp_path, no_network):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in idx_files():
        (raw / f"{file}.gz").write_bytes(b"junk")
    with pytest.raises(FileNotFoundError, match="missing or damaged.*Put them there by hand"):
        datasets.mnist(tmp_path, generator=seeded())


def test_svhn_file_of_another_edition_is_refused(tmp_path, no_network):
    (tmp_path / "train_32x32.mat").write_bytes(b"another edition")
    with pytest.raises(FileNotFoundError, match="train_32x32.mat, but they are missing or damaged"):
        datasets.svhn(tmp_path, generator=seeded())


def jpeg_npz(root: Path, colours: np.ndarray, **other) -> Path:
    """Write an npz file of plain JPEG images, one for each colour; every third is a test image."""
    from PIL import Image

    parts = []
    for colour in colours:
        stream = io.BytesIO()
        Image.fromarray(np.full((32, 32, 3), colour, np.uint8)).save(stream, "JPEG", quality=95)
        parts.append(np.frombuffer(stream.getvalue(), np.uint8))
    path = root / "CIFAR10-jpeg" / "cifar10_jpeg.npz"
    path.parent.mkdir(parents=True)
    number = np.arange(len(parts))
    offset = np.cumsum([0, *map(len, parts)])
    arrays = {"jpeg": np.concatenate(parts), "offset": offset, "label": number % 10, "is_test": number % 3 == 2}
    np.savez(path, **(arrays | other))
    return path


def test_cifar10_is_read_from_jpeg_images(tmp_path, no_network):
    colours = np.random.default_rng(0).integers(20, 235, (12, 3))
    jpeg_npz(tmp_path, colours)
    data = datasets.cifar10(tmp_path, validation_fraction=0.25, pixels="uint8", generator=seeded())
    assert data.validation is not None
    assert [x.shape for x, _ in (data.train, data.validation, data.test)] == [(n, 3, 32, 32) for n in (6, 2, 4)]
    assert data.test[1].tolist() == [2, 5, 8, 1]
    for (x, y), place in ((data.train, slice(0, 1)), (data.test, slice(0, 4))):
        for image, label in zip(x[place], y[place], strict=True):
            known = [colours[n] for n in range(12) if n % 10 == label]
            error = min(np.abs(image.numpy().mean((1, 2)) - colour).max() for colour in known)
            assert error < 4
    again = datasets.cifar10(tmp_path, generator=seeded())
    torch.testing.assert_close(
        again.test[0] * again.std[:, None, None] + again.mean[:, None, None], (data.test[0] / 255).to(again.test[0])
    )


@pytest.mark.parametrize(
    ("other", "message"),
    [({"offset": np.array([0, 10])}, "cannot read them"), ({"label": np.zeros(3)}, "Expected a label and is_test")],
)
def test_damaged_jpeg_images_are_refused(tmp_path, other, message):
    jpeg_npz(tmp_path, np.zeros((4, 3)), **other)
    with pytest.raises(ValueError, match=message):
        datasets.cifar10(tmp_path, generator=seeded())


def test_cifar10_is_read_in_torchvisions_layout(tmp_path, no_network, monkeypatch):
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    generator = np.random.default_rng(0)
    files = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]
    for file in files:
        content = {"data": generator.integers(0, 256, (4, 3072), np.uint8), "labels": [0, 1, 2, 3]}
        (folder / file).write_bytes(pickle.dumps(content | {"label_names": list("abcd")}))
    sums = [[file, hashlib.md5((folder / file).read_bytes()).hexdigest()] for file in files]
    monkeypatch.setattr(CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(CIFAR10, "test_list", sums[5:6])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums[6][1]})
    data = datasets.cifar10(tmp_path, pixels="uint8", generator=seeded())
    assert [x.shape for x, _ in (data.train, data.test)] == [(20, 3, 32, 32), (4, 3, 32, 32)]
    expected = pickle.loads((folder / "test_batch").read_bytes())["data"].reshape(4, 3, 32, 32)
    np.testing.assert_array_equal(data.test[0].numpy(), expected)


def test_real_cifar10_is_complete(shared_data, no_network):
    data = datasets.cifar10(shared_data, pixels="uint8", generator=seeded())
    assert data.train[1].bincount().tolist() == [5000] * 10
    assert data.test[1].bincount().tolist() == [1000] * 10
    assert data.train[0].shape == (50000, 3, 32, 32)
