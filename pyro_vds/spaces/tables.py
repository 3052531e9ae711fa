"""Tables over all architectures of a space whose axes have sites, and what they say of each site."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Space


def choices(space: Space) -> dict[str, Int[Tensor, "architecture sites"]]:
    """Return the entry at each site in every architecture of the axes with sites, in the order of a table.

    Args:
        space: The space; its axes without sites are left out.

    Raises:
        ValueError: If there are more than 65,536 architectures.
    """
    chosen = space.with_sites
    if not chosen:
        return {}
    chosen.require_table("to list", "Draw some with guide.sample.")
    columns = [torch.arange(len(axis)) for axis in chosen.values() for _ in range(axis.sites)]
    rows = torch.cartesian_prod(*columns).reshape(-1, len(columns))
    return dict(zip(chosen, rows.split([axis.sites for axis in chosen.values()], 1), strict=True))


def log_marginals(space: Space, log_joint: Float[Tensor, "*leading_and_axes"]) -> dict[str, Float[Tensor, "..."]]:
    """Return the log probabilities of each axis from a table over their product, nats.

    Args:
        space: The space.
        log_joint: Log probabilities ``(*leading, *sizes)``.

    Returns:
        ``(*leading, size)`` for each axis, and ``(*leading, sites, size)`` for an axis with sites.
    """
    found = {}
    for place, (name, axis) in enumerate(space.items(), start=-len(space)):
        table = _summed(log_joint, place, len(space))
        found[name] = by_site(table, axis) if axis.has_sites else table
    return found


def by_site(log_table: Float[Tensor, "*leading entries"], axis: Axis) -> Float[Tensor, "*leading sites size"]:
    """Return the log probabilities at each site from a table over all sites of an axis, nats.

    Args:
        log_table: Log probabilities ``(*leading, len(axis) ** sites)``.
        axis: The axis.
    """
    grid = log_table.unflatten(-1, (len(axis),) * axis.sites)
    return torch.stack([_summed(grid, place, axis.sites) for place in range(-axis.sites, 0)], -2)


def _summed(log_table: Tensor, place: int, dims: int) -> Tensor:
    """Return the logarithm of the sum over the last dimensions of a table, except one."""
    others = [other for other in range(-dims, 0) if other != place]
    return log_table.logsumexp(others) if others else log_table
