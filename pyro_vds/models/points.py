"""Checks that the parts of data belong together: targets and weights for each point."""

from torch import Tensor

from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.inputs import parts, tensors
from pyro_vds.spaces.typing import Inputs


def require_as_many(x: Inputs, y: Tensor, rows: int, weight: Tensor | None = None) -> None:
    """Raise unless there are as many targets as inputs, and as many weights if there are any; this looks at no value.

    Args:
        x: Inputs.
        y: Targets.
        rows: The number of dimensions of ``(*batch_shape, N)``.
        weight: The weight of each point; ``None`` without weights.

    Raises:
        ValueError: If there are not.
    """
    if y.ndim < rows or any(part.shape[:rows] != y.shape[:rows] for part in tensors(x)):
        shapes = {name: tuple(part.shape) for name, part in parts(x).items()}
        raise ValueError(
            f"Expected as many targets as inputs, got inputs of shape {shapes.get('x', shapes)} and targets of shape "
            f"{tuple(y.shape)}."
        )
    if weight is not None and weight.shape != y.shape[:rows]:
        raise ValueError(
            f"Expected a weight for each point, of shape {tuple(y.shape[:rows])}, got {tuple(weight.shape)}. Put "
            "several inputs into one tuple or dict, the first part of the data."
        )


def check_weights(model: VDSModel, weight: Tensor) -> None:
    """Raise unless weights are finite and at least 0, and the model can weigh points.

    Args:
        model: The model.
        weight: The weight of each point.

    Raises:
        ValueError: If a weight is negative or not finite, all are zero, or each input has its own architecture.
    """
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
