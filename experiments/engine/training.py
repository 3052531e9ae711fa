"""Training of the repeats of one setting, side by side as replicates of one run."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

import pyro_vds as vds
from experiments.engine.svhn import SVHN_TEST_DIGITS, svhn_test_digits
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.categorical import Guide
from pyro_vds.runs.build import build
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.settings import Settings
from pyro_vds.spaces.typing import TensorPair
from pyro_vds.sweeps import Resources
from pyro_vds.training.optim import spelled

# What repeats side by side cannot have, with what is built.
ALONE: dict[str, Any] = {"learn_prior": False, "guide": "independent", "widths": None, "pixels": "float32"}


@dataclass(frozen=True)
class Repeat:
    """One trained network of a setting.

    Attributes:
        settings: Its settings; data, weights and order of batches are those of its seed.
        data: Its data set.
        model: The model.
        guide: Its guide.
        history: The record of its training.
    """

    settings: Settings
    data: DataSet
    model: vds.VDSModel
    guide: Guide
    history: vds.History


def as_settings(values: Mapping[str, Any], resources: Resources) -> Settings:
    """Return the full settings of a run.

    Args:
        values: What differs from the paper's settings; the data set may also be ``svhn_test_digits``.
        resources: How it is run.
    """
    known = {"data": "svhn"} if values.get("data") == SVHN_TEST_DIGITS else {}
    how: dict[str, Any] = {"data_root": resources.data_root, "compile": resources.compile}
    return Settings(**{"preset": "paper", **values, **known}, **how, device=str(resources.device)).resolved()


def described(settings: Settings, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings for a result file: all that decide the numbers, the data set by its name here."""
    elsewhere = ("data_root", "data_path", "compile", "device", "seed", "rule")
    everything = {name: value for name, value in asdict(settings).items() if name not in elsewhere}
    made = {name: spelled(getattr(settings, name)) for name in ("optimizer", "scheduler")}
    return everything | made | {"data": values["data"], "prior": repr(settings.prior)}


def load_repeats(settings: Settings, name: str, repeats: int) -> list[DataSet]:
    """Return the data set of each repeat, drawn and split by a seed of its own.

    Args:
        settings: The settings of the first repeat.
        name: The name of the data set here.
        repeats: Number of repeats; repeat ``r`` has the seed ``seed + r``.
    """
    each = [replace(settings, seed=settings.seed + r) for r in range(repeats)]
    return [svhn_test_digits(one) if name == SVHN_TEST_DIGITS else load_data(one) for one in each]


def train_repeats(values: Mapping[str, Any], repeats: int, resources: Resources) -> tuple[list[Repeat], float]:
    """Train all repeats of a setting, each on its own data.

    Args:
        values: What differs from the default settings.
        repeats: Number of repeats; repeat ``r`` has the seed ``seed + r``.
        resources: How it is run.

    Returns:
        The repeats, and the seconds that their training took together.
    """
    settings = as_settings(values, resources)
    sets = load_repeats(settings, values["data"], repeats)
    # pyro_vds cannot validate replicates of a network without axes, nor lay out their images otherwise.
    together = not settings.channels_last and (settings.readout == "all" or not settings.validation_fraction)
    together = together and not settings.recalibrate and all(getattr(settings, n) == v for n, v in ALONE.items())
    started = time.perf_counter()
    trained = (_train_together if together else _train_each)(settings, sets, resources.device)
    return trained, time.perf_counter() - started


def _train_together(settings: Settings, sets: list[DataSet], device: torch.device) -> list[Repeat]:
    """Train the repeats side by side, as replicates in one run."""
    model, guide = build(settings, DataSummary.of(sets[0]), repeats=len(sets))
    validation = [data.validation for data in sets if data.validation is not None] or None
    history = _fit(settings, model, guide, [data.train for data in sets], validation, device)
    singles = zip(vds.replicates(model, guide), sets, strict=True)
    return [
        Repeat(replace(settings, seed=settings.seed + r), data, *pair, history.replicate(r))
        for r, (pair, data) in enumerate(singles)
    ]


def _train_each(settings: Settings, sets: list[DataSet], device: torch.device) -> list[Repeat]:
    """Train the repeats one after the other."""
    trained = []
    for seed, data in enumerate(sets, start=settings.seed):
        one = replace(settings, seed=seed)
        model, guide = build(one, DataSummary.of(data))
        history = _fit(one, model, guide, data.train, data.validation, device)
        if one.recalibrate:
            vds.recalibrate_batch_norm(model, data.train, batch_size=one.batch_size, seed=seed)
        trained.append(Repeat(one, data, model, guide, history))
    return trained


def _fit(
    settings: Settings,
    model: vds.VDSModel,
    guide: Guide,
    train: TensorPair | list[TensorPair],
    validation: TensorPair | list[TensorPair] | None,
    device: torch.device,
) -> vds.History:
    """Train; where every repeat diverges, its best state before that is its result."""
    try:
        return vds.fit(model, guide, train, validation=validation, device=device, progress=False, config=settings)
    except vds.NonFiniteLossError as error:
        return error.history
