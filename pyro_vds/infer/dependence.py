"""How much the choices at the sites of a posterior depend on each other."""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.tables import log_marginals


def entropy(log_probs: Float[Tensor, "*leading n"]) -> Float[Tensor, "*leading"]:
    """Return ``-sum_i p_i log p_i``, nats.

    Args:
        log_probs: Normalised log probabilities.
    """
    return -(log_probs.exp() * log_probs).where(log_probs > -torch.inf, 0.0).sum(-1)


def total_correlation(space: Space, log_joint: Float[Tensor, "*leading_and_axes"]) -> Float[Tensor, "*leading"]:
    """Return ``sum_i H(a_i) - H(a)`` over all axes and sites, nats: 0 if they are independent.

    Args:
        space: The axes.
        log_joint: Log probabilities over their product, ``(*leading, *sizes)``.
    """
    parts = [
        entropy(log_probs).sum(-1) if space[name].has_sites else entropy(log_probs)
        for name, log_probs in log_marginals(space, log_joint).items()
    ]
    return torch.stack(parts).sum(0) - entropy(log_joint.flatten(-len(space)))


def dependence(axis: Axis, log_table: Float[Tensor, " entries"]) -> Float[Tensor, "sites sites"]:
    """Return the mutual information of each pair of sites, nats, with zeros on the diagonal.

    Args:
        axis: An axis with sites.
        log_table: Log probabilities over all of its entries.
    """
    grid = log_table.view((len(axis),) * axis.sites)
    alone = [entropy(grid.logsumexp([d for d in range(axis.sites) if d != i])) if axis.sites > 1 else entropy(grid)
             for i in range(axis.sites)]  # fmt: skip
    found = torch.zeros(axis.sites, axis.sites, dtype=log_table.dtype)
    for i, j in combinations(range(axis.sites), 2):
        others = [d for d in range(axis.sites) if d not in (i, j)]
        pair = entropy((grid.logsumexp(others) if others else grid).flatten())
        found[i, j] = found[j, i] = alone[i] + alone[j] - pair
    return found.clamp_min(0.0)
