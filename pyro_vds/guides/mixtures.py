"""Distributions over many sites with the same options that are mixtures of products, so that sites can be dependent.

They hold the mathematics of guides over a plate of sites, and know no model. Shapes: ``component`` are
the products of the mixture, ``site`` the edges or layers, ``option`` what a site can have.
"""

import math

import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyro_vds.ops.tensors import outer_sum
from pyro_vds.spaces.space import LIMIT

CHANNELS = 3  # of a noise input (Wang et al. 2021)


class SiteDistribution(nn.Module):
    """A mixture of products, ``q(a) = sum_m w_m prod_e q_m(a_e)``, whose log probability is exact.

    A class has :meth:`rows` and :meth:`log_weights`; the rest follows from them.
    """

    def rows(self) -> Float[Tensor, "component site option"]:
        """Return ``log q_m(a_e)``, the log probabilities of each site in each product, nats."""
        raise NotImplementedError

    def log_weights(self) -> Float[Tensor, " component"]:
        """Return ``log w_m``, the log weights of the products, nats."""
        raise NotImplementedError

    def distribution(self) -> dist.MixtureSameFamily:
        """Return ``q`` as a distribution of Pyro: an event is the entry at every site, ``(site,)``."""
        products = dist.Categorical(logits=self.rows(), validate_args=False).to_event(1)
        weights = dist.Categorical(logits=self.log_weights(), validate_args=False)
        return dist.MixtureSameFamily(weights, products, validate_args=False)

    def log_prob(self, choices: Int[Tensor, "draw site"]) -> Float[Tensor, " draw"]:
        """Return ``log q(a)`` of some architectures, nats; nothing is listed, so that there may be any number of sites.

        Args:
            choices: The entry that each site has, in ``0..options-1``.
        """
        return self.distribution().log_prob(choices)

    def joint_log_probs(self) -> Float[Tensor, " architecture"]:
        """Return ``log q(a)`` of all ``options ** sites`` architectures, nats; the last site varies fastest.

        Raises:
            ValueError: If there are more architectures than a table should have.
        """
        rows = self.rows()
        count = rows.shape[2] ** rows.shape[1]
        if count > LIMIT:
            raise ValueError(f"Expected at most {LIMIT:,} architectures for a table, got {count:,}. Use log_prob.")
        tables = outer_sum(list(rows.unbind(1))).flatten(1)
        return (tables + self.log_weights()[:, None]).logsumexp(0)

    def log_probs(self) -> Float[Tensor, "site option"]:
        """Return the marginal ``log q(a_e)`` of each site, nats."""
        return (self.rows() + self.log_weights()[:, None, None]).logsumexp(0)

    def probs(self) -> Float[Tensor, "site option"]:
        """Return the marginal ``q(a_e)`` of each site."""
        return self.log_probs().exp()

    @torch.no_grad()
    def sample(self, draws: int, generator: torch.Generator | None = None) -> Int[Tensor, "draw site"]:
        """Return independent draws of architectures: first a product, then each of its sites.

        Args:
            draws: Number of draws.
            generator: Generator of the draws; ``None`` takes the global one.
        """
        rows = self.rows()
        component = torch.multinomial(self.log_weights().exp(), draws, replacement=True, generator=generator)
        probs = rows[component].exp().flatten(0, 1)
        return torch.multinomial(probs, 1, generator=generator).view(draws, -1)


class ProductMixture(SiteDistribution):
    """A mixture whose products have logits of their own; with one component it is mean-field.

    Equal components would stay equal under gradient steps, so that the logits start at random, from the global
    generator.

    Args:
        sites: Number of sites.
        options: Number of options of each site.
        components: Number of products.
        spread: Standard deviation of the logits at the start.

    Raises:
        ValueError: If a number is not positive.
    """

    def __init__(self, sites: int, options: int, components: int, *, spread: float = 1.0) -> None:
        super().__init__()
        _check_counts(sites=sites, options=options, components=components)
        self.logits = nn.Parameter(spread * torch.randn(components, sites, options))
        self.weight_logits = nn.Parameter(torch.zeros(components))

    def rows(self) -> Float[Tensor, "component site option"]:
        """Return ``log q_m(a_e)``, the log probabilities of each site in each product, nats."""
        return self.logits.log_softmax(-1)

    def log_weights(self) -> Float[Tensor, " component"]:
        """Return ``log w_m``, the log weights of the products, nats."""
        return self.weight_logits.log_softmax(0)


class GeneratedMixture(SiteDistribution):
    """The generator of VIM-NAS: logits from one small convolutional network on maps ``(site, option)`` of noise.

    Wang et al. 2021, "Learning Latent Architectural Distribution in Differentiable Neural Architecture Search via
    Variational Information Maximization": ``A = phi(eps) + xi`` with the network
    ``ConvReLUBN(3, 14, 3)-ConvReLUBN(14, 1, 3)``, noise ``eps`` that is drawn once, and ``xi ~ N(0, 1)`` for each
    logit. Here the products of the mixture are ``softmax(phi(eps_m))`` for ``inputs`` draws ``eps_m`` with equal
    weights.

    With one input, as the algorithm is written down, this is a **mean-field** distribution: ``eps`` is a constant, and
    ``xi`` is independent between sites, so that the network changes how logits move and not which distributions there
    are. Sites are dependent only with several inputs.

    Differences from the paper: the last block has no ReLU, since logits must be free to be negative; batch norm always
    uses the statistics of the inputs themselves, so that ``q`` is the same in train and eval mode.

    Args:
        sites: Number of sites.
        options: Number of options of each site.
        inputs: Number of noise inputs, which are drawn once from the global generator.
        hidden: Channels between the convolutions: one number for each block but the last.
        noise: Standard deviation of ``xi``. With noise, ``q_m(a_e)`` is the mean of the softmax over draws of ``xi``.
        noise_draws: Number of draws of ``xi`` in that mean, which are drawn once.

    Raises:
        ValueError: If a number is out of range.
    """

    inputs: Tensor
    xi: Tensor

    def __init__(
        self,
        sites: int,
        options: int,
        inputs: int,
        *,
        hidden: tuple[int, ...] = (14,),
        noise: float = 0.0,
        noise_draws: int = 256,
    ) -> None:
        super().__init__()
        _check_counts(sites=sites, options=options, inputs=inputs, noise_draws=noise_draws)
        if not 0 <= noise < math.inf:
            raise ValueError(f"Expected a finite noise of at least 0, got {noise}.")
        layers: list[nn.Module] = []
        channels = CHANNELS
        for width in hidden:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), _normalisation(width)]
            channels = width
        self.network = nn.Sequential(*layers, nn.Conv2d(channels, 1, 3, padding=1), _normalisation(1))
        self.register_buffer("inputs", torch.randn(inputs, CHANNELS, sites, options))
        self.register_buffer("xi", noise * torch.randn(noise_draws if noise else 1, sites, options))

    def rows(self) -> Float[Tensor, "component site option"]:
        """Return ``log q_m(a_e)``, the log probabilities of each site in each product, nats."""
        logits = self.network(self.inputs)  # (component, 1, site, option)
        return (logits + self.xi).log_softmax(-1).logsumexp(1) - math.log(len(self.xi))

    def log_weights(self) -> Float[Tensor, " component"]:
        """Return ``log w_m``, the log weights of the products, nats: equal ones."""
        count = len(self.inputs)
        return self.inputs.new_full((count,), -math.log(count))


def _normalisation(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, track_running_stats=False)


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"Expected a positive number of {name}, got {count}.")
