"""Priors over the choices at the sites of a plate: which edges of a graph are open."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from pyro.distributions import TorchDistribution
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

from pyro_vds.priors.base import Prior, check_length, check_positive, store_numbers, store_sequence


@dataclass(frozen=True)
class Price(Prior):
    """A price in nats for each open edge: ``log p(closed) - log p(open) = nats``.

    An edge stays open if the data gain more by it. With ``N`` points that gain is tens to hundreds of nats, so that a
    prior probability such as 0.1, a price of 2.2 nats, closes nothing.

    Args:
        nats: The price, of any sign.
        costs: A factor of the price for each site, such as its parameters in relation to the mean; ``()`` is 1 for all.

    Raises:
        TypeError: If ``nats`` or a cost is not a number.
        ValueError: If a number is not finite.
    """

    nats: float
    costs: Sequence[float] = ()

    def __post_init__(self) -> None:
        store_numbers(self, "nats")
        store_sequence(self, "costs")
        if not all(math.isfinite(number) for number in (self.nats, *self.costs)):
            raise ValueError(f"Expected a finite price and costs in nats, got nats={self.nats}, costs={self.costs}.")

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return 0 for the entry "closed" and ``-nats`` for "open".

        Args:
            size: Number of entries, 2.

        Raises:
            ValueError: If the axis has other entries than closed and open.
        """
        _check_gate(self, size)
        return torch.tensor([0.0, -self.nats], dtype=torch.float64)

    def over_sites(self, sites: int, size: int) -> TorchDistributionMixin:
        """Return independent gates, each with the price times its cost.

        Args:
            sites: Number of sites.
            size: Number of entries at each, 2.

        Raises:
            ValueError: If there are costs for another number of sites, or the axis has other entries.
        """
        if self.costs:
            check_length("costs", self.costs, sites)
        costs = torch.tensor(self.costs or (1.0,) * sites, dtype=torch.float64)
        return dist.Categorical(logits=costs[:, None] * self.log_weights(size)).to_event(1)


@dataclass(frozen=True)
class Exchangeable(Prior):
    """Open edges with an unknown common probability ``pi ~ Beta(a, b)``, which is integrated out.

    ``p(g) = B(a + k, b + E - k) / B(a, b)`` with ``k`` of ``E`` gates open: the gates are not independent, but those
    with as many open edges are alike.

    Args:
        a: First parameter, positive.
        b: Second parameter, positive; the prior mean of ``pi`` is ``a / (a + b)``.

    Raises:
        TypeError: If a parameter is not a number.
        ValueError: If it is not positive and finite.
    """

    a: float = 1.0
    b: float = 9.0

    def __post_init__(self) -> None:
        store_numbers(self, "a", "b")
        check_positive("a", self.a)
        check_positive("b", self.b)

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return the log probability of a single gate to be closed and open, ``log b`` and ``log a`` less a constant.

        Args:
            size: Number of entries, 2.

        Raises:
            ValueError: If the axis has other entries than closed and open.
        """
        _check_gate(self, size)
        return torch.tensor([self.b, self.a], dtype=torch.float64).log()

    def over_sites(self, sites: int, size: int) -> TorchDistributionMixin:
        """Return the joint prior of all gates.

        Args:
            sites: Number of sites.
            size: Number of entries at each, 2.

        Raises:
            ValueError: If the axis has other entries than closed and open.
        """
        _check_gate(self, size)
        return ExchangeableGates(self.a, self.b, sites)

    def expected_log_prob(self, probs: Float[Tensor, "sites size"]) -> Float[Tensor, ""]:
        """Return ``E_q[log p(g)]`` of independent gates, nats; exact by the law of the number of open gates.

        That number has a Poisson-binomial distribution under ``q``, which takes ``O(E**2)`` steps.

        Args:
            probs: The probability of closed and open for each gate.
        """
        law = probs.new_ones(1)
        for closed, opened in probs:
            law = torch.cat([law * closed, law.new_zeros(1)]) + torch.cat([law.new_zeros(1), law * opened])
        counts = torch.arange(len(law), device=probs.device)
        return (law * ExchangeableGates(self.a, self.b, len(probs)).log_prob_of_count(counts).to(law)).sum()


class ExchangeableGates(TorchDistribution):
    """Gates ``(sites,)`` whose common probability to be open is integrated out.

    Args:
        a: First parameter of the Beta distribution of that probability.
        b: Its second parameter.
        sites: Number of gates.
    """

    # The form of torch's own distributions, whose base class declares properties.
    arg_constraints: ClassVar = {}  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    support = constraints.independent(constraints.boolean, 1)  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

    def __init__(self, a: float, b: float, sites: int, batch_shape: torch.Size = torch.Size()) -> None:  # noqa: B008
        self.a, self.b, self.sites = a, b, sites
        super().__init__(batch_shape, torch.Size([sites]), validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "ExchangeableGates":
        """Return the distribution with another batch shape.

        Args:
            batch_shape: The batch shape.
        """
        return ExchangeableGates(self.a, self.b, self.sites, torch.Size(batch_shape))

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Int[Tensor, "*shape sites"]:
        """Return gates as 0 and 1.

        Args:
            sample_shape: Number of draws.
        """
        shape = (*sample_shape, *self.batch_shape)
        opened = dist.Beta(torch.tensor(self.a), torch.tensor(self.b)).sample(torch.Size(shape))
        return torch.bernoulli(opened[..., None].expand(*shape, self.sites)).long()

    def log_prob(self, value: Tensor) -> Float[Tensor, " *shape"]:
        """Return ``log B(a + k, b + E - k) - log B(a, b)`` with ``k`` open gates, nats.

        Args:
            value: Gates, ``(*shape, sites)``.
        """
        return self.log_prob_of_count(value.sum(-1))

    def log_prob_of_count(self, opened: Tensor) -> Float[Tensor, " *shape"]:
        """Return the log probability of one pattern with a number of open gates, nats, float64.

        Args:
            opened: Numbers of open gates.
        """
        k = opened.double()
        total = torch.lgamma(self.a + k) + torch.lgamma(self.b + self.sites - k)
        normaliser = math.lgamma(self.a) + math.lgamma(self.b) - math.lgamma(self.a + self.b)
        return total - math.lgamma(self.a + self.b + self.sites) - normaliser


def _check_gate(prior: Prior, size: int) -> None:
    """Raise unless an axis has the two entries of a gate."""
    if size != 2:
        raise ValueError(f"Expected an axis with two entries, closed and open, for {prior!r}; got {size}.")
