"""The distribution function of any numeric distribution, and the probability integral transform."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution


def cdf(distribution: Distribution, y: Shaped[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return ``P(Y <= y)``.

    For a distribution of counts without a ``cdf`` it sums the probabilities of ``0..y``. The sum is exact and takes
    one evaluation of ``log_prob`` for each count up to the largest.

    Args:
        distribution: A distribution of numbers.
        y: Values, one for each distribution.

    Raises:
        TypeError: If the distribution has no ``cdf`` and is not over counts.
    """
    try:
        return distribution.cdf(y)
    except NotImplementedError as error:
        if not _counts(distribution):
            raise TypeError(
                f"Expected a distribution with a cdf, or of counts, to measure intervals; got {distribution}. Add a "
                "method cdf() to the distribution that your likelihood returns."
            ) from error
    total = torch.zeros(y.shape, dtype=torch.float64, device=y.device)
    for count in range(int(y.max()) + 1):
        probability = distribution.log_prob(torch.full_like(y, count)).double().exp()
        total += torch.where(count <= y, probability, 0.0)
    return total.clamp(max=1)


def pit(distribution: Distribution, y: Shaped[Tensor, "*batch"], generator: torch.Generator) -> Float[Tensor, "*batch"]:
    """Return the probability integral transform of each target, uniform on (0, 1) if the distribution is right.

    It is ``F(y)`` for a continuous distribution (Dawid 1984), and for counts a uniform draw between ``F(y - 1)`` and
    ``F(y)`` (Czado, Gneiting and Held 2009, "Predictive Model Assessment for Count Data").

    Args:
        distribution: A distribution of numbers.
        y: Targets, one for each distribution.
        generator: Generator of the draws (for counts only), on the CPU.

    Raises:
        TypeError: If :func:`cdf` raises it.
    """
    upper = cdf(distribution, y).double()
    if not _counts(distribution):
        return upper.clamp(0, 1)
    at_y = distribution.log_prob(y).double().exp()
    draws = torch.rand(y.shape, dtype=torch.float64, generator=generator)
    return (upper - at_y * draws.to(y.device)).clamp(0, 1)


def _counts(distribution: Distribution) -> bool:
    """Return whether the support is the whole numbers from 0."""
    support = getattr(distribution.support, "base_constraint", distribution.support)  # of a mixture's components
    return bool(getattr(support, "is_discrete", False)) and getattr(support, "lower_bound", None) == 0
