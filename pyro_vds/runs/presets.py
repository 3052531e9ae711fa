"""The settings of a run that its user does not name: by preset and data set."""

from typing import Any, Literal

from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.optim import PAPER_LR, PAPER_MOMENTUM
from pyro_vds.training.recipe import RECIPE

PresetName = Literal["paper", "recipe"]

# Fields of training whose default a preset or a data set decides, and which have one in TrainingConfig.
DECIDED = (
    "max_epochs", "batch_size", "patience", "milestones", "guide_update", "guide_from", "block_rate", "weight_floor"
)  # fmt: skip

_USUAL: dict[str, Any] = {
    "max_depth": 20,
    "validation_fraction": 0.0,
    **{name: getattr(TrainingConfig, name) for name in DECIDED},
    **{"lr": PAPER_LR, "momentum": PAPER_MOMENTUM, "weight_decay": 0.0, "scheduler": None},
}
_IMAGES: dict[str, Any] = {"max_depth": 50, "validation_fraction": 0.1}
# A regression also learns its noise scale, and steps grow as the scale shrinks: the learning rate is smaller.
_REGRESSION: dict[str, Any] = {"max_depth": 5, "lr": 0.01}
_TABLE: dict[str, Any] = _REGRESSION | {"validation_fraction": 0.1, "batch_size": 64}

# What both presets share.
_DATA: dict[str, dict[str, Any]] = {
    "spirals": {},
    "digits": {"max_depth": 8, "validation_fraction": 0.1, "batch_size": 128},
    "diabetes": _TABLE,
    "gap_1d": _REGRESSION,
    "mnist": _IMAGES,
    "fashion_mnist": _IMAGES,
    "svhn": _IMAGES,
    "cifar10": _IMAGES,
    "uci": _TABLE,
    "npz": {"max_depth": 10},
    "table": {"max_depth": 10},
}
_PAPER_IMAGES: dict[str, Any] = {"max_epochs": 500, "patience": 30, "milestones": (30,)}
_PAPER_TABLE: dict[str, Any] = {"max_epochs": 500, "patience": 60}
_RECIPE_IMAGES: dict[str, Any] = {"max_epochs": 30, "batch_size": 128}
_PRESETS: dict[PresetName, dict[str, dict[str, Any]]] = {
    "paper": {
        "spirals": {},
        "digits": {"max_epochs": 60, "patience": 15},
        "diabetes": _PAPER_TABLE,
        "gap_1d": {"max_epochs": 3000, "patience": 300},
        "mnist": _PAPER_IMAGES,
        "fashion_mnist": _PAPER_IMAGES,
        "svhn": _PAPER_IMAGES,
        "cifar10": _PAPER_IMAGES,
        "uci": _PAPER_TABLE,
        "npz": {"max_epochs": 1000, "patience": 100},
        "table": {"max_epochs": 1000, "patience": 100},
    },
    "recipe": {
        "spirals": {"max_epochs": 500, "batch_size": 50, "momentum": 0.5, "weight_floor": 0.5},
        "digits": {"max_epochs": 60},
        "diabetes": {"max_epochs": 200},
        "gap_1d": {"max_epochs": 2000},
        "mnist": _RECIPE_IMAGES,
        "fashion_mnist": _RECIPE_IMAGES,
        "svhn": _RECIPE_IMAGES,
        "cifar10": _RECIPE_IMAGES,
        "uci": {"max_epochs": 200},
        "npz": {"max_epochs": 200, "batch_size": 64},
        "table": {"max_epochs": 200, "batch_size": 64},
    },
}


def defaults(preset: PresetName, data: str) -> dict[str, Any]:
    """Return the default of each setting that presets or data sets decide.

    The recipe's patience is ``None``: it trains for all its epochs.

    Args:
        preset: Name of the preset.
        data: Name of the data set.
    """
    common = {} if preset == "paper" else RECIPE | {"patience": None}
    return _USUAL | common | _DATA[data] | _PRESETS[preset][data]


def described(name: str) -> str:
    """Return the defaults of a setting in words, empty if no preset decides it.

    Args:
        name: Name of the setting.
    """
    if name not in _USUAL:
        return ""
    parts = [f"{preset}: {_by_data(name, preset)}" for preset in ("recipe", "paper")]
    return f" Default of {'; of '.join(parts)}."


def _by_data(name: str, preset: PresetName) -> str:
    """Return the defaults of a preset in words, the usual one first."""
    sets: dict[Any, list[str]] = {}
    for data in _DATA:
        sets.setdefault(defaults(preset, data)[name], []).append(data)
    usual, *others = sorted(sets, key=lambda value: -len(sets[value]))
    return ", ".join([str(usual), *(f"{value} for {' and '.join(sets[value])}" for value in others)])
