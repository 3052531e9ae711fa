"""The likelihoods of counts."""

import math

import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn
from torch.special import gammaln

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.likelihoods.targets import check_counts
from pyro_vds.spaces.typing import Outputs


class PoissonCounts(dist.Poisson):
    """Poisson distribution of counts of any type; those of bytes would overflow in ``y + 1``."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return ``y log(rate) - rate - log y!``, nats.

        Args:
            value: Counts.
        """
        return super().log_prob(value.to(self.rate.dtype))


class NegativeBinomialCounts(dist.NegativeBinomial):
    """Negative binomial distribution that stays exact as it becomes a Poisson distribution.

    Its log probability is a small difference of large ``log Gamma`` there, which single precision cannot hold.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Return ``log Gamma(y + r) - log Gamma(r) - log y! + r log(1 - p) + y log p``, nats.

        Args:
            value: Counts.
        """
        count, logits = self.total_count, self.logits
        precise = torch.float32 if logits.device.type == "mps" else torch.float64
        y, r = value.to(precise), count.to(precise)
        combinations = gammaln(y + r) - gammaln(r) - gammaln(y + 1)
        log_p, log_rest = nn.functional.logsigmoid(logits.to(precise)), nn.functional.logsigmoid(-logits.to(precise))
        return (combinations + r * log_rest + y * log_p).to(logits.dtype)


class Poisson(Likelihood):
    """Poisson likelihood of counts: ``p(y | x, d) = Poisson(mean * exp(outputs))``.

    Targets are whole numbers of at least 0, ``(N,)`` or with several outputs ``(N, outputs)``, and must not be
    standardised. A network starts near zero outputs, so ``mean`` is the rate that training starts from.

    Args:
        mean: The rate where the output is zero, in counts; for instance the mean of the targets.

    Raises:
        ValueError: If ``mean`` is not positive and finite.
    """

    log_mean: Tensor

    def __init__(self, mean: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("log_mean", _log_mean(mean))

    def forward(self, outputs: Outputs) -> TorchDistributionMixin:
        """Return the Poisson distribution, batch shape ``(*axes, batch)``."""
        rate = _log_rates(outputs, self.log_mean).exp()
        return PoissonCounts(rate) if outputs.shape[-1] == 1 else PoissonCounts(rate).to_event(1)

    def check_targets(self, y: Tensor, outputs: Outputs) -> None:
        """Raise unless ``y`` holds whole numbers of at least 0, one for each output."""
        check_counts(y, outputs)


class NegativeBinomial(Likelihood):
    """Negative binomial likelihood of counts whose variance is larger than their mean, by a learnt overdispersion.

    The mean is ``m = mean * exp(outputs)`` and the variance ``m + overdispersion * m**2`` (NB2; Cameron and Trivedi,
    "Regression Analysis of Count Data", 3.3). At zero overdispersion it is :class:`Poisson`. Each output has an
    overdispersion of its own; the first data that the model meets tell how many there are, or ``outputs`` does.

    Args:
        mean: The mean where the output is zero, in counts; for instance the mean of the targets.
        overdispersion: The initial value of the overdispersion; positive.
        outputs: Number of outputs; only a training loop that checks no data needs it.

    Raises:
        ValueError: If a number is not positive and finite.
    """

    log_mean: Tensor
    by_output = ("log_overdispersion",)

    def __init__(self, mean: float = 1.0, *, overdispersion: float = 1.0, outputs: int = 1) -> None:
        super().__init__()
        if not 0 < overdispersion < math.inf:
            raise ValueError(f"Expected a positive, finite overdispersion, got {overdispersion}.")
        self.register_buffer("log_mean", _log_mean(mean))
        self.log_overdispersion = nn.Parameter(torch.tensor(float(overdispersion)).log())
        self.meet(outputs)

    @property
    def overdispersion(self) -> Float[Tensor, "..."]:
        """The overdispersion: a scalar, or ``(output,)``; of replicates with ``(replicate, 1)`` before."""
        return self.log_overdispersion.exp()

    def forward(self, outputs: Outputs) -> TorchDistributionMixin:
        """Return the negative binomial distribution, batch shape ``(*axes, batch)``."""
        single, spread = outputs.shape[-1] == 1, self.log_overdispersion
        spread = spread if single else self.for_each_output(spread)
        logits = _log_rates(outputs, self.log_mean) + spread
        distribution = NegativeBinomialCounts((-spread).exp().expand_as(logits), logits=logits)
        return distribution if single else distribution.to_event(1)

    def check_targets(self, y: Tensor, outputs: Outputs) -> None:
        """Raise unless ``y`` holds whole numbers of at least 0, one for each output."""
        check_counts(y, outputs)


def _log_mean(mean: float) -> Tensor:
    if not 0 < mean < math.inf:
        raise ValueError(f"Expected a positive, finite mean, got mean={mean}.")
    return torch.tensor(float(mean)).log()


def _log_rates(outputs: Tensor, log_mean: Tensor) -> Tensor:
    """Return the log mean of each target, without the dimension of a single output."""
    return outputs.squeeze(-1) + log_mean if outputs.shape[-1] == 1 else outputs + log_mean[..., None]
