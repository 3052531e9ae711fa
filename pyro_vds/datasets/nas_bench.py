"""Tables of the accuracies of all architectures of a space, from files that the user has; nothing is executed."""

import itertools
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

EDGES_201 = ("0->1", "0->2", "1->2", "0->3", "1->3", "2->3")
CLASSES_201 = {"cifar10": 10, "cifar100": 100, "imagenet16": 120}
BLOCKS_MACRO = ("identity", "k3", "e6k5")
LAYERS_MACRO, TRAININGS_MACRO = 8, 3


@dataclass(frozen=True)
class Benchmark:
    """The accuracy of every architecture of a space in which each site has one of the same options.

    Attributes:
        options: What a site can have, in the order of the entries of ``accuracy``: operations or blocks.
        sites: Names of the sites, one for each dimension of ``accuracy``: edges or layers.
        accuracy: Share of test images that are classified correctly, for each data set; float64 on the CPU, shape
            ``(len(options),) * len(sites)``.
        classes: Number of classes of each data set.
        deviation: Standard deviation of the accuracy between trainings of one architecture, where the file has several:
            the noise of ``accuracy``. The same shape; no data set where it is not known.
    """

    options: tuple[str, ...]
    sites: tuple[str, ...]
    accuracy: Mapping[str, Float[Tensor, "*sites"]]
    classes: Mapping[str, int]
    deviation: Mapping[str, Float[Tensor, "*sites"]] = field(default_factory=dict)


def nas_bench_201(path: str | Path) -> Benchmark:
    """Return the test accuracies of the 15,625 cells of NAS-Bench-201 after 200 epochs.

    Dong and Yang 2020, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search" (arXiv
    2001.00326). A cell has 4 nodes, and on each of its 6 edges one of 5 operations. The data sets are ``cifar10``,
    ``cifar100`` and ``imagenet16`` with 10, 100 and 120 classes. Different cells can compute the same function, so
    that a uniform prior over cells is not uniform over functions.

    Args:
        path: An npz file with ``ops`` (15625, 6), the codes of the operations on the edges; ``op_names`` (5,);
            ``edges`` (6,), such as ``"0->1"``; and the accuracies in percent (15625,) of each data set.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, has other arrays, or cells are missing.
    """
    path = _existing(path, "NAS-Bench-201 as an npz file")
    arrays = _read_npz(path, ("ops", "op_names", "edges", *CLASSES_201))
    codes, options, sites = arrays["ops"], _texts(arrays["op_names"]), _texts(arrays["edges"])
    if len(set(options)) != 5 or sites != EDGES_201:
        raise ValueError(
            f"Expected 5 op_names and the edges {EDGES_201} in {path}, got {options} and {sites}. Take the file of "
            "the 15,625 cells."
        )
    accuracy = {name: _table(codes, arrays[name], len(options), f"{path}, {name}") for name in CLASSES_201}
    return Benchmark(options, sites, accuracy, dict(CLASSES_201))


def nas_bench_macro(path: str | Path) -> Benchmark:
    """Return the CIFAR-10 test accuracies of the 6,561 networks of NAS-Bench-Macro, means of three trainings.

    Su et al. 2021, "Prioritized Architecture Sampling with Monte-Carlo Tree Search" (arXiv 2103.11922). Each of 8
    layers is the identity, or a MobileNet block with kernel 3 (``"k3"``), or one with expansion 6 and kernel 5
    (``"e6k5"``). The depth of a network is the number of its layers that are not the identity. Networks that differ in
    where identities stand within a stage are the same network under two names.

    Args:
        path: The JSON file of the benchmark: for each network, named by its 8 choices such as ``"02012100"``, at least
            ``test_acc``, three accuracies in percent.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, has other entries, or networks are missing.
    """
    path = _existing(path, "NAS-Bench-Macro as a JSON file")
    try:
        content = json.loads(path.read_bytes())
        codes = np.array([[int(choice) for choice in name] for name in content])
        accuracies = np.array([[float(a) for a in entry["test_acc"]] for entry in content.values()])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"Expected networks such as '02012100' with test_acc in {path}, but cannot read them: "
            f"{type(error).__name__} {error}. Copy the file again."
        ) from error
    if accuracies.shape[1:] != (TRAININGS_MACRO,) or codes.shape[1:] != (LAYERS_MACRO,):
        raise ValueError(
            f"Expected {LAYERS_MACRO} choices and {TRAININGS_MACRO} accuracies of each network in {path}, got shapes "
            f"{codes.shape} and {accuracies.shape}. Copy the file again."
        )
    mean, deviation = (
        {"cifar10": _table(codes, values, len(BLOCKS_MACRO), str(path))}
        for values in (accuracies.mean(1), accuracies.std(1, ddof=1))
    )
    return Benchmark(BLOCKS_MACRO, tuple(map(str, range(1, LAYERS_MACRO + 1))), mean, {"cifar10": 10}, deviation)


def _existing(path: str | Path, what: str) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected {what} at {path}, found no file there. Give the path of the file.")
    return path


def _read_npz(path: Path, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return arrays of an npz file; objects, which would be unpickled, are refused."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"Expected the arrays {', '.join(names)} in {path}, but cannot read them: {error}. Copy the file again."
        ) from error


def _texts(array: np.ndarray) -> tuple[str, ...]:
    return tuple(map(str, np.atleast_1d(array).tolist()))


def _table(codes: np.ndarray, percent: np.ndarray, options: int, where: str) -> Float[Tensor, "*sites"]:
    """Return accuracies in percent as shares, in the dimensions of the sites."""
    fits = codes.ndim == 2 and percent.shape == codes.shape[:1] and codes.dtype.kind in "iu"
    if not fits or percent.dtype.kind not in "iuf":
        raise ValueError(
            f"Expected whole numbers (architectures, sites) and an accuracy of each architecture in {where}, got "
            f"shapes {codes.shape} and {percent.shape} of {codes.dtype} and {percent.dtype}. Copy the file again."
        )
    found, every = {tuple(row) for row in codes.tolist()}, options ** codes.shape[1]
    if len(codes) != every or found != set(itertools.product(range(options), repeat=codes.shape[1])):
        raise ValueError(
            f"Expected each of {every:,} architectures once in {where}, got {len(codes):,} with {len(found):,} "
            "different ones. Take the file of the whole space."
        )
    shares = np.asarray(percent, dtype=np.float64) / 100
    if not ((shares >= 0) & (shares <= 1)).all():
        raise ValueError(
            f"Expected accuracies in percent, 0 to 100, in {where}, got {np.nanmin(percent)} to {np.nanmax(percent)} "
            f"and {int(np.isnan(shares).sum())} NaN. Copy the file again."
        )
    table = np.empty((options,) * codes.shape[1])
    table[tuple(codes.T)] = shares
    return torch.from_numpy(table)
