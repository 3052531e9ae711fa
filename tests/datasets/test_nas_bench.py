"""Tables of architectures: accuracies stand where their choices say, and other files are refused."""

import itertools
import json

import numpy as np
import pytest
import torch

from pyro_vds import datasets
from pyro_vds.datasets.nas_bench import EDGES_201

CELLS = np.array(list(itertools.product(range(5), repeat=6)), dtype=np.uint8)
NETWORKS = ["".join(choices) for choices in itertools.product("012", repeat=8)]


def accuracies(codes):
    """Of each architecture another one, in percent."""
    return 100 * codes @ 5.0 ** -np.arange(1, codes.shape[1] + 1)


def write_201(folder, **changes):
    order = np.random.default_rng(0).permutation(len(CELLS))
    codes = CELLS[order]
    arrays = {"ops": codes, "op_names": np.array(list("abcde")), "edges": np.array(EDGES_201)}
    arrays |= {name: accuracies(codes) / k for k, name in enumerate(("cifar10", "cifar100", "imagenet16"), start=1)}
    path = folder / "cells.npz"
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})
    return path


def write_macro(folder, networks=NETWORKS, **changes):
    content = {n: {"test_acc": [10.0 * int(n[0]), 20.0, 30.0 + int(n[-1])], "params": 1} for n in networks}
    path = folder / "macro.json"
    path.write_text(json.dumps(content | changes))
    return path


def test_201_puts_each_cell_where_its_operations_say(tmp_path):
    found = datasets.nas_bench_201(write_201(tmp_path))
    assert found.options == tuple("abcde")
    assert found.sites == EDGES_201
    assert found.classes == {"cifar10": 10, "cifar100": 100, "imagenet16": 120}
    for k, table in enumerate(found.accuracy.values(), start=1):
        assert (table.shape, table.dtype) == ((5,) * 6, torch.float64)
        np.testing.assert_allclose(table.flatten(), accuracies(CELLS) / 100 / k)


def test_macro_takes_the_mean_of_three_trainings(tmp_path):
    found = datasets.nas_bench_macro(write_macro(tmp_path))
    table = found.accuracy["cifar10"]
    assert (found.sites, found.options) == (tuple("12345678"), ("identity", "k3", "e6k5"))
    assert (table.shape, table.dtype) == ((3,) * 8, torch.float64)
    place = (2, 0, 0, 0, 0, 0, 0, 1)
    assert float(table[place]) == pytest.approx((0.2 + 0.2 + 0.31) / 3)
    assert float(found.deviation["cifar10"][place]) == pytest.approx(np.std([0.2, 0.2, 0.31], ddof=1))


@pytest.mark.parametrize("read", [datasets.nas_bench_201, datasets.nas_bench_macro])
def test_an_absent_file_is_said(tmp_path, read):
    with pytest.raises(FileNotFoundError, match="Expected NAS-Bench.* file at .*nothing, found no file there"):
        read(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ops": None}, "Expected the arrays ops, .* but cannot read them"),
        ({"cifar10": np.array([{}] * 15625)}, "cannot read them: Object arrays cannot be loaded"),
        ({"op_names": np.array(list("abcc"))}, "Expected 5 op_names"),
        ({"edges": np.array(EDGES_201[::-1])}, "Expected 5 op_names and the edges"),
        ({"ops": CELLS * 0}, "Expected each of 15,625 architectures once .* got 15,625 with 1 different ones"),
        ({"ops": CELLS * 1.0}, "Expected whole numbers"),
        ({"ops": CELLS[:, :5]}, "Expected each of 3,125 architectures once"),
        ({"cifar100": np.zeros(5)}, "an accuracy of each architecture in .*cifar100"),
        ({"imagenet16": np.full(15625, 101.0)}, "Expected accuracies in percent, 0 to 100, .* got 101.0 to 101.0"),
        ({"imagenet16": np.r_[np.nan, np.ones(15624)]}, "1.0 to 1.0 and 1 NaN"),
        ({"cifar10": np.full(15625, "x")}, "an accuracy of each architecture in .*cifar10, got .* and <U1"),
    ],
)
def test_201_refuses_other_arrays(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        datasets.nas_bench_201(write_201(tmp_path, **changes))


def test_201_refuses_what_is_no_npz(tmp_path):
    path = write_201(tmp_path)
    whole = path.read_bytes()
    cut = [whole[: len(whole) * k // 4] for k in range(1, 4)]
    flipped = whole[:5000] + bytes(255 - byte for byte in whole[5000:5100]) + whole[5100:]
    for content in (b"", b"no archive", b"PK\x03\x04 damaged", flipped, *cut):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="Copy the file again"):
            datasets.nas_bench_201(path)
    with path.open("wb") as opened:
        np.save(opened, np.zeros(3))
    with pytest.raises(ValueError, match="Copy the file again"):
        datasets.nas_bench_201(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"networks": NETWORKS[1:]}, "Expected each of 6,561 architectures once .* got 6,560"),
        ({"00000000": {"test_acc": [1.0]}}, "cannot read them|3 accuracies"),
        ({"00000000": {"accuracy": 1.0}}, "cannot read them: KeyError"),
        ({"00000000": {"test_acc": ["one", 2, 3]}}, "cannot read them: ValueError"),
        ({"00000000": [1, 2, 3]}, "cannot read them: TypeError"),
        ({"no network": {"test_acc": [1, 2, 3]}}, "cannot read them: ValueError"),
        ({"00000000": {"test_acc": [-1, 2, -300]}}, "Expected accuracies in percent"),
    ],
)
def test_macro_refuses_other_entries(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        datasets.nas_bench_macro(write_macro(tmp_path, **changes))


@pytest.mark.parametrize("content", ["{", "[1]", "{}", "\udcff"])
def test_macro_refuses_what_is_no_such_json(tmp_path, content):
    path = tmp_path / "macro.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match="Copy the file again"):
        datasets.nas_bench_macro(path)


def test_the_real_tables_are_those_of_the_papers(shared_data):
    cells = datasets.nas_bench_201(shared_data / "nas" / "nas-bench-201_200epochs.npz")
    assert cells.options == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    best = {name: round(100 * float(table.max()), 2) for name, table in cells.accuracy.items()}
    assert best == {"cifar10": 94.37, "cifar100": 73.51, "imagenet16": 47.31}
    assert int((cells.accuracy["cifar10"].sub(0.1).abs() < 1e-9).sum()) == 341
    assert not cells.deviation
    macro = datasets.nas_bench_macro(shared_data / "nas" / "nas-bench-macro_cifar10.json")
    assert round(100 * float(macro.deviation["cifar10"].mean()), 3) == 0.185
    networks = macro.accuracy["cifar10"]
    assert round(100 * float(networks.max()), 2) == 93.13
    assert round(100 * float(networks[(0,) * 8]), 1) == 45.4
