"""Every private door of torch and Pyro that the package goes through, in one place.

Each function says why it needs the door; ``tests/ops/test_compat.py`` says what would break without it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

import pyro
import torch
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor, nn
from torch.distributions import Distribution


def collects_parameters() -> bool:
    """Return whether a handler collects parameters of Pyro's global store, as ``pyro.infer.SVI`` does.

    Pyro has no public way to ask which handlers are active.
    """
    return any(getattr(handler, "param_only", False) for handler in _PYRO_STACK)


def is_enumerated(value: Tensor) -> bool:
    """Return whether Pyro made a value by enumerating the support of a ``Categorical``.

    Pyro marks it with an attribute of its own; looking at the values instead would wait for the device.
    """
    return hasattr(value, "_pyro_categorical_support")


@contextmanager
def checks_of_distributions() -> Iterator[None]:
    """Keep the argument checks of ``torch.distributions``, which the compiler turns off for good.

    The current setting can only be read from the class.
    """
    validate = Distribution._validate_args
    try:
        yield
    finally:
        Distribution.set_default_validate_args(validate)


class _Unchecked:
    """How many blocks run without checks of arguments, and the settings to return to."""

    lock = Lock()
    blocks = 0
    settings = ExitStack()


@contextmanager
def without_checks_of_arguments() -> Iterator[None]:
    """Run without the argument checks of Pyro and ``torch.distributions``, which look at values.

    The settings are global: of several threads the first one turns the checks off, and the last one on again. The
    compiler traces without these checks anyway, and cannot follow a change of the setting.
    """
    if torch.compiler.is_dynamo_compiling():
        yield
        return
    with _Unchecked.lock:
        if not _Unchecked.blocks:
            _Unchecked.settings.enter_context(pyro.validation_enabled(False))
        _Unchecked.blocks += 1
    try:
        yield
    finally:
        with _Unchecked.lock:
            _Unchecked.blocks -= 1
            if not _Unchecked.blocks:
                _Unchecked.settings.close()


def fix_address(tensor: Tensor) -> None:
    """Tell the compiler that a tensor stays where it is, so that a CUDA graph need not copy it in."""
    torch._dynamo.mark_static_address(tensor)


def copy_tensors(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Copy many tensors at once, by a few kernels."""
    torch._foreach_copy_(targets, sources)


def in_place_changes(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place, which tells of a module that overwrites its input."""
    return tensor._version


def input_hooks(module: nn.Module) -> dict[int, Any]:
    """Return the hooks that run before a module's forward pass, by the number of their handle."""
    return module._forward_pre_hooks
