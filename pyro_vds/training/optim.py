"""From settings to a torch optimiser and its schedule, alike for eager and compiled steps."""

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import (
    ASGD,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, ReduceLROnPlateau

from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.tensors import at_least_float32
from pyro_vds.training.config import TrainingConfig

PAPER_LR, PAPER_MOMENTUM = 0.1, 0.5

# They treat each number by itself: it does not matter which tensor a number lies in.
ELEMENTWISE = (ASGD, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop, Rprop)


def parameter_groups(model: VDSModel, guide: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """Return the parameters of network, rest of the model, and guide, each with the settings that are its own.

    Weight decay holds for the network alone, and the guide may have a learning rate of its own.

    Args:
        model: The model.
        guide: Its guide.
        config: The settings of training.
    """
    common = {name: value for name in ("lr", "momentum") if (value := getattr(config, name)) is not None}
    decay = {} if config.weight_decay is None else {"weight_decay": config.weight_decay}
    guide_lr = {} if config.guide_lr is None else {"lr": config.guide_lr}
    shared = set(model.parameters())  # a guide may look at inputs through the network's own stem
    others = [p for name, p in model.named_parameters() if not name.startswith("backbone.")]
    groups: list[dict[str, Any]] = [
        {"params": list(model.backbone.parameters())} | common | decay,
        {"params": others, "weight_decay": 0.0} | common,
        {"params": [p for p in guide.parameters() if p not in shared], "weight_decay": 0.0} | common | guide_lr,
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(groups: list[dict[str, Any]], config: TrainingConfig, *, replicates: bool) -> Optimizer:
    """Return the optimiser of some parameter groups.

    Args:
        groups: Parameters with their settings, as torch takes them.
        config: The settings of training.
        replicates: Whether the parameters are those of replicates, which must not mix.

    Raises:
        TypeError: If what the settings make is no torch optimiser.
        ValueError: If it lacks a setting, calls the loss itself, or would mix replicates.
    """
    make = config.optimizer or partial(SGD, lr=PAPER_LR, momentum=PAPER_MOMENTUM)
    _refuse_closure(_target(make))  # before it is made: LBFGS takes no groups
    optimizer = make(groups)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"Expected optimizer to make a torch.optim.Optimizer, got {type(optimizer).__name__}.")
    name = type(optimizer).__name__
    _refuse_closure(type(optimizer))
    for setting in ("momentum", "weight_decay"):
        if getattr(config, setting) is not None and setting not in optimizer.defaults:
            raise ValueError(
                f"Expected an optimiser with a {setting}, got {name}. Leave {setting} out, and give {name} its own "
                f"settings: functools.partial({name}, ...)."
            )
    if replicates and type(optimizer) not in ELEMENTWISE:
        raise ValueError(
            f"Expected an optimiser that treats each number by itself for replicates, such as SGD or AdamW; got "
            f"{name}. Train the replicates one by one with it."
        )
    return optimizer


def merged(groups: list[dict[str, Any]], optimizer: Optimizer, config: TrainingConfig) -> list[dict[str, Any]]:
    """Return the groups of what learns, those with the same settings and type as one, so that a step has few tensors.

    Args:
        groups: Parameters with their settings.
        optimizer: Has the settings that a group does not name.
        config: The settings of training; with a scheduler of its own the groups stay, which it may tell apart.
    """
    found: list[dict[str, Any]] = []
    for group in groups:
        own = {name: value for name, value in group.items() if name != "params"}
        by_type: dict[torch.dtype, list[Any]] = {}
        for parameter in group["params"]:
            by_type.setdefault(parameter.dtype, []).extend([parameter] * parameter.requires_grad)
        for dtype, learning in by_type.items():
            alike = [
                other
                for other in found
                if optimizer.defaults | other | {"params": None} == optimizer.defaults | own | {"params": None}
                and other["params"][0].dtype == dtype
            ]
            if alike and config.scheduler in (None, "cosine"):
                alike[0]["params"].extend(learning)
            elif learning:
                found.append(own | {"params": learning})
    return found


def prefer_fused(optimizer: Optimizer) -> None:
    """Let an optimiser that has a fused kernel use it, unless it was told otherwise.

    Args:
        optimizer: A new optimiser that has made no step.
    """
    for group in optimizer.param_groups if type(optimizer) in (SGD, Adam, AdamW) else []:
        told = group["fused"] is not None or group["foreach"] or group["differentiable"]
        devices = {p.device.type for p in group["params"]}
        group["fused"] = group["fused"] if told else devices <= {"cpu", "cuda"}


class Schedule:
    """The learning rate over epochs.

    Args:
        optimizer: The optimiser whose groups it changes.
        config: The settings of training.
        replicates: Whether the run has replicates.

    Raises:
        TypeError: If what the settings make is no schedule of torch.
        ValueError: If it goes by a value, of which replicates have many.
    """

    def __init__(self, optimizer: Optimizer, config: TrainingConfig, *, replicates: bool) -> None:
        if config.scheduler is None:
            self.scheduler = MultiStepLR(optimizer, list(config.milestones), config.gamma)
        elif config.scheduler == "cosine":
            self.scheduler = CosineAnnealingLR(optimizer, T_max=config.max_epochs)
        else:
            self.scheduler = config.scheduler(optimizer)
        if not isinstance(self.scheduler, LRScheduler):
            kind = type(self.scheduler).__name__
            raise TypeError(f"Expected scheduler to make one of torch.optim.lr_scheduler, got {kind}.")
        if replicates and isinstance(self.scheduler, ReduceLROnPlateau):
            raise ValueError(
                "Expected a schedule by the epoch for replicates, which share one learning rate; got "
                "ReduceLROnPlateau. Use another one, or train the replicates one by one."
            )

    def step(self, value: Tensor) -> None:
        """Go on to the next epoch.

        Args:
            value: What decides early stopping, larger is better; one that waits for a smaller value sees its negative.
        """
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(float(-value if self.scheduler.mode == "min" else value))
        else:
            self.scheduler.step()


def check_makers(config: TrainingConfig) -> None:
    """Make optimiser and schedule for stand-ins of the parameters, so that wrong settings show before any work.

    Args:
        config: The settings of training.

    Raises:
        TypeError: If they are not made by what the settings name.
        ValueError: If a setting is out of range, or the optimiser lacks it.
    """
    parameters = nn.ParameterList(torch.zeros(1, 1) for _ in range(3))
    groups = [{"params": [parameter]} for parameter in parameters]
    Schedule(make_optimizer(groups, config, replicates=False), config, replicates=False)


def clipped(gradients: Sequence[Tensor], largest: float, *, replicates: bool) -> list[Tensor]:
    """Return gradients scaled down to a norm, as ``torch.nn.utils.clip_grad_norm_`` does.

    Args:
        gradients: The gradient in parts.
        largest: The largest norm over all parts.
        replicates: Whether the first dimension of each part is that of replicates, each with a norm of its own.
    """
    rows = len(gradients[0]) if replicates else 1
    squares = torch.stack([at_least_float32(g).reshape(rows, -1).square().sum(1) for g in gradients]).sum(0)
    factor = (largest / (squares.sqrt() + 1e-6)).clamp(max=1.0)
    return [(g * (factor.reshape(-1, *[1] * (g.ndim - 1)) if replicates else factor[0])).to(g) for g in gradients]


def spelled(make: Any) -> Any:
    """Return an optimiser or a schedule in plain words that ``--config`` reads back.

    Args:
        make: A class, a ``functools.partial`` of one, a function of a module, a word such as ``"cosine"``, or ``None``.

    Returns:
        ``{"class_path": ..., "init_args": {...}}``; the import path of a function; a word as it is.

    Raises:
        TypeError: If it has no name to import it by.
    """
    if make is None or isinstance(make, str):
        return make
    target = _target(make)
    arguments = dict(make.keywords) if isinstance(make, partial) else {}
    name = getattr(target, "__qualname__", "<")
    if "<" in name or (arguments and not inspect.isclass(target)):
        raise TypeError(
            f"Expected a class, a functools.partial of one, or a function of a module to write down, got {make!r}."
        )
    path = f"{target.__module__}.{name}"
    return {"class_path": path, "init_args": _plain(arguments)} if inspect.isclass(target) else path


def _target(make: Any) -> Any:
    """Return the class or function that a partial goes to, the command line's own partials included."""
    parts = (make.func, *make.args) if isinstance(make, partial) else (make,)
    return next((part for part in reversed(parts) if inspect.isclass(part)), parts[0])


def _refuse_closure(kind: Any) -> None:
    """Raise if an optimiser calls the loss itself, several times in a step."""
    step = inspect.signature(kind.step).parameters if inspect.isclass(kind) and issubclass(kind, Optimizer) else {}
    if "closure" in step and step["closure"].default is inspect.Parameter.empty:
        raise ValueError(
            f"Expected an optimiser that needs one gradient in a step, got {kind.__name__}, which evaluates the loss "
            "several times. Use for example torch.optim.AdamW."
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, tuple | list) else value
