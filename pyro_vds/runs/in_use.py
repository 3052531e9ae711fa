"""Which settings a run uses; the others have values that nothing reads."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from pyro_vds.runs.networks import GRAPHS
from pyro_vds.runs.settings import Settings

_IMAGES = ("mnist", "fashion_mnist", "svhn", "cifar10")
_OF_DATA: dict[str, tuple[str, ...]] = {
    "data_root": (*_IMAGES, "uci"),
    "pixels": _IMAGES,
    "data_path": ("npz", "table"),
    "target": ("table",),
    **dict.fromkeys(("uci_name", "split"), ("uci",)),
    **dict.fromkeys(("num_points", "train_fraction", "rotation", "noise", "noise_kind"), ("spirals",)),
}
"""The data sets that have a setting."""


def _is_residual(settings: Settings) -> bool:
    return settings.network == "residual"


def _is_graph(settings: Settings) -> bool:
    return settings.network in GRAPHS


def _is_torchvision(settings: Settings) -> bool:
    return not _is_residual(settings) and not _is_graph(settings)


def _learns(settings: Settings) -> bool:
    """Return whether there is a posterior: not for a plain network."""
    return settings.readout != "last"


def _in_closed_form(settings: Settings) -> bool:
    return _learns(settings) and settings.guide_update == "closed_form"


def _by_gradient(settings: Settings) -> bool:
    return _learns(settings) and settings.guide_update == "gradient"


_IF: dict[str, Callable[[Settings], bool]] = {
    "pretrained": lambda s: _is_torchvision(s) and s.network != "vit",
    "frozen": _is_torchvision,
    "head_statistics": _is_residual,
    "readout": lambda s: not _is_graph(s),
    "recalibrate": lambda s: not _is_graph(s),
    "prior": _learns,
    "learn_prior": lambda s: _learns(s) and not _is_graph(s),
    "width_prior": lambda s: bool(s.widths),
    "guide": _learns,
    "threshold": lambda s: s.guide == "per_input",
    "rule": lambda s: _learns(s) and s.guide != "per_input",
    "guide_update": _learns,
    "block_rate": _learns,
    "weight_floor": _learns,
    **dict.fromkeys(("guide_lr", "guide_from"), _by_gradient),
    **dict.fromkeys(("anneal_epochs", "anneal_start", "tempered_num_data"), _in_closed_form),
    "gamma": lambda s: bool(s.milestones),
    "averaging_decay": lambda s: s.averaging == "ema",
    "averaging_start": lambda s: s.averaging is not None,
    "patience": lambda s: s.patience is not None and s.max_epochs is not None and s.patience < s.max_epochs,
}
"""When a setting that depends on others is in use."""


def settings_in_use(settings: Settings, input_shape: tuple[int, ...]) -> Mapping[str, Any]:
    """Return the settings that a run uses, by name, in their order; settings without a value are left out.

    Args:
        settings: The settings of a run, with the defaults filled in.
        input_shape: Shape of one input: images have three dimensions.
    """
    images = len(input_shape) == 3
    given = {field.name: getattr(settings, field.name) for field in fields(settings)}
    unused = {name for name, sets in _OF_DATA.items() if settings.data not in sets}
    unused |= {name for name, is_used in _IF.items() if not is_used(settings)}
    unused |= _unused_sizes(settings, images=images)
    return {name: value for name, value in given.items() if name not in unused and value not in (None, ())}


def _unused_sizes(settings: Settings, *, images: bool) -> set[str]:
    """Return the sizes of layers that the network does not have, or that the largest of the widths replaces."""
    used = {"channels"} if images and (not _is_torchvision(settings) or settings.network == "vit") else set()
    used |= {"bottleneck"} if images and _is_residual(settings) else set()
    used |= set() if images else {"width"}
    return {"width", "channels", "bottleneck"} - (used - {"width", "channels"} if settings.widths else used)
