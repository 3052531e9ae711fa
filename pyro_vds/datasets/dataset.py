"""Splits of a data set, normalised by the training part."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.spaces.typing import TensorPair

TargetKind = Literal["classes", "numbers", "counts"]
"""What targets are: labels, numbers that are standardised, or whole numbers from 0 that are not."""


@dataclass(frozen=True)
class DataSet:
    """Training, validation and test part of a data set, normalised by the training part.

    Pixels stored as bytes are not normalised: :class:`pyro_vds.Standardise` does it in the network, with ``mean`` and
    ``std``. Regression targets are standardised too: ``target_mean + target_std * y`` is in the units of the source.

    Attributes:
        train: Training inputs and targets.
        test: Test inputs and targets.
        validation: Points split off the training part, if any.
        classes: Number of classes; ``None`` for regression and counts.
        mean: Mean of each channel or feature, subtracted from the inputs.
        std: Standard deviation of each channel or feature, by which the inputs are divided.
        target_mean: Mean of each column of regression targets; ``None`` for classes and counts.
        target_std: Standard deviation of each column of regression targets; ``None`` for classes and counts.
    """

    train: TensorPair
    test: TensorPair
    validation: TensorPair | None
    classes: int | None
    mean: Float[Tensor, " features"]
    std: Float[Tensor, " features"]
    target_mean: Float[Tensor, " targets"] | None = None
    target_std: Float[Tensor, " targets"] | None = None

    @property
    def targets(self) -> TargetKind:
        """What the targets are."""
        if self.classes is not None:
            return "classes"
        return "counts" if self.target_std is None else "numbers"


def split_and_normalise(
    train: TensorPair,
    test: TensorPair,
    *,
    classes: int | None,
    counts: bool = False,
    validation_fraction: float = 0.0,
    train_size: int | None = None,
    generator: torch.Generator,
) -> DataSet:
    """Split a validation part off at random, and normalise by the rest of the training part.

    Each channel or feature, and each column of regression targets, gets mean 0 and standard deviation 1; constant
    ones become zero. Results have torch's default dtype; give double precision to keep small differences of large
    numbers. Inputs of type uint8 are not normalised, and take a quarter of the memory.

    Args:
        train: Inputs ``(N, features)`` or ``(N, channels, height, width)`` and targets.
        test: The same for testing.
        classes: Number of classes; ``None`` for regression and counts.
        counts: Whether the targets are counts, which are not standardised.
        validation_fraction: Share of the training points to validate on, ``[0, 1)``.
        train_size: Number of training points to use, drawn at random before the split; ``None`` uses all.
        generator: Generator of the split.

    Raises:
        TypeError: If regression targets are not floating point.
        ValueError: If a part would be empty.
    """
    if classes is None and not train[1].is_floating_point():
        raise TypeError(f"Expected floating-point targets for regression, got {train[1].dtype}. Use y.float().")
    held_out, kept = _draw_parts(len(train[0]), validation_fraction, train_size, generator)
    x, y = train[0][kept], train[1][kept]
    mean, std = _moments(x.float() if x.dtype == torch.uint8 else x, [d for d in range(x.ndim) if d != 1])
    units = _moments(y, [0]) if classes is None and not counts else None

    def normalised(x: Tensor, y: Tensor) -> TensorPair:
        dtype = torch.get_default_dtype()
        x = x if x.dtype == torch.uint8 else ((x - mean) / std).to(dtype)
        if units is None:
            return x, y.to(dtype) if counts else y
        return x, ((y - units[0]) / units[1]).to(dtype)

    return DataSet(
        train=normalised(x, y),
        test=normalised(*test),
        validation=normalised(train[0][held_out], train[1][held_out]) if len(held_out) else None,
        classes=classes,
        mean=mean.flatten(),
        std=std.flatten(),
        target_mean=None if units is None else units[0].flatten(),
        target_std=None if units is None else units[1].flatten(),
    )


def split_off(x: Tensor, y: Tensor, test_fraction: float, name: str) -> tuple[TensorPair, TensorPair]:
    """Split off the last points for testing.

    Args:
        x: Inputs.
        y: Targets.
        test_fraction: Share of the points to split off, ``(0, 1)``.
        name: Name of the share, for the message.

    Raises:
        ValueError: If a part would be empty.
    """
    size = len(x) - round(test_fraction * len(x))
    if not 0 < size < len(x):
        raise ValueError(
            f"Expected training and test points, got {size} and {len(x) - size}. Choose {name} between 0 and 1 "
            "so that neither part is empty."
        )
    return (x[:size], y[:size]), (x[size:], y[size:])


def _draw_parts(
    size: int, validation_fraction: float, train_size: int | None, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return the indices of the points to validate on, and of the points to train on."""
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"Expected 0 <= validation_fraction < 1, got {validation_fraction}.")
    total = size if train_size is None else train_size
    held_out = round(validation_fraction * total)
    if validation_fraction > 0 and held_out == 0:
        raise ValueError(
            f"Expected at least one point to validate on, got validation_fraction={validation_fraction} of {total} "
            "training points. Use a larger fraction, or 0 for early stopping by the train ELBO."
        )
    if not 0 < total <= size or total - held_out < 2:
        raise ValueError(
            f"Expected at least 2 of the {size} training points to train on, got train_size={train_size} and "
            f"validation_fraction={validation_fraction}."
        )
    order = torch.randperm(size, generator=generator)[:total]
    return order[:held_out], order[held_out:]


def _moments(values: Tensor, dims: list[int]) -> tuple[Tensor, Tensor]:
    """Return means and standard deviations over some dimensions; the deviation of a constant is set to 1."""
    varies = values.amax(dims, keepdim=True) > values.amin(dims, keepdim=True)
    return values.mean(dims, keepdim=True), values.std(dims, keepdim=True).where(varies, torch.ones(()))
