"""Estimates of the ELBO and the evidence from drawn architectures, where there are too many to list."""

import math
from contextlib import suppress
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.guides.base import Guide
from pyro_vds.guides.categorical import guide_or_empty
from pyro_vds.infer.drawn import given, sample_sites
from pyro_vds.infer.exact import log_likelihood
from pyro_vds.infer.passes import BATCH_SIZE, read_data
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.ops.tensors import outer_sum
from pyro_vds.spaces.space import counted
from pyro_vds.spaces.typing import DataLike

CHUNK = 64
"""Architectures in one pass."""

FEWEST = 25
"""The least number of draws whose tail has a shape."""

RELIABLE = 0.7
"""The largest Pareto k for which importance sampling says something (Vehtari et al. 2024)."""


@dataclass(frozen=True)
class EvidenceEstimate:
    """Estimates from architectures drawn from a guide, nats.

    Attributes:
        elbo: Mean of ``log p(data, a) - log q(a)`` over the draws: an unbiased estimate of the ELBO.
        elbo_se: Its standard error.
        log_evidence: ``log mean exp`` of the same (importance sampling); its expectation is a lower bound of the log
            evidence, nearer than the ELBO.
        khat: The Pareto shape k of the importance weights; above 0.7 the estimate of the evidence says little. It is
            NaN with fewer than 25 draws, and where the largest weights are all the same, as they are if the guide is
            the posterior.
        samples: Number of draws.
        count: Number of architectures of the space.
    """

    elbo: float
    elbo_se: float
    log_evidence: float
    khat: float
    samples: int
    count: int

    def __str__(self) -> str:
        """Return one line that says what is an estimate."""
        reliable = ", Pareto k unknown" if math.isnan(self.khat) else ""
        reliable = f", unreliable: Pareto k {self.khat:.2f} above {RELIABLE}" if self.khat > RELIABLE else reliable
        return (
            f"ELBO {self.elbo:.1f} ± {self.elbo_se:.1f} nats, log evidence {self.log_evidence:.1f}{reliable} "
            f"(estimate: {self.samples} of {counted(self.count)} architectures)"
        )


def estimate_evidence(
    model: VDSModel,
    guide: Guide,
    data: DataLike | DataLoader,
    *,
    samples: int = 1000,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
) -> EvidenceEstimate:
    """Estimate the ELBO and the evidence of the current weights from architectures drawn from the guide.

    Axes that the network reads out are summed exactly, only those with sites are drawn. The Pareto k of the weights is
    ArviZ's (Vehtari et al. 2024, "Pareto Smoothed Importance Sampling").

    Args:
        model: A model whose axes have sites.
        guide: Its guide.
        data: The training data, with weights of the points if they have any.
        samples: Number of draws, at least 2.
        seed: Seed of the draws.
        batch_size: Points in one forward pass of up to 64 architectures.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If no axis has sites, there are fewer than 2 samples, or the data do not fit the model.
    """
    if not model.space.with_sites or samples < 2:
        raise ValueError(f"Expected axes with sites and at least 2 samples, got {list(model.space)} and {samples}.")
    guide = guide_or_empty(model, guide)
    with isolated_rng(model.device_tensor().device, seed):
        drawn = sample_sites(guide, samples)
    log_q = guide.log_prob(drawn).detach().double().cpu()
    table = torch.cat([
        _log_likelihood(model, guide, data, {name: entries[start : start + CHUNK] for name, entries in drawn.items()},
                        batch_size)
        for start in range(0, samples, CHUNK)
    ])  # fmt: skip
    expected, evidence = _over_read_outs(model, guide, table)
    ratio = model.log_prior_of(drawn).detach().double().cpu() - log_q
    bound, weights = expected + ratio, evidence + ratio
    return EvidenceEstimate(
        elbo=float(bound.mean()),
        elbo_se=float(bound.std() / samples**0.5),
        log_evidence=float(weights.logsumexp(0)) - math.log(samples),
        khat=_pareto_k(weights),
        samples=samples,
        count=model.space.count,
    )


def _log_likelihood(
    model: VDSModel, guide: Guide, data: DataLike | DataLoader, choices: dict[str, Tensor], batch_size: int
) -> Float[Tensor, "draw read_out"]:
    """Return the log likelihood of all data under drawn architectures and each read-out, nats, float64."""
    few, _ = given(model, guide, choices)
    with torch.inference_mode():
        parts = [
            log_likelihood(few, part).double().sum(-1).cpu() for part in read_data(few, data, batch_size=batch_size)
        ]
    return torch.stack(parts).sum(0).view(len(next(iter(choices.values()))), -1)


def _over_read_outs(model: VDSModel, guide: Guide, table: Tensor) -> tuple[Tensor, Tensor]:
    """Return the part of the ELBO and the log evidence that each draw has after the sum over read-outs, nats."""
    names = list(model.space.read_out)
    log_q = outer_sum([guide.log_probs()[name] for name in names]).detach().double().cpu().flatten()
    log_p = outer_sum([model.prior_logits(name) for name in names]).detach().double().cpu().flatten()
    return (log_q.exp() * (table + log_p - log_q)).sum(1), (table + log_p).logsumexp(1)


def _pareto_k(log_weights: Float[Tensor, " draw"]) -> float:
    """Return the Pareto shape k of importance weights; NaN for few, or where the largest are all the same."""
    if len(log_weights) < FEWEST:
        return math.nan
    from arviz_stats.base import array_stats  # which takes a second to import

    with suppress(ValueError):  # by which ArviZ says that they are
        _, khat = array_stats.psislw(-log_weights.numpy())  # of inverse weights, as loo has them
        return float(khat)
    return math.nan
