"""A rehearsal of training: before a network trains, a copy of it runs on two points in training mode."""

import pickle
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vds.models.checks import first_outputs
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.copies import copied
from pyro_vds.ops.inputs import first_points, mapped, moved
from pyro_vds.ops.parts import PART_ERRORS
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import Inputs
from pyro_vds.training.config import TrainingConfig

RUNS = 4


def rehearsed(model: VDSModel, x: Inputs, config: TrainingConfig) -> TrainingConfig:
    """Return the settings with which a network can train.

    A part that overwrites its input in training mode is refused here, before it meets the data. A network that draws
    numbers with Python's or NumPy's generators trains without compilation, which would draw them once and for all.

    Args:
        model: The model, which is not changed.
        x: Training inputs ``(*batch_shape, N, ...)``.
        config: The settings of training.

    Raises:
        OverwrittenInputError: If a part of the network changes its input in training mode.
        TypeError: If a part does not return a tensor in training mode.
    """
    if not config.compile:
        if not model.space.with_sites:  # whose table is long; the parts of a graph ran when it was built
            _run(model, x)
        return config
    if not _draws_outside_torch(model, x):
        return config
    warnings.warn(
        "Expected a network that draws random numbers by torch, got one that draws them in another way, such as "
        "Python's random or NumPy, which compilation would draw once and keep. Training continues without compilation.",
        RuntimeWarning,
        stacklevel=4,
    )
    return config.changed(compile=False)


def _draws_outside_torch(model: VDSModel, x: Inputs) -> bool:
    """Return whether generators other than torch's moved, or runs with the same torch generator differ."""
    results = [_run(model, x) for _ in range(RUNS)]
    if any(moved for _, moved in results):
        return True
    outputs = [found for found, _ in results if found is not None]
    # Some kernels add in any order: rounding is no difference.
    return not all(torch.allclose(found, outputs[0], rtol=1e-3, atol=1e-5, equal_nan=True) for found in outputs)


@torch.no_grad()
def _run(model: VDSModel, x: Inputs) -> tuple[Tensor | None, bool]:
    """Return the outputs of a copy for two points, ``None`` if it fails; and whether Python's generators moved."""
    network, device = copied(model.backbone).train(), model.device_tensor().device
    two = mapped(torch.clone, moved(first_points(x, 2, len(model.batch_shape)), device))
    with isolated_rng(device), _python_generators_restored():
        before = _states(network)
        try:
            outputs = first_outputs(network, model.space, two)[0]
        except PART_ERRORS:
            raise
        except (RuntimeError, ValueError):  # it needs more points, or fails in training with a message of its own
            outputs = None
        return outputs, _states(network) != before


@contextmanager
def _python_generators_restored() -> Iterator[None]:
    """Restore the global generators of Python and NumPy afterwards."""
    of_python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)  # noqa: NPY002


def _states(network: nn.Module) -> bytes:
    """Return the states of the global generators of Python and NumPy, and of those that modules hold."""
    kinds = (random.Random, np.random.Generator, np.random.RandomState)
    held: list[Any] = [v for child in network.modules() for v in vars(child).values() if isinstance(v, kinds)]
    return pickle.dumps([random.getstate(), np.random.get_state(), *held])  # noqa: NPY002
