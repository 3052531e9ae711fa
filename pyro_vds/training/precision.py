"""The precision of the network; likelihoods and their sums have the dtype of the weights."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Literal, get_args

import torch

from pyro_vds.models.vds_model import VDSModel

Precision = Literal["float32", "tf32", "bf16"]


@contextmanager
def computing_in(model: VDSModel, precision: Precision, device: torch.device) -> Iterator[None]:
    """Run a model's backbone in a precision, and restore the settings afterwards.

    ``"float32"`` changes nothing: weights keep their dtype, and torch's settings stay, with which convolutions on
    CUDA may use TF32. ``"tf32"`` lets matrix products and convolutions on CUDA round their factors to 10 bits of
    mantissa. ``"bf16"`` runs the backbone under ``torch.autocast``; weights, gradients, momentum, outputs, likelihood
    and ELBO keep their dtype.

    Args:
        model: The model.
        precision: ``"float32"``, ``"tf32"`` or ``"bf16"``.
        device: The device of the model.

    Raises:
        ValueError: If the precision is unknown, or the device does not support it.
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
