"""One pass of the network over data, batch by batch, in eval mode."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.models.checks import check_points, probe_outputs
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_batch_size, check_inputs
from pyro_vds.ops.loaders import require_every_point
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.rng import isolated_items
from pyro_vds.ops.tensors import as_data
from pyro_vds.spaces.typing import Data, Outputs, WeightedData

BATCH_SIZE = 1024
OUTPUTS = 2**18  # the largest number of points times architectures in one pass over tensors


@dataclass(frozen=True)
class ReadOut:
    """A batch and its outputs from one forward pass.

    Attributes:
        x: Inputs on the model's device, ``(*batch_shape, batch, ...)``.
        y: Targets ``(*batch_shape, batch, ...)``; ``None`` without targets.
        outputs: Outputs of every architecture, ``(architecture, *batch_shape, batch, *event)``.
        weight: The weight of each point in a log likelihood, ``(*batch_shape, batch)``; ``None`` without weights.
    """

    x: Tensor
    y: Tensor | None
    outputs: Outputs
    weight: Tensor | None = None


def read_out(
    model: VDSModel,
    x: Tensor | DataLoader,
    y: Tensor | None = None,
    weight: Tensor | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    targets: bool = True,
) -> Iterator[ReadOut]:
    """Run the network over inputs, in order, and yield each batch with its outputs.

    Tensors are checked as a whole before the first pass, the batches of a ``DataLoader`` one by one.

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
        inputs, labels, weights = (None if part is None else model.shared(part.to(device)) for part in batch)
        assert inputs is not None
        yield ReadOut(inputs, labels, _outputs(model, inputs), weights)
    if not seen:
        raise ValueError("Expected a DataLoader with at least one batch, got none.")


def read_data(
    model: VDSModel, data: Data | WeightedData | DataLoader, *, batch_size: int = BATCH_SIZE
) -> Iterator[ReadOut]:
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
    x, y, *weight = as_data(data, "data")
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
    for x, y, *weight in zip(*(part.split(batch_size, len(model.batch_shape)) for part in data), strict=True):
        yield ReadOut(x, y, _outputs(model, x), *weight)


def _outputs(model: VDSModel, x: Tensor) -> Tensor:
    """Return the outputs of every architecture; a single point explains why inputs do not fit the network."""
    try:
        with eval_mode(model), torch.inference_mode():
            outputs = model.outputs(x)
    except (RuntimeError, ValueError):
        probe_outputs(model, x)
        raise
    leading = (model.space.count, *x.shape[: len(model.batch_shape) + 1])
    if outputs.shape[: len(leading)] != leading:
        probe_outputs(model, x)
    return outputs


_Batch = tuple[Tensor, Tensor | None, Tensor | None]


def _batches(
    model: VDSModel,
    x: Tensor | DataLoader,
    y: Tensor | None,
    weight: Tensor | None,
    batch_size: int,
    targets: bool,
) -> Iterator[_Batch]:
    """Yield checked inputs, targets and weights on their original device."""
    check_batch_size(batch_size)
    if isinstance(x, DataLoader):
        if y is not None:
            raise TypeError("Expected only a DataLoader, which yields its own targets, got targets y too. Leave out y.")
        yield from _loaded(model, x, targets)
        return
    if targets and y is None:
        raise TypeError("Expected targets for the inputs, got none. Pass y, or a DataLoader of pairs.")
    parts = (x, *([y] if targets and y is not None else []), *([] if weight is None else [weight]))
    _check(model, parts)
    size = max(1, min(batch_size, OUTPUTS // model.space.count))
    for start in range(0, len(x), size):
        yield _filled([part[start : start + size] for part in parts])


def _loaded(model: VDSModel, loader: DataLoader, targets: bool) -> Iterator[_Batch]:
    """Yield the batches of a DataLoader; each is checked against the outputs of the first."""
    require_every_point(loader)
    outputs = None
    for batch in isolated_items(loader):
        parts = as_data(batch, "the batches of a DataLoader") if targets else (_inputs(batch),)
        check_inputs(parts[0])
        if targets:
            outputs = probe_outputs(model, model.shared(parts[0])) if outputs is None else outputs
            check_points(model, *map(model.shared, parts), outputs=outputs)
        yield _filled(parts)


def _filled(parts: Sequence[Tensor]) -> _Batch:
    """Return inputs, targets and weights, with ``None`` for what is not there."""
    x, y, weight, *_ = (*parts, None, None)
    assert x is not None
    return x, y, weight


def _inputs(batch: Any) -> Tensor:
    """Return the inputs of a batch that may have targets and weights.

    Raises:
        TypeError: If it has other parts.
    """
    if isinstance(batch, tuple | list) and len(batch) == 1:
        return batch[0]
    return batch if isinstance(batch, Tensor) else as_data(batch, "the batches of a DataLoader")[0]


def _check(model: VDSModel, parts: Sequence[Tensor]) -> None:
    """Raise unless inputs, and targets and weights if given, fit the model."""
    check_inputs(parts[0])
    if len(parts) > 1:
        shared = [model.shared(part) for part in parts]
        check_points(model, *shared, outputs=probe_outputs(model, shared[0]))
