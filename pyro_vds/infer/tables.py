"""Fit distributions over sites to a posterior that is known as a table over all architectures."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import entr

from pyro_vds.guides.categorical import NEVER
from pyro_vds.guides.mixtures import SiteDistribution

STARTING_MASS = 0.9


def fit_table(
    distribution: SiteDistribution, log_posterior: Float[Tensor, "*sites"], *, steps: int = 800, lr: float = 0.1
) -> Float[Tensor, " steps_and_end"]:
    """Minimise the exact ``KL(q || posterior) = sum_a q(a) [log q(a) - log p(a)]`` by Adam with a cosine.

    Small steps may not arrive, and gradient steps can end in a local optimum: compare learning rates and starts. A mean
    field is fitted better by :func:`fit_mean_field`.

    Args:
        distribution: What is fitted, in place.
        log_posterior: Log posterior up to a constant, a dimension for each site, nats.
        steps: Number of gradient steps.
        lr: Learning rate at the first step; it falls to 0 as half a cosine.

    Returns:
        The divergence before each step and at the end, nats.

    Raises:
        ValueError: If the table is not one of the sites of the distribution, or a setting is out of range.
    """
    target = _checked(log_posterior)
    sites, options = distribution.probs().shape
    if target.shape != (options,) * sites:
        raise ValueError(f"Expected a table of shape {(options,) * sites}, got {tuple(target.shape)}.")
    if steps < 1 or not lr > 0:
        raise ValueError(f"Expected at least one step and a positive lr, got {steps} and {lr}.")
    optimiser = torch.optim.Adam(distribution.parameters(), lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    found = []
    for _ in range(steps):
        loss = divergence(distribution, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        found.append(loss.detach())
    with torch.no_grad():
        found.append(divergence(distribution, target))
    return torch.stack(found)


def divergence(distribution: SiteDistribution, log_posterior: Float[Tensor, "*sites"]) -> Float[Tensor, ""]:
    """Return ``KL(q || posterior)`` over the table, nats.

    Args:
        distribution: The distribution ``q``.
        log_posterior: Log posterior up to a constant, a dimension for each site, nats.
    """
    log_q = distribution.joint_log_probs()
    log_p = log_posterior.flatten().clamp_min(NEVER).log_softmax(0)
    return (log_q.exp() * (log_q - log_p)).sum()


@dataclass(frozen=True)
class MeanField:
    """A product of distributions of the sites.

    Attributes:
        probs: Probabilities of the options of each site.
        divergence: ``KL(q || posterior)``, nats.
    """

    probs: Float[Tensor, "site option"]
    divergence: float


@torch.no_grad()
def fit_mean_field(log_posterior: Float[Tensor, "*sites"], *, starts: int = 50, sweeps: int = 200) -> MeanField:
    """Return the best mean-field approximation that coordinate ascent finds from several starts.

    A step sets one site to its best distribution given the others, ``log q(a_e) = E_q[log p(a) | a_e] + constant``
    (Bishop 2006, eq. 10.9), which never raises ``KL(q || posterior)``. It starts at the uniform distribution, and at
    mass 0.9 on each option of each of the most probable architectures; all starts run side by side.

    Args:
        log_posterior: Log posterior up to a constant, ``(option,) * sites``, nats.
        starts: Number of the most probable architectures to start from.
        sweeps: Largest number of sweeps over the sites; it stops earlier once nothing changes.

    Raises:
        ValueError: If the sites have different numbers of options, or a number is negative.
    """
    log_p = _checked(log_posterior).flatten().log_softmax(0).view_as(log_posterior)
    sites, options = log_p.ndim, log_p.shape[0]
    if starts < 0 or sweeps < 1:
        raise ValueError(f"Expected starts of at least 0 and at least one sweep, got {starts} and {sweeps}.")
    best = log_p.flatten().topk(min(starts, log_p.numel())).indices
    chosen = torch.stack(torch.unravel_index(best, log_p.shape), -1)
    q = log_p.new_full((len(chosen), sites, options), (1 - STARTING_MASS) / max(options - 1, 1))
    q = q.scatter(-1, chosen[..., None], STARTING_MASS)
    q = torch.cat([log_p.new_full((1, sites, options), 1 / options), q])
    for _ in range(sweeps):
        before = q.clone()
        for site in range(sites):
            q[:, site] = _expected(log_p, q, site).softmax(-1)
        if float((q - before).abs().max()) < 1e-10:
            break
    divergences = -entr(q).sum((1, 2)) - (q[:, 0] * _expected(log_p, q, 0)).sum(-1)
    return MeanField(q[divergences.argmin()], float(divergences.min()))


def _expected(log_p: Tensor, q: Tensor, site: int) -> Float[Tensor, "start option"]:
    """Return ``E_q[log p(a) | a_site]`` for each start, by summing one site after the other out."""
    table = log_p.movedim(site, -1).flatten()[None]
    for other in range(log_p.ndim):
        if other != site:
            rest = table.view(len(table), log_p.shape[0], -1)
            table = torch.einsum("sk,skr->sr", q[:, other], rest.expand(len(q), -1, -1))
    return table.expand(len(q), -1)


def _checked(log_posterior: Tensor) -> Tensor:
    """Return a table of log probabilities with a dimension for each site."""
    shape, table = tuple(log_posterior.shape), log_posterior.detach()
    if not shape or set(shape) != {shape[0]}:
        raise ValueError(f"Expected a table with a dimension of equal size for each site, got shape {shape}.")
    if bool(table.isnan().any()) or float(table.max()) in (torch.inf, -torch.inf):
        raise ValueError("Expected log probabilities of architectures with a finite largest one, got NaN or infinity.")
    return table.clamp_min(NEVER)
