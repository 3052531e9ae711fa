"""Small operations on tensors that several packages need."""

from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn


def outer_sum(terms: list[Float[Tensor, "*batch _"]]) -> Float[Tensor, "..."]:
    """Return ``out[..., i, j] = terms[0][..., i] + terms[1][..., j]``; a scalar zero without terms."""
    if not terms:
        return torch.zeros(())
    batch = terms[0].shape[:-1]

    def add(total: Tensor, term: Tensor) -> Tensor:
        return total[..., None] + term.reshape(*batch, *[1] * (total.ndim - len(batch)), -1)

    return reduce(add, terms)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a tensor in float32 if it has 16 bit or fewer, and as it is otherwise.

    Logits, likelihoods and their sums need more digits than 16 bit have: bfloat16 has 3, and
    float16 no number above 65,504.

    Args:
        tensor: Any tensor; one of integers stays one.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32)) if tensor.is_floating_point() else tensor


def dtype_of(module: nn.Module) -> torch.dtype:
    """Return the dtype of a module's floating-point weights, or the default dtype without any.

    Args:
        module: The module.
    """
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.get_default_dtype())
