"""One pass of the network over data, batch by batch, in eval mode."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.models.checks import ERRORS, check_lookups, check_pair, probe_outputs
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_batch_size, check_inputs
from pyro_vds.ops.inputs import at, moved, points, split, tensors
from pyro_vds.ops.loaders import require_every_point
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.rng import isolated_items
from pyro_vds.spaces.typing import Data, Inputs, InputsLike, Outputs, TargetsLike

BATCH_SIZE = 1024
OUTPUTS = 2**18  # the largest number of points times architectures in one pass over tensors


@dataclass(frozen=True)
class ReadOut:
    """A batch and its outputs from one forward pass.

    Attributes:
        x: Inputs on the model's device, ``(*batch_shape, batch, ...)``, of the kind that the user passed.
        y: Targets ``(*batch_shape, batch, ...)``; ``None`` without targets.
        outputs: Outputs of every architecture, ``(architecture, *batch_shape, batch, *event)``.
    """

    x: Inputs
    y: Tensor | None
    outputs: Outputs


def read_out(
    model: VDSModel,
    x: InputsLike | DataLoader,
    y: TargetsLike | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    targets: bool = True,
) -> Iterator[ReadOut]:
    """Run the network over inputs, in order, and yield each batch with its outputs.

    Tensors and arrays are checked as a whole before the first pass, the batches of a ``DataLoader`` one by one.

    Args:
        model: The model; it runs in eval mode, and has its own mode between batches.
        x: Inputs ``(N, ...)``, the same for every replicate; or a ``DataLoader`` of pairs, or of inputs if no
            targets are needed.
        y: Targets of the inputs; ``None`` for a ``DataLoader``.
        batch_size: The most points in one forward pass, fewer with more than 256 architectures; a ``DataLoader`` has
            its own.
        targets: Whether targets are needed.

    Raises:
        TypeError: If inputs or targets have the wrong type, or are missing.
        ValueError: If the data are empty, do not fit the model, or a ``DataLoader`` leaves points out, or the batch
            size is not positive.
    """
    device = model.device_tensor().device
    seen = False
    for inputs, labels in _pairs(model, x, y, batch_size, targets):
        seen = True
        inputs = model.shared(moved(inputs, device))
        labels = None if labels is None else model.shared(labels.to(device))
        yield ReadOut(inputs, labels, _outputs(model, inputs))
    if not seen:
        raise ValueError("Expected a DataLoader with at least one batch, got none.")


def read_out_replicates(model: VDSModel, data: Data, *, batch_size: int = BATCH_SIZE) -> Iterator[ReadOut]:
    """Run the network over data that each replicate may have of its own, and yield each batch with its outputs.

    Args:
        model: The model; it runs in eval mode.
        data: Checked inputs and targets ``(*batch_shape, N, ...)`` on the model's device.
        batch_size: Points in one forward pass.
    """
    for x, y in zip(*(split(part, batch_size, len(model.batch_shape)) for part in data), strict=True):
        yield ReadOut(x, y, _outputs(model, x))


def _outputs(model: VDSModel, x: Inputs) -> Tensor:
    """Return the outputs of every architecture; a single point explains why inputs do not fit the network."""
    try:
        with eval_mode(model), torch.inference_mode():
            outputs = model.outputs(x)
    except ERRORS:
        probe_outputs(model, x)
        raise
    leading = (model.space.count, *tensors(x)[0].shape[: len(model.batch_shape) + 1])
    if outputs.shape[: len(leading)] != leading:
        probe_outputs(model, x)
    return outputs


def _pairs(
    model: VDSModel, x: InputsLike | DataLoader, y: TargetsLike | None, batch_size: int, targets: bool
) -> Iterator[tuple[Inputs, Tensor | None]]:
    """Yield checked batches on their original device."""
    check_batch_size(batch_size)
    if isinstance(x, DataLoader):
        if y is not None:
            raise TypeError("Expected only a DataLoader, which yields its own targets, got targets y too. Leave out y.")
        yield from _loaded(model, x, targets)
        return
    if targets and y is None:
        raise TypeError("Expected targets for the inputs, got none. Pass y, or a DataLoader of pairs.")
    inputs, labels = model.as_inputs(x), model.as_targets(y) if targets and y is not None else None
    _check(model, inputs, labels)
    size = max(1, min(batch_size, OUTPUTS // model.space.count))
    for start in range(0, points(inputs), size):
        part = slice(start, start + size)
        yield at(inputs, part), None if labels is None else labels[part]


def _loaded(model: VDSModel, loader: DataLoader, targets: bool) -> Iterator[tuple[Inputs, Tensor | None]]:
    """Yield the batches of a DataLoader; each is checked against the outputs of the first."""
    require_every_point(loader)
    outputs = None
    for batch in isolated_items(loader):
        x, y = model.as_pair(batch, "the batches of a DataLoader") if targets else (_inputs(model, batch), None)
        check_inputs(x)
        check_lookups(model, model.shared(x))
        if y is not None:
            outputs = probe_outputs(model, model.shared(x)) if outputs is None else outputs
            check_pair(model, model.shared(x), model.shared(y), outputs)
        yield x, y


def _inputs(model: VDSModel, batch: Any) -> Inputs:
    """Return the inputs of a batch that may have targets: a list of two is a pair of inputs and targets.

    Raises:
        TypeError: If it has other parts.
    """
    if isinstance(batch, tuple | list) and len(batch) == 1:
        return model.as_inputs(batch[0])
    if isinstance(batch, tuple | list):
        return model.as_pair(batch, "the batches of a DataLoader")[0]
    return model.as_inputs(batch)


def _check(model: VDSModel, x: Inputs, y: Tensor | None) -> None:
    """Raise unless inputs, and targets if given, fit the model."""
    check_inputs(x)
    check_lookups(model, model.shared(x))
    if y is not None:
        check_pair(model, model.shared(x), model.shared(y), probe_outputs(model, model.shared(x)))
