"""Whether two ways to run a network compute the same."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vds.ops.rng import isolated_rng


def redrawn(*modules: nn.Module) -> tuple[Any, ...]:
    """Return copies of modules in eval mode with drawn weights; what they share, the copies share too.

    Fresh networks have parts that do almost nothing, such as a layer scale of 1e-6, the zero of a last norm or nearly
    uniform attention. With weights like these, all parts count.

    Args:
        modules: The modules; they are not changed.
    """
    copies = copy.deepcopy(modules)
    parameters = dict.fromkeys(parameter for module in copies for parameter in module.parameters())
    for module in copies:
        module.requires_grad_(False).eval()
        if next(module.parameters()).dtype in (torch.float16, torch.bfloat16):
            module.float()  # what is drawn would overflow
    with isolated_rng(next(iter(parameters)).device, 0):
        for parameter in parameters:
            parameter.normal_(std=parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 1.0)
    return copies


def agree(one: Tensor, other: Tensor) -> bool:
    """Return whether two results are equal up to rounding, relative to the largest number.

    Args:
        one: A result, finite.
        other: Another one.
    """
    if one.shape != other.shape:
        return False
    return bool((one - other).abs().max() <= torch.finfo(one.dtype).eps ** 0.75 * other.abs().max())
