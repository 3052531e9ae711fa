"""One pass of the network over data, batch by batch, in eval mode."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.models.checks import ERRORS, check_lookups, check_points, probe_outputs
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_batch_size, check_inputs
from pyro_vds.ops.data import of_each_part
from pyro_vds.ops.inputs import at, moved, points, split, tensors
from pyro_vds.ops.loaders import require_every_point
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.rng import isolated_items
from pyro_vds.spaces.typing import Array, Data, DataLike, Inputs, InputsLike, Outputs, TargetsLike, WeightedData

BATCH_SIZE = 1024
OUTPUTS = 2**18  # the largest number of points times architectures in one pass over tensors


@dataclass(frozen=True)
class ReadOut:
    """A batch and its outputs from one forward pass.

    Attributes:
        x: Inputs on the model's device, ``(*batch_shape, batch, ...)``, of the kind that the user passed.
        y: Targets ``(*batch_shape, batch, ...)``; ``None`` without targets.
        outputs: Outputs of every architecture, ``(architecture, *batch_shape, batch, *event)``.
        weight: The weight of each point in a log likelihood, ``(*batch_shape, batch)``; ``None`` without weights.
    """

    x: Inputs
    y: Tensor | None
    outputs: Outputs
    weight: Tensor | None = None


def read_out(
    model: VDSModel,
    x: InputsLike | DataLoader,
    y: TargetsLike | None = None,
    weight: Array | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    targets: bool = True,
) -> Iterator[ReadOut]:
    """Run the network over inputs, in order, and yield each batch with its outputs.

    Tensors and arrays are checked as a whole before the first pass, the batches of a ``DataLoader`` one by one.

    Args:
        model: The model; it runs in eval mode, and has its own mode between batches.
        x: Inputs ``(N, ...)``, the same for every replicate; or a ``DataLoader`` of pairs or triples, or of
            inputs if no targets are needed.
        y: Targets of the inputs; ``None`` for a ``DataLoader``.
        weight: The weight of each point; ``None`` without weights, and for a ``DataLoader``.
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
    for batch in _batches(model, x, y, weight, batch_size, targets):
        seen = True
        shared: tuple[Any, ...] = of_each_part(lambda part: model.shared(moved(part, device)), batch)
        labels, weights, *_ = (*shared[1:], None, None)
        yield ReadOut(shared[0], labels, _outputs(model, shared[0]), weights)
    if not seen:
        raise ValueError("Expected a DataLoader with at least one batch, got none.")


def read_data(model: VDSModel, data: DataLike | DataLoader, *, batch_size: int = BATCH_SIZE) -> Iterator[ReadOut]:
    """Run the network over data with targets, and weights if they have any, as :func:`read_out` does.

    Args:
        model: The model; it runs in eval mode.
        data: Inputs and targets, and weights if they have any; or a ``DataLoader`` of such pairs or triples.
        batch_size: The most points in one forward pass; a ``DataLoader`` has its own.

    Raises:
        TypeError: As :func:`read_out`.
        ValueError: As :func:`read_out`.
    """
    if isinstance(data, DataLoader):
        return read_out(model, data, batch_size=batch_size)
    x, y, *weight = model.as_data(data, "data")
    return read_out(model, x, y, *weight, batch_size=batch_size)


def read_out_replicates(
    model: VDSModel, data: Data | WeightedData, *, batch_size: int = BATCH_SIZE
) -> Iterator[ReadOut]:
    """Run the network over data that each replicate may have of its own, and yield each batch with its outputs.

    Args:
        model: The model; it runs in eval mode.
        data: Checked inputs, targets and weights, if any, ``(*batch_shape, N, ...)`` on the model's device.
        batch_size: Points in one forward pass.
    """
    for x, y, *weight in zip(*(split(part, batch_size, len(model.batch_shape)) for part in data), strict=True):
        yield ReadOut(x, y, _outputs(model, x), *weight)


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


def _batches(
    model: VDSModel,
    x: InputsLike | DataLoader,
    y: TargetsLike | None,
    weight: Array | None,
    batch_size: int,
    targets: bool,
) -> Iterator[tuple[Any, ...]]:
    """Yield checked inputs, and targets and weights if there are any, on their original device."""
    check_batch_size(batch_size)
    if isinstance(x, DataLoader):
        if y is not None:
            raise TypeError("Expected only a DataLoader, which yields its own targets, got targets y too. Leave out y.")
        yield from _loaded(model, x, targets)
        return
    if targets and y is None:
        raise TypeError("Expected targets for the inputs, got none. Pass y, or a DataLoader of pairs.")
    labels = () if not targets or y is None else (model.as_targets(y), model.as_weights(weight))
    parts = (model.as_inputs(x), *(part for part in labels if part is not None))
    _check(model, parts, None)
    size = max(1, min(batch_size, OUTPUTS // model.space.count))
    for start in range(0, points(parts[0]), size):
        yield of_each_part(partial(at, index=slice(start, start + size)), parts)


def _loaded(model: VDSModel, loader: DataLoader, targets: bool) -> Iterator[tuple[Any, ...]]:
    """Yield the batches of a DataLoader; each is checked against the outputs of the first."""
    require_every_point(loader)
    outputs = None
    for batch in isolated_items(loader):
        parts = model.as_data(batch, "the batches of a DataLoader") if targets else (_inputs(model, batch),)
        outputs = _check(model, parts, outputs)
        yield parts


def _inputs(model: VDSModel, batch: Any) -> Inputs:
    """Return the inputs of a batch that may have targets and weights: a list of two is inputs and targets.

    Raises:
        TypeError: If it has other parts.
    """
    if isinstance(batch, tuple | list) and len(batch) == 1:
        return model.as_inputs(batch[0])
    if isinstance(batch, tuple | list):
        return model.as_data(batch, "the batches of a DataLoader")[0]
    return model.as_inputs(batch)


def _check(model: VDSModel, parts: tuple[Any, ...], outputs: Outputs | None) -> Outputs | None:
    """Raise unless inputs, and targets and weights if given, fit the model; return outputs for checks of the next."""
    shared = of_each_part(model.shared, parts)
    check_inputs(parts[0])
    check_lookups(model, shared[0])
    if len(parts) == 1:
        return None
    outputs = probe_outputs(model, shared[0]) if outputs is None else outputs
    check_points(model, *shared, outputs=outputs)
    return outputs
