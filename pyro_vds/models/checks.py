"""Checks of a user's data against a model, made once before they are used."""

import copy
from typing import Any

import torch
from torch import Tensor

from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_inputs
from pyro_vds.ops.compat import without_checks_of_arguments
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.ops.tensors import first_points
from pyro_vds.spaces.space import LIMIT, Space


def check_data(model: VDSModel, x: Tensor, y: Tensor, weight: Tensor | None = None) -> None:
    """Check inputs, targets and weights against each other and against the model.

    Args:
        model: The model.
        x: Inputs ``(N, ...)``.
        y: Targets ``(N, ...)``.
        weight: The weight of each point ``(N,)``; ``None`` without weights.

    Raises:
        TypeError: If inputs, targets or weights have the wrong type.
        ValueError: If there are no points, lengths differ, a value is not finite, a label is out of range, a weight is
            negative, or the backbone's outputs do not fit its space.
    """
    check_inputs(x)
    check_points(model, x, y, weight, outputs=probe_outputs(model, x))


def check_points(model: VDSModel, x: Tensor, y: Tensor, weight: Tensor | None = None, *, outputs: Tensor) -> None:
    """Check inputs, targets and weights against each other and against outputs of the model.

    Args:
        model: The model.
        x: Inputs ``(N, ...)``.
        y: Targets ``(N, ...)``.
        weight: The weight of each point ``(N,)``; ``None`` without weights.
        outputs: The result of :func:`probe_outputs` for inputs of this kind.

    Raises:
        TypeError: If inputs, targets or weights have the wrong type.
        ValueError: If there are no points, lengths differ, a value is not finite, a label is out of range or a weight
            is negative.
    """
    check_inputs(x)
    if not isinstance(y, Tensor):
        raise TypeError(f"Expected targets as a torch tensor, got {type(y).__name__}. Use torch.as_tensor(y).")
    rows = len(model.batch_shape) + 1
    if y.ndim < rows or x.shape[:rows] != y.shape[:rows]:
        raise ValueError(
            f"Expected as many targets as inputs, got inputs of shape {tuple(x.shape)} and targets of shape "
            f"{tuple(y.shape)}."
        )
    model.likelihood.meet(outputs.shape[-1])
    model.likelihood.check_targets(y.flatten(0, rows - 1), outputs)
    with without_checks_of_arguments():
        distribution, shapes = model.likelihood(outputs), model.likelihood.target_shapes(outputs)
    expected = outputs.shape[: len(model.space) + rows]
    if distribution.batch_shape != expected:
        raise ValueError(
            f"Expected a likelihood whose distribution has the batch shape {tuple(expected)} for a batch of 1, got "
            f"{tuple(distribution.batch_shape)}. Several targets of a point go into the event shape, by "
            "to_event(1); parameters of replicates are (replicate, 1), to which a distribution of several targets adds "
            "a dimension, as in scale[..., None]."
        )
    if y.shape[rows:] not in shapes:
        raise ValueError(
            f"Expected targets of shape {('N', *distribution.event_shape)}, that of the likelihood's events; got "
            f"{('N', *y.shape[rows:])}. Reshape y."
        )
    if weight is not None:
        _check_weights(model, weight, y.shape[:rows])


def _check_weights(model: VDSModel, weight: Tensor, points: torch.Size) -> None:
    """Raise unless there is a finite weight of at least 0 for each point."""
    if not isinstance(weight, Tensor) or not weight.is_floating_point():
        given = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
        raise TypeError(
            f"Expected the third part of the data as floating-point weights of the points, got {given}. Convert them "
            "with weight.float(), and put several inputs into a part of their own."
        )
    if weight.shape != points:
        raise ValueError(
            f"Expected a weight for each point, of shape {tuple(points)}, got {tuple(weight.shape)}. Put several "
            "inputs into a part of their own."
        )
    if not bool((weight.isfinite() & (weight >= 0)).all()) or not bool((weight > 0).any()):
        raise ValueError(
            f"Expected finite weights of at least 0, not all zero, got {float(weight.min()):g} to "
            f"{float(weight.max()):g}."
        )
    if model.by_input:
        raise ValueError(
            "Expected no weights for a model with an architecture for each input, whose prior they would not weigh. "
            "Repeat the points."
        )


@torch.no_grad()
def probe_outputs(model: VDSModel, x: Tensor) -> Tensor:
    """Return the backbone's outputs for the first point, and check their leading shape.

    Args:
        model: The model.
        x: Inputs ``(N, ...)``.

    Raises:
        ValueError: If the backbone does not accept the inputs, or the shape of its outputs does not begin with
            ``(*sizes, *batch_shape, batch)``.
    """
    like = model.device_tensor()
    try:
        with eval_mode(model):
            one = first_points(x, 1, len(model.batch_shape)).to(like.device)
            outputs, sizes = _first_outputs(model.backbone, model.space, one)
    except (RuntimeError, ValueError) as error:
        remedy = f" Convert them with x.to({like.dtype})." if x.dtype != like.dtype else ""
        if x.dtype == torch.uint8:
            remedy = " For pixels, put pyro_vds.Standardise(mean, std) before the stem."
        raise ValueError(
            f"Expected inputs that the backbone accepts, got points of shape {tuple(x.shape[1:])} and type "
            f"{x.dtype}.{remedy} The backbone said: {error}"
        ) from error
    expected = (*sizes, *model.batch_shape, 1)
    if tuple(outputs.shape[: len(expected)]) != expected or outputs.ndim == len(expected):
        raise ValueError(
            f"Expected backbone outputs of shape {(*sizes, 'batch', 'event')} for its axes "
            f"{list(model.axes)}, got {tuple(outputs.shape)} for a batch of 1."
        )
    return outputs


def _first_outputs(backbone: Any, space: Space, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Return the table for one point, or that of a single architecture where there are too many; and its sizes."""
    if space.count <= LIMIT:
        return backbone(x), space.sizes
    first = {name: torch.zeros(1, axis.sites, dtype=torch.long) for name, axis in space.with_sites.items()}
    outputs = backbone.at(x, first)
    read_out = outputs.shape[1 : 1 + len(space.read_out)]
    sizes = iter(read_out)
    sizes = tuple(1 if axis.has_sites else next(sizes, 0) for axis in space.values())
    return outputs.reshape(*sizes, *outputs.shape[1 + len(read_out) :]), sizes


@torch.no_grad()
def check_single_point(model: VDSModel, x: Tensor) -> None:
    """Check that the model can train on a batch of one point, which batch norm of single values cannot.

    Args:
        model: The model, which is not changed.
        x: Inputs ``(N, ...)``.

    Raises:
        ValueError: If the model cannot train on one point.
    """
    backbone = copy.deepcopy(model.backbone).train()
    device = model.device_tensor().device
    try:
        with isolated_rng(device):
            _first_outputs(backbone, model.space, first_points(x, 1, len(model.batch_shape)).to(device))
    except ValueError as error:
        raise ValueError(
            "Expected at least 2 points in each batch, because the network has batch norm; got a batch of 1. Use a "
            f"larger batch_size (and drop_last in a DataLoader). The backbone said: {error}"
        ) from error
