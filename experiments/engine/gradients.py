"""Bias and noise of estimates of a gradient, against the exact one."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def gradient(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """Return the gradient with respect to some parameters as one vector, float64; zero where it does not depend on one.

    Args:
        loss: A scalar.
        parameters: The parameters.
    """
    found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in found]).double()


def bias_and_noise(exact: Float[Tensor, " entry"], estimates: Float[Tensor, "draw entry"]) -> dict[str, float]:
    """Return how far estimates of a vector are from it, in units of its length.

    Args:
        exact: The vector.
        estimates: Estimates of it; one, if it has no noise.

    Returns:
        ``bias``, the distance of the mean from the vector; ``standard_error``, what noise alone makes of that, the root
        of the trace of the covariance of the mean; ``deviation``, the same of one estimate; ``cosine`` of mean and
        vector.
    """
    mean, length, draws = estimates.mean(0), exact.norm(), len(estimates)
    deviation = float(estimates.var(0).sum().sqrt() / length) if draws > 1 else 0.0
    return {
        "bias": float((mean - exact).norm() / length),
        "standard_error": deviation / draws**0.5,
        "deviation": deviation,
        "cosine": float(torch.cosine_similarity(mean, exact, 0)),
    }
