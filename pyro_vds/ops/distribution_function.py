"""The distribution function of any numeric distribution, and the probability integral transform."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution


def cdf(distribution: Distribution, y: Shaped[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return ``P(Y <= y)``.

    Of counts without a ``cdf`` of their own it is the sum of the probabilities of ``0..y``, which is exact and takes
    one evaluation of the density for each count up to the largest.

    Args:
        distribution: A distribution of numbers.
        y: Values, one for each distribution.

    Raises:
        TypeError: If the distribution has no ``cdf`` and its support is not the counts.
    """
    try:
        return distribution.cdf(y)
    except NotImplementedError as error:
        if not _counts(distribution):
            raise TypeError(
                f"Expected a distribution with a cdf, or of counts, to measure intervals; got {distribution}. Give the "
                "distribution that your likelihood returns a method cdf()."
            ) from error
    total = torch.zeros(y.shape, dtype=torch.float64, device=y.device)
    for count in range(int(y.max()) + 1):
        probability = distribution.log_prob(torch.full_like(y, count)).double().exp()
        total += torch.where(count <= y, probability, 0.0)
    return total.clamp(max=1)


def pit(distribution: Distribution, y: Shaped[Tensor, "*batch"], generator: torch.Generator) -> Float[Tensor, "*batch"]:
    """Return the probability integral transform of each target, uniform on (0, 1) where the distribution is right.

    ``F(y)`` for a continuous distribution (Dawid 1984). For counts a draw between ``F(y - 1)`` and ``F(y)``, which is
    uniform too (Czado, Gneiting and Held 2009, "Predictive Model Assessment for Count Data").

    Args:
        distribution: A distribution of numbers.
        y: Targets, one for each distribution.
        generator: Draws, for counts only; on the CPU.

    Raises:
        TypeError: As :func:`cdf`.
    """
    upper = cdf(distribution, y).double()
    if not _counts(distribution):
        return upper.clamp(0, 1)
    at_y = distribution.log_prob(y).double().exp()
    draws = torch.rand(y.shape, dtype=torch.float64, generator=generator)
    return (upper - at_y * draws.to(y.device)).clamp(0, 1)


def _counts(distribution: Distribution) -> bool:
    """Return whether the values are whole numbers from 0 on."""
    support = getattr(distribution.support, "base_constraint", distribution.support)  # of the components of a mixture
    return bool(getattr(support, "is_discrete", False)) and getattr(support, "lower_bound", None) == 0
