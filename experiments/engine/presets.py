"""The settings that several experiments share."""

from typing import Any

from experiments.engine.svhn import SVHN_TEST_DIGITS

REPEATS_SPIRALS, REPEATS_IMAGES = 6, 4

# What differs from the paper's settings; a batch is the whole training set.
SPIRALS: dict[str, Any] = {"data": "spirals", "batch_size": 1000}
LESS_NOISE: dict[str, Any] = SPIRALS | {"noise": 0.15}
TINY_SPIRALS: dict[str, Any] = {"num_points": 200, "max_epochs": 4, "width": 4, "max_depth": 2}

DATA_SETS = ("mnist", "fashion_mnist", SVHN_TEST_DIGITS)
DEPTHS_IMAGES = (*range(0, 55, 5), *range(60, 110, 10))
# A reduced form: a tenth of the images, a quarter of the channels, a short schedule.
CPU_IMAGES: dict[str, Any] = {
    "train_size": 6000,
    "channels": 16,
    "bottleneck": 8,
    "batch_size": 128,
    "max_epochs": 12,
    "milestones": (8,),
}
# Calibration needs networks that have converged: plain ones are under-confident before.
CPU_CONVERGED: dict[str, Any] = CPU_IMAGES | {"max_epochs": 40, "milestones": (25,), "channels_last": True}
DEPTHS_CPU, REPEATS_CPU = (0, 2, 4, 8, 12), 2
TINY_IMAGES: dict[str, Any] = {"train_size": 100, "channels": 4, "bottleneck": 2, "max_epochs": 1}
