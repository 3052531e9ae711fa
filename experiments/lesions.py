"""Lesions: blocks deleted and reordered, and gradients along paths, of learnt depth and plain networks.

The claims are those of Veit, Wilber and Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow
Networks", 2016 (arXiv 1605.06431). Data and sizes: MNIST averaged to 14 x 14, 2,000 training and 1,000 test images
drawn by the seed, ten blocks of 32 channels, SGD with a tenth of the learning rate after two thirds of the epochs.

The protocol, written before the runs: the number of epochs of stochastic depth (18) and of the network without skips
(20, five blocks) are those at which they had the validation error of the plain network (5 to 7 %) with seed 100, which
is used for nothing else. Six epochs, as the others have, leave both under-trained. The plain network with 18 epochs
was added after the first table was read, to tell stochastic depth from longer training. Every mask of deleted blocks is
measured, so that the means over masks are exact; reorderings and paths are drawn.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

import pyro_vds as vds
from experiments.engine.lesioned import build_network
from experiments.engine.small_images import small_images
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.spaces.typing import TensorPair
from pyro_vds.sweeps import Grid, Resources, Scan, product

NETWORKS: list[dict[str, Any]] = [
    {"network": "learnt", "max_depth": 10, "max_epochs": 6, "lr": 0.1},
    {"network": "plain", "max_depth": 10, "max_epochs": 6, "lr": 0.1},
    {"network": "plain", "max_depth": 10, "max_epochs": 18, "lr": 0.1},
    {"network": "stochastic_depth", "max_depth": 10, "max_epochs": 18, "lr": 0.1},
    {"network": "no_skips", "max_depth": 5, "max_epochs": 20, "lr": 0.05},
]
MEASURES = ["log_likelihood", "error"]
PATH_POINTS, PATHS = 200, 20


def measure_network(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train a network with one seed, and measure its lesions on test images.

    Args:
        values: ``data``, ``network``, ``max_depth``, ``max_epochs``, ``lr``, ``seed``, ``channels``, ``train_size``,
            ``test_size`` and ``draws``.
        repeats: Not used: a seed is a repeat.
        resources: Where the files of data sets are; the networks train on the CPU.
    """
    data, epochs, seed = _load(values, resources.data_root), values["max_epochs"], values["seed"]
    x, _ = data.train
    network = build_network(values["network"], values["max_depth"], values["channels"], x[:1], seed=seed)
    model = vds.VDSModel(network, num_data=len(x))
    guide = vds.AutoCategorical(model) if model.space else None
    started = time.perf_counter()
    vds.fit(
        model,
        guide,
        data.train,
        max_epochs=epochs,
        batch_size=128,
        lr=values["lr"],
        momentum=0.9,
        guide_lr=1.0,
        milestones=(max(1, 2 * epochs // 3),),
        seed=seed,
        progress=False,
    )
    content: dict[str, Any] = {"settings": dict(values), "seconds_of_training": time.perf_counter() - started}
    study = vds.lesion_study(model, guide, data.test, draws=values["draws"], seed=seed)
    content |= _numbers(study) | {"prefix": _prefixes(model, guide, data.test)}
    if guide is not None:
        content |= _posterior(model, guide, data.train) | {"mass_above": study["mass_above"].to_numpy().tolist()}
    if values["network"] != "no_skips":
        points = [part[:PATH_POINTS] for part in data.train]
        content["path_gradient"] = vds.path_gradients(model, *points, draws=PATHS, seed=seed).tolist()
    return content


def _load(values: Mapping[str, Any], data_root: str) -> DataSet:
    sizes = {"train_size": values["train_size"]}
    if values["data"] == "digits":
        return vds.datasets.digits(**sizes, generator=torch.Generator().manual_seed(values["seed"]))
    how: dict[str, Any] = sizes | {"validation": 0.0, "test_size": values["test_size"]}
    return small_images(values["data"], data_root, values["seed"], **how)


def _numbers(study: xr.Dataset) -> dict[str, Any]:
    """Return the measures of each prediction: of the whole network, and over blocks, numbers of blocks and orders."""
    study = study.sel(measure=MEASURES)
    deleted = study["random"]
    parts = {
        "intact": study["intact"],
        "single": study["single"],
        "deleted": deleted.mean("draw"),
        "deleted_std": deleted.std("draw"),
        "reordered": study["reordered"],
    }
    names = [str(name) for name in study["prediction"].to_numpy()]
    found: dict[str, Any] = {
        part: {
            name: {m: values.sel(prediction=name, measure=m).to_numpy().tolist() for m in MEASURES} for name in names
        }
        for part, values in parts.items()
    }
    return found | {"tau": study["tau"].to_numpy().tolist(), "exact": study["exact"].to_numpy().tolist()}


def _prefixes(model: vds.VDSModel, guide: vds.AutoCategorical | None, test: TensorPair) -> dict[str, list[float]]:
    """Return the measures with all blocks above each depth deleted, of all read-outs that there are."""
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    for depth in range(model.backbone.max_depth + 1):
        network = vds.lesion(model.backbone, keep=[i < depth for i in range(model.backbone.max_depth)])
        cut = vds.VDSModel(network, priors=model.priors, num_data=model.num_data)
        (scores,) = vds.predict(cut, guide, *test, want=["metrics"])
        found["log_likelihood"].append(float(scores["log_prob"].double().mean()))
        found["error"].append(float(scores["error"].double().mean()))
    return found


def _posterior(model: vds.VDSModel, guide: vds.AutoCategorical, train: TensorPair) -> dict[str, Any]:
    """Return the posterior over depth."""
    q, exact = guide.probs()["depth"].detach(), vds.exact_posterior(model, train)
    return {
        "q": _listed(q),
        "exact_posterior": _listed(exact.probs["depth"]),
        "gap": float(exact.gap(guide)),
        "chosen_depth": vds.choose_depth(q),
    }


def _listed(values: Tensor) -> list[float]:
    return np.asarray(values.double().cpu()).tolist()


SIZE = {"channels": 32, "train_size": 2000, "test_size": 1000, "draws": 252}
SMALL = [n | {"max_depth": 2, "max_epochs": n["max_epochs"] // 6} for n in NETWORKS]
SCAN = Scan(
    measure=measure_network,
    # 252 = C(10, 5): all masks.
    paper=Grid(product({"data": ("mnist",)}, NETWORKS, {"seed": range(5)}), SIZE),
    tiny=Grid(
        product({"data": ("digits",)}, SMALL, {"seed": (0, 1)}), SIZE | {"channels": 4, "train_size": 150, "draws": 2}
    ),
)
