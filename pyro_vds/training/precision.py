"""The precision in which the network computes; likelihoods and their sums stay in the type of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal, get_args

import torch

from pyro_vds.models.vds_model import VDSModel

Precision = Literal["float32", "tf32", "bf16"]


@contextmanager
def computing_in(model: VDSModel, precision: Precision, device: torch.device) -> Iterator[None]:
    """Run a model's backbone in a precision, and restore the settings afterwards.

    ``"float32"`` changes nothing: weights of another type keep theirs, and torch's own settings hold, which let the
    convolutions of a CUDA device use TF32. ``"tf32"`` lets the matrix products and
    convolutions of a CUDA device round their factors to 10 bits of mantissa. ``"bf16"`` runs the backbone under
    ``torch.autocast``; weights, their gradients and momentum, outputs, likelihood and ELBO stay as they are.

    Args:
        model: The model.
        precision: ``"float32"``, ``"tf32"`` or ``"bf16"``.
        device: Where it runs.

    Raises:
        ValueError: If the precision is unknown, or the device does not have it.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"Expected precision 'float32', 'tf32' or 'bf16', got {precision!r}.")
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(f"Expected a CUDA device for precision 'tf32', got {device}. Use 'float32' or 'bf16'.")
    autocast = model.autocast
    model.autocast = torch.bfloat16 if precision == "bf16" else autocast
    try:
        with _tf32() if precision == "tf32" else nullcontext():
            yield
    finally:
        model.autocast = autocast


@contextmanager
def _tf32() -> Iterator[None]:
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
