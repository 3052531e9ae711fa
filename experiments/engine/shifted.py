"""Predictions for images unlike those of training: turned, noisy and blurred ones, and those of another data set."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from experiments.engine.compared import Compared
from experiments.engine.predictions import measured
from pyro_vds.datasets import corruptions
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.metrics.uncertainty import detect_outside

SIZE = 1000
# Degrees; standard deviation in units of the normalised pixels; standard deviation of the kernel in pixels.
LEVELS: dict[str, tuple[float, ...]] = {"rotation": (15, 30, 60), "noise": (0.25, 0.5, 1.0), "blur": (0.5, 1.0)}
SCORES = {"entropy": "total", "mutual_information": "mutual_information"}


def under_corruptions(compared: Compared, data: DataSet) -> list[dict[str, Any]]:
    """Return the measures of every row at each level of each corruption, for 1,000 test images.

    Args:
        compared: The method.
        data: The data set.
    """
    x, y = (part[:SIZE] for part in data.test)
    black = -float(data.mean.mean() / data.std.mean())
    corrupt: dict[str, Callable[[Tensor, float], Tensor]] = {
        "rotation": lambda images, level: corruptions.rotate(images, level, fill=black),
        "noise": lambda images, level: corruptions.gaussian_noise(images, level, seed=0),
        "blur": corruptions.blur,
    }
    found = []
    for kind, levels in LEVELS.items():
        for level in levels:
            rows = compared.predict((corrupt[kind](x, level), y))
            found.append(
                {"kind": kind, "level": level, "rows": {name: measured(row, y, data) for name, row in rows.items()}}
            )
    return found


def detection(compared: Compared, data: DataSet, outside: Tensor) -> dict[str, dict[str, float]]:
    """Return the AUROC of every row by the entropy and the mutual information of its components.

    The mutual information of a single network is zero for all images, and its AUROC a half.

    Args:
        compared: The method.
        data: The data set, of whose test images the first 1,000 are the inside.
        outside: Images of another data set.
    """
    inside = compared.predict((data.test[0][:SIZE], data.test[1][:SIZE]))
    others = compared.predict((outside, torch.zeros(len(outside), dtype=torch.long)))
    return {
        name: {score: detect_outside(inside[name][part], others[name][part]).auroc for score, part in SCORES.items()}
        for name in inside
    }
