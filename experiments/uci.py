"""UCI regression in the 20 standard splits, beside published test log-likelihoods and errors.

The splits of a set train side by side as replicates. Each split holds 10 % of its training part out: that part
decides early stopping and which of the candidate step sizes and weight decays is taken, for this split alone. The
test part is read once, at the end; the held-out points are not trained on afterwards. Width, depth and candidates were
chosen by short trials on the validation parts of splits 0 to 3 of boston, yacht and concrete.
"""

import math
import time
from collections import Counter
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch

import pyro_vds as vds
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.categorical import Guide
from pyro_vds.metrics.intervals import interval_table
from pyro_vds.runs.measures import measure_test

VALIDATION = 0.1
# Batches of about 64 points; the large set gets larger ones and fewer epochs.
SETTINGS: dict[str, Any] = {
    "width": 50, "max_depth": 5, "batch_size": 64, "max_epochs": 500, "patience": 60, "momentum": 0.9
}  # fmt: skip
LARGE = {"batch_size": 256, "max_epochs": 80, "patience": 15}
CANDIDATES = ({"lr": 0.003, "weight_decay": 0.01}, {"lr": 0.003, "weight_decay": 0.05})
NAMES = ("boston", "concrete", "energy", "wine", "yacht", "power")
# Antorán et al. 2020, "Depth Uncertainty in Neural Networks" (arXiv 2006.08437), tables of its appendix: the
# log-likelihood with its standard deviation over splits, and the error, of DUN and of competitors.
PUBLISHED: dict[str, dict[str, Any]] = {
    "boston": {"DUN LL": [-2.604, 0.351], "dropout LL": -2.882, "ensemble LL": -2.454, "SGD LL": -2.942,
               "DUN RMSE": 3.200, "dropout RMSE": 2.832, "SGD RMSE": 3.218},
    "concrete": {"DUN LL": [-3.005, 0.212], "dropout LL": -3.051, "ensemble LL": -2.886, "SGD LL": -3.214,
                 "DUN RMSE": 4.613, "dropout RMSE": 4.610, "SGD RMSE": 4.983},
    "energy": {"DUN LL": [-1.037, 0.159], "dropout LL": -0.975, "ensemble LL": -1.298, "SGD LL": -1.348,
               "DUN RMSE": 0.612, "dropout RMSE": 0.571, "SGD RMSE": 0.797},
    "power": {"DUN LL": [-2.695, 0.086], "dropout LL": -2.790, "ensemble LL": -2.663, "SGD LL": -2.733,
              "DUN RMSE": 3.573, "dropout RMSE": 3.823, "SGD RMSE": 3.697},
    "wine": {"DUN LL": [-1.031, 0.119], "dropout LL": -1.003, "ensemble LL": -1.116, "SGD LL": -1.212,
             "DUN RMSE": 0.659, "dropout RMSE": 0.642, "SGD RMSE": 0.652},
    "yacht": {"DUN LL": [-2.420, 0.523], "dropout LL": -1.330, "ensemble LL": -2.441, "SGD LL": -2.525,
              "DUN RMSE": 2.514, "dropout RMSE": 0.876, "SGD RMSE": 2.352},
}  # fmt: skip


@dataclass(frozen=True)
class Split:
    """A model of one split, and its log density on the split's validation part, nats per standardised point."""

    model: vds.VDSModel
    guide: Guide
    validation: float
    best_epoch: int
    candidate: int


def run(*, tiny: bool, data_root: str) -> dict[str, Any]:
    """Return test log-likelihood and error of each set, their mean and standard error, and the published ones.

    Args:
        tiny: Two splits of scikit-learn's diabetes and few epochs; needs no files.
        data_root: Folder that holds ``uci/``.
    """
    if tiny:
        small = SETTINGS | {"width": 8, "max_depth": 2, "max_epochs": 3}
        sets = [vds.datasets.diabetes(validation_fraction=VALIDATION, generator=_seeded(s)) for s in range(2)]
        found = {"diabetes": _measured(sets, small, compile=False)}
    else:
        small, found = SETTINGS, {}
        for name in NAMES:
            found[name] = _measured(_splits(data_root, name), SETTINGS | (LARGE if name == "power" else {}))
            print(f"{name}: {found[name]['test']['full']}, {found[name]['seconds']:.0f} s", flush=True)
    return {
        "settings": small | {"candidates": CANDIDATES, "validation_fraction": VALIDATION, "power": LARGE},
        "sets": {name: values | {"published": PUBLISHED.get(name)} for name, values in found.items()},
    }


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _splits(data_root: str, name: str) -> list[DataSet]:
    return [
        vds.datasets.uci(data_root, name, split, validation_fraction=VALIDATION, generator=_seeded(split))
        for split in range(20)
    ]


def _measured(sets: list[DataSet], settings: dict[str, Any], *, compile: bool = True) -> dict[str, Any]:
    """Train every candidate on every split, and measure on test data the one best on the split's validation part."""
    started = time.perf_counter()
    trained = [_trained(sets, settings | how, number, compile=compile) for number, how in enumerate(CANDIDATES)]
    chosen = [max(of_one, key=lambda split: split.validation) for of_one in zip(*trained, strict=True)]
    runs = [_test(split, data) for split, data in zip(chosen, sets, strict=True)]
    pit = np.concatenate([r.pop("pit") for r in runs])
    table = interval_table(pit, [0.5, 0.8, 0.9, 0.95])
    return {
        "train_size": len(sets[0].train[0]),
        "test_size": len(sets[0].test[0]),
        "test": {case: _summary([r["test"][case] for r in runs]) for case in ("full", "pruned")},
        "interval_error": interval_table(pit).error,
        "coverage": dict(zip(map(str, table.levels), table.coverage.tolist(), strict=True)),
        "chosen_depth": [r["chosen_depth"] for r in runs],
        "chosen_candidate": dict(Counter(str(CANDIDATES[split.candidate]) for split in chosen)),
        "best_epoch": [split.best_epoch for split in chosen],
        "seconds": time.perf_counter() - started,
        "runs": runs,
    }


def _trained(sets: list[DataSet], how: dict[str, Any], candidate: int, *, compile: bool) -> list[Split]:
    """Train one candidate on all splits, side by side."""
    (num_data, features), validation = sets[0].train[0].shape, [data.validation for data in sets]
    net = vds.ResidualMLP(features, 1, how["width"], how["max_depth"])
    likelihood = vds.likelihoods.Gaussian(0.5, learn_scale=True)
    model = vds.VDSModel(vds.Replicated(net, len(sets)), likelihood=likelihood, num_data=num_data)
    guide = vds.AutoCategorical(model)
    names = ("batch_size", "max_epochs", "patience", "momentum", "lr", "weight_decay")
    training: dict[str, Any] = {name: how[name] for name in names} | {"compile": compile, "progress": False}
    # Batches of equal size: batch norm over a last one of 2 points (concrete: 834 = 13 * 64 + 2) ruins each epoch.
    training["batch_size"] = math.ceil(num_data / max(1, round(num_data / how["batch_size"])))
    train = [data.train for data in sets]
    history = vds.fit(model, guide, train, validation=[part for part in validation if part is not None], **training)
    records = [history.replicate(r) for r in range(len(sets))]
    best = [int(record.best_epoch) for record in records if isinstance(record.best_epoch, int)]
    return [
        Split(one, its_guide, float(record.validation["log_prob"][epoch]), epoch, candidate)
        for (one, its_guide), record, epoch in zip(vds.replicates(model, guide), records, best, strict=True)
    ]


def _test(split: Split, data: DataSet) -> dict[str, Any]:
    """Measure one split on its test part, in the units of the data; the intervals do not depend on them."""
    depth = vds.choose_depth(split.guide.probs()["depth"])
    found = measure_test(split.model, split.guide, data.test, cut={"depth": depth}, target_std=data.target_std)
    return {
        "test": found["test"],
        "chosen_depth": depth,
        "q": split.guide.probs()["depth"].tolist(),
        "validation_log_likelihood": split.validation,
        "pit": vds.predict_pit(split.model, split.guide, *data.test),
    }


def _summary(measures: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean and standard error over splits, and the standard deviation that the paper gives."""
    values = {name: [m[name] for m in measures] for name in ("log_likelihood", "rmse")}
    return {
        name: {"mean": mean(v), "standard_error": stdev(v) / len(v) ** 0.5, "std": stdev(v)}
        for name, v in values.items()
    }
