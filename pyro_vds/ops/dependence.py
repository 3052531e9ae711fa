"""Dependence between the sites of a joint distribution of architectures: arrays or tensors in, numpy out, nats.

A joint distribution is an array with one dimension for each site, such as ``(operation,) * edges``. A table over a
plated axis has one dimension for all sites, the last of which varies fastest: ``table.reshape((operations,) * edges)``
is the array that is asked for here.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from torch import Tensor

SUM_TOLERANCE = 1e-6


def entropy(joint: ArrayLike) -> float:
    """Return ``H(a) = -sum_a p(a) log p(a)``, nats.

    Args:
        joint: Probabilities of the architectures, a dimension for each site.

    Raises:
        ValueError: If they are not probabilities that sum to one.
    """
    return _entropy(_checked(joint))


def marginals(joint: ArrayLike) -> tuple[Float[np.ndarray, " option"], ...]:
    """Return the probabilities of each site alone, ``p(a_e) = sum over the other sites of p(a)``.

    Args:
        joint: Probabilities of the architectures, a dimension for each site.

    Raises:
        ValueError: If they are not probabilities that sum to one.
    """
    table = _checked(joint)
    return tuple(_kept(table, site) for site in range(table.ndim))


def total_correlation(joint: ArrayLike) -> float:
    """Return ``sum_e H(a_e) - H(a) = KL(p(a) || prod_e p(a_e))``, nats: 0 only if the sites are independent.

    Watanabe 1960, "Information Theoretical Analysis of Multivariate Correlation". It is at least the largest pairwise
    mutual information, and more where three or more sites depend on each other.

    Args:
        joint: Probabilities of the architectures, a dimension for each site.

    Raises:
        ValueError: If they are not probabilities that sum to one.
    """
    table = _checked(joint)
    single = sum(_entropy(_kept(table, site)) for site in range(table.ndim))
    # A divergence is not negative, so that only rounding makes the difference so.
    return max(single - _entropy(table), 0.0)


def mutual_information(joint: ArrayLike) -> Float[np.ndarray, "site site"]:
    """Return ``I(a_e; a_f) = H(a_e) + H(a_f) - H(a_e, a_f)`` of each pair of sites, nats.

    Args:
        joint: Probabilities of the architectures, a dimension for each site.

    Returns:
        A symmetric matrix; on its diagonal is the entropy of each site, ``I(a_e; a_e) = H(a_e)``.

    Raises:
        ValueError: If they are not probabilities that sum to one.
    """
    table = _checked(joint)
    single = [_entropy(_kept(table, site)) for site in range(table.ndim)]
    found = np.diag(single)
    for one in range(table.ndim):
        for other in range(one + 1, table.ndim):
            pair = _entropy(_kept(table, one, other))
            found[one, other] = found[other, one] = max(single[one] + single[other] - pair, 0.0)
    return found


def _entropy(probs: np.ndarray) -> float:
    from scipy.special import entr

    return float(entr(probs).sum())


def _kept(table: np.ndarray, *sites: int) -> np.ndarray:
    """Return the joint probabilities of some sites."""
    return table.sum(tuple(site for site in range(table.ndim) if site not in sites))


def _checked(joint: ArrayLike) -> np.ndarray:
    """Return probabilities in float64 that sum to one; tensors may be on any device."""
    table = np.asarray(joint.detach().cpu() if isinstance(joint, Tensor) else joint, dtype=np.float64)
    if table.ndim == 0 or not table.size:
        raise ValueError(f"Expected joint probabilities with a dimension for each site, got shape {table.shape}.")
    total = float(table.sum())
    if not (table >= 0).all() or not abs(total - 1) <= SUM_TOLERANCE:
        raise ValueError(
            f"Expected joint probabilities that sum to one, got a sum of {total:.6g} and a smallest of "
            f"{table.min():.3g}. Take the softmax of log probabilities."
        )
    return table / total
