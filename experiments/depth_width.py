"""Fashion-MNIST: a posterior over depth and width in one run, beside the accuracy and cost of every pair."""

import time
from statistics import median
from typing import Any

import torch
from torch import Tensor

import pyro_vds as vds
from pyro_vds.guides.categorical import Guide
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.modes import eval_mode
from pyro_vds.runs.build import build, train
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.measures import measure
from pyro_vds.runs.settings import Settings
from pyro_vds.spaces.space import Architecture
from pyro_vds.spaces.typing import TensorPair

POINT = 0.01

SIZE: dict[str, Any] = {
    "data": "fashion_mnist",
    "max_depth": 6,
    "widths": (8, 16, 32),
    "bottleneck": 16,
    "max_epochs": 8,
    "milestones": (6,),
    "batch_size": 256,
    "validation_fraction": 0.1,
}
TINY: dict[str, Any] = {"data": "digits", "max_depth": 2, "widths": (4, 8), "bottleneck": 4, "max_epochs": 1}


def run(*, tiny: bool, data_root: str) -> dict[str, Any]:
    """Return the guide, the exact posterior's mode, and the error and multiply-adds of every pair on test data.

    Args:
        tiny: scikit-learn's digits, a small network and one epoch.
        data_root: Folder of Fashion-MNIST.
    """
    size = TINY if tiny else SIZE
    settings = Settings(preset="paper", **size, guide="joint", data_root=data_root).resolved()
    data = load_data(settings)
    model, guide = build(settings, DataSummary.of(data))
    history = train(settings, model, guide, data, progress=False)
    costs = vds.multiply_adds(model.backbone, data.test[0])
    errors = _errors(model, *data.test)
    exact = vds.exact_posterior(model, data.train).log_joint_probs
    pairs = {
        "chosen by the guide": vds.choose(model, guide, costs),
        "mode of the exact posterior": _pair(model, exact.argmax()),
        "lowest test error": _pair(model, errors.argmin()),
    }
    if data.validation is not None:
        held_out = _errors(model, *data.validation)
        near = costs.double().where(held_out <= held_out.min() + POINT, torch.inf)
        pairs["cheapest within a point on validation data"] = _pair(model, near.argmin())
    return {
        "settings": size,
        "epochs": len(history),
        "widths": model.coords["width"],
        "q_joint": guide.joint_probs().tolist(),
        "multiply_adds": costs.tolist(),
        "test_error": errors.tolist(),
        "full": measure(model, guide, data.test),
        "pairs": {name: _measured(model, guide, data.test, pair, costs) for name, pair in pairs.items()},
    }


def _errors(model: VDSModel, x: Tensor, y: Tensor) -> Tensor:
    """Return the error of each architecture alone."""
    with eval_mode(model), torch.inference_mode():
        parts = zip(x.split(500), y.split(500), strict=True)
        wrong = sum((model.outputs(inputs).argmax(-1) != labels).sum(1) for inputs, labels in parts)
    return (torch.as_tensor(wrong) / len(x)).reshape(model.sizes)


def _pair(model: VDSModel, flat: Tensor) -> Architecture:
    return model.space.architecture(int(flat))


def _measured(model: VDSModel, guide: Guide, test: TensorPair, pair: Architecture, costs: Tensor) -> dict[str, Any]:
    """Return what the network cut to a pair achieves, and what it costs."""
    small = vds.prune(model, guide, weights="posterior", disagreement=False, fold_batch_norm=False, **pair)
    index = model.space.index(pair)
    return {
        **pair,
        **measure(model, guide, test, cut=pair),
        "parameters": sum(p.numel() for p in small.parameters()),
        "share_of_multiply_adds": float(costs[index["depth"], index["width"]] / costs.max()),
        "milliseconds": _milliseconds(small, test[0][:256]),
    }


@torch.inference_mode()
def _milliseconds(network: torch.nn.Module, x: Tensor) -> float:
    """Return the median time of a forward pass."""
    times = []
    for _ in range(9):
        started = time.perf_counter()
        network(x)
        times.append(1000 * (time.perf_counter() - started))
    return median(times)
