"""Checks of a user's data against a model, made once before they are used."""

from typing import Any

import torch
from torch import Tensor

from pyro_vds.models.ids import check_ids, is_integer
from pyro_vds.models.points import check_weights, require_as_many
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_inputs
from pyro_vds.ops.compat import without_checks_of_arguments
from pyro_vds.ops.copies import copied
from pyro_vds.ops.inputs import described, first_points, mapped, moved, parts, tensors
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.parts import PART_ERRORS
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.ops.tensors import at_least_float32
from pyro_vds.spaces.space import LIMIT, Space
from pyro_vds.spaces.typing import Inputs

ERRORS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError)
"""What a network raises for inputs of another kind than it was written for."""


def check_data(model: VDSModel, x: Inputs, y: Tensor, weight: Tensor | None = None) -> None:
    """Check inputs, targets and weights against each other and against the model.

    Args:
        model: The model.
        x: Inputs ``(*batch_shape, N, ...)``.
        y: Targets ``(*batch_shape, N, ...)``.
        weight: The weight of each point ``(*batch_shape, N)``; ``None`` without weights.

    Raises:
        TypeError: If targets have the wrong type.
        ValueError: If there are no points, lengths differ, a value is not finite, an id or a label is out of range, a
            weight is negative, or the backbone's outputs do not fit its space.
    """
    check_inputs(x, len(model.batch_shape))
    check_lookups(model, x)
    check_points(model, x, y, weight, outputs=probe_outputs(model, x))


def check_lookups(model: VDSModel, x: Inputs) -> None:
    """Check that the network can look up all ids among the inputs.

    Args:
        model: The model.
        x: Inputs ``(*batch_shape, N, ...)``.

    Raises:
        ValueError: If an id is out of range, or the backbone does not accept ids.
    """
    dim, like = len(model.batch_shape), model.device_tensor()
    if not any(is_integer(part) for part in tensors(x)):
        return
    network = model.backbone.copy(0) if model.batch_shape else model.backbone

    def run(some: Inputs) -> None:
        try:
            first_outputs(network, model.space, moved(some, like.device))
        except IndexError:
            raise
        except ERRORS as error:
            raise ValueError(_refusal(x, dim, like.dtype, error)) from error

    check_ids(network, mapped(lambda t: t.flatten(0, dim), x), run)


def check_points(model: VDSModel, x: Inputs, y: Tensor, weight: Tensor | None = None, *, outputs: Tensor) -> None:
    """Check targets and weights against checked inputs and outputs of the model.

    The likelihood meets the outputs, see :meth:`pyro_vds.likelihoods.Likelihood.meet`.

    Args:
        model: The model.
        x: Inputs ``(*batch_shape, N, ...)``.
        y: Targets ``(*batch_shape, N, ...)``.
        weight: The weight of each point ``(*batch_shape, N)``; ``None`` without weights.
        outputs: The result of :func:`probe_outputs` for inputs of this kind.

    Raises:
        TypeError: If targets have the wrong type.
        ValueError: If lengths differ, a target or a weight is not finite, a label is out of range, or a weight is
            negative.
    """
    rows = len(model.batch_shape) + 1
    require_as_many(x, y, rows, weight)
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
        check_weights(model, weight)


@torch.no_grad()
def probe_outputs(model: VDSModel, x: Inputs) -> Tensor:
    """Return the backbone's outputs for the first point, and check their leading shape.

    Args:
        model: The model.
        x: Inputs ``(*batch_shape, N, ...)``.

    Raises:
        ValueError: If the backbone does not accept the inputs, or the shape of its outputs does not begin with
            ``(*sizes, *batch_shape, batch)``.
    """
    like, dim = model.device_tensor(), len(model.batch_shape)
    try:
        with eval_mode(model):
            # A copy, which a network that overwrites its inputs may have.
            one = mapped(torch.clone, moved(first_points(x, 1, dim), like.device))
            outputs, sizes = first_outputs(model.backbone, model.space, one)
    except PART_ERRORS:
        raise
    except ERRORS as error:
        raise ValueError(_refusal(x, dim, like.dtype, error)) from error
    expected = (*sizes, *model.batch_shape, 1)
    if tuple(outputs.shape[: len(expected)]) != expected or outputs.ndim == len(expected):
        raise ValueError(
            f"Expected backbone outputs of shape {(*sizes, 'batch', 'event')} for its axes "
            f"{list(model.axes)}, got {tuple(outputs.shape)} for a batch of 1."
        )
    return at_least_float32(outputs)


def _refusal(x: Inputs, dim: int, dtype: torch.dtype, error: Exception) -> str:
    """Return why a network does not take inputs, and what to do."""
    remedy = ""
    if isinstance(x, Tensor) and x.dtype == torch.uint8:
        remedy = " For pixels, put pyro_vds.Standardise(mean, std) before the stem."
    elif wrong := [name for name, part in parts(x).items() if part.dtype != dtype and _is_number(part, x)]:
        remedy = f" Convert them with {' and '.join(f'{name}.to({dtype})' for name in wrong)}."
    said = f"{error}" if isinstance(error, RuntimeError | ValueError) else f"{type(error).__name__}: {error}"
    return (
        f"Expected inputs that the backbone accepts, got points of {described(x, dim)}.{remedy} The backbone said: "
        f"{said}"
    )


def _is_number(part: Tensor, x: Inputs) -> bool:
    """Return whether a part could be meant as floating-point numbers; beside others, integers are ids and masks."""
    return part.is_floating_point() or isinstance(x, Tensor)


def first_outputs(backbone: Any, space: Space, x: Inputs) -> tuple[Tensor, tuple[int, ...]]:
    """Return the table for some points, or that of a single architecture where there are too many; and its sizes.

    Args:
        backbone: The network.
        space: Its space.
        x: Inputs ``(*batch_shape, batch, ...)``.
    """
    if space.count <= LIMIT:
        return backbone(x), space.sizes
    first = {name: torch.zeros(1, axis.sites, dtype=torch.long) for name, axis in space.with_sites.items()}
    outputs = backbone.at(x, first)
    read_out = outputs.shape[1 : 1 + len(space.read_out)]
    sizes = iter(read_out)
    sizes = tuple(1 if axis.has_sites else next(sizes, 0) for axis in space.values())
    return outputs.reshape(*sizes, *outputs.shape[1 + len(read_out) :]), sizes


@torch.no_grad()
def check_single_point(model: VDSModel, x: Inputs) -> None:
    """Check that the model can train on a batch of one point, which batch norm of single values cannot.

    Args:
        model: The model, which is not changed.
        x: Inputs ``(N, ...)``.

    Raises:
        ValueError: If the model cannot train on one point.
    """
    backbone = copied(model.backbone).train()
    device = model.device_tensor().device
    try:
        with isolated_rng(device):
            first_outputs(backbone, model.space, moved(first_points(x, 1, len(model.batch_shape)), device))
    except PART_ERRORS:
        raise
    except ValueError as error:
        raise ValueError(
            "Expected at least 2 points in each batch, because the network has batch norm; got a batch of 1. Use a "
            f"larger batch_size (and drop_last in a DataLoader). The backbone said: {error}"
        ) from error
