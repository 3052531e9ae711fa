"""Checks of user data, made once where data enter the package."""

import torch
from torch import Tensor

from pyro_vds.model import VDSModel, eval_mode


@torch.no_grad()
def check_data(model: VDSModel, x: Tensor, y: Tensor) -> None:
    """Check inputs and targets against each other and the model.

    Args:
        model: The model that is to see the data.
        x: Inputs ``(N, ...)``.
        y: Targets ``(N, ...)``.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If there are no points, lengths differ, a value is not finite, a label is out of range,
            or the backbone's output does not have the declared axes.
    """
    check_inputs(x)
    if not isinstance(y, Tensor):
        raise TypeError(f"Expected targets as a torch tensor, got {type(y).__name__}. Use torch.as_tensor(y).")
    if y.ndim == 0 or len(x) != len(y):
        raise ValueError(f"Expected as many targets as inputs, got {len(x)} inputs and targets {tuple(y.shape)}.")
    model.likelihood.check_targets(y, probe_outputs(model, x))


def check_inputs(x: Tensor) -> None:
    """Check that inputs are floating point, finite and at least one.

    Args:
        x: Inputs ``(N, ...)``.

    Raises:
        TypeError: If ``x`` is not a floating-point tensor.
        ValueError: If ``x`` is empty or holds NaN or infinity.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"Expected inputs as a torch tensor, got {type(x).__name__}. Use torch.as_tensor(x).")
    if not x.is_floating_point():
        raise TypeError(f"Expected floating-point inputs, got {x.dtype}. Convert them with x.float().")
    if x.ndim < 2 or x.numel() == 0:
        raise ValueError(f"Expected at least one input point and a shape (N, ...), got shape {tuple(x.shape)}.")
    if not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x.flatten(1))).any(1).sum())
        raise ValueError(
            f"Expected finite inputs, got NaN or infinity in {bad} of {len(x)} points. Remove or impute them."
        )


@torch.no_grad()
def probe_outputs(model: VDSModel, x: Tensor) -> Tensor:
    """Return the backbone's outputs for the first point, their leading shape checked.

    Args:
        model: The model.
        x: Inputs ``(N, ...)``.

    Raises:
        ValueError: If the output's shape does not begin with ``(*sizes, batch)``.
    """
    try:
        with eval_mode(model):
            outputs = model.backbone(x[:1].to(model.device_tensor().device))
    except RuntimeError as error:
        raise ValueError(
            f"Expected inputs that the backbone accepts, got points of shape {tuple(x.shape[1:])} and type "
            f"{x.dtype}; the backbone said: {error}"
        ) from error
    expected = (*model.sizes, 1)
    if tuple(outputs.shape[: len(expected)]) != expected or outputs.ndim == len(expected):
        raise ValueError(
            f"Expected backbone outputs of shape {(*model.sizes, 'batch', 'event')} for its axes "
            f"{list(model.axes)}, got {tuple(outputs.shape)} for a batch of 1."
        )
    return outputs
