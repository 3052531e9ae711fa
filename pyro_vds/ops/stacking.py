"""The weights of a mixture with the largest mean log density."""

import torch
from jaxtyping import Float
from torch import Tensor

MOST_MISSING = 1e-5
MOST_STEPS = 2000


def maximise_log_score(
    log_probs: Float[Tensor, "architecture *batch_shape N"], counts: Float[Tensor, "*batch_shape N"] | None = None
) -> Float[Tensor, "architecture *rest"]:
    """Return the weights of a mixture with the largest mean log density, by expectation maximisation.

    ``w_a <- w_a g_a ** r`` with ``g_a = mean_n p_a(n) / sum_b w_b p_b(n)``, the mean weighted by the counts, from
    uniform weights. A step with ``r = 1`` never lowers the mean log density; ``r`` doubles as long as it rises, and is
    1 again after a step that would lower it. As the mean log density is concave in ``w``, no weights are better by more
    than ``max_a g_a - 1``: the steps end once that is below 1e-5 nats, or after 2,000 of them. Components that cannot
    be told apart share their weight.

    Args:
        log_probs: Log density of each point under each component, nats, in float64.
        counts: How much each point counts, at least 0; ``None`` is the same for all. Points that count 0 are left out.

    Returns:
        Weights ``(architecture, *batch_shape)`` that sum to one; NaN where a point is impossible under all components,
        or a density is not a number.
    """
    log_probs, counts = log_probs.clone(), torch.ones_like(log_probs[0]) if counts is None else counts.clone()
    log_probs = log_probs.where(counts > 0, 0.0)
    shares = counts / counts.sum(-1, keepdim=True)
    best = log_probs.amax(0)
    usable = (best.isfinite() & ~log_probs.isnan().any(0)).all(-1)
    # A constant for each point changes no weight, and keeps exp() from underflow.
    probs = (log_probs - best).exp().where(usable[..., None], 1.0)
    weights = torch.full(probs.shape[:-1], 1 / len(probs), dtype=probs.dtype)
    score, slopes = _score_and_slopes(weights, probs, shares)
    rate = torch.ones_like(score)
    for _ in range(MOST_STEPS):
        active = slopes.amax(0) - 1 > MOST_MISSING  # each replicate ends as it would alone
        if not active.any():
            break
        tried = weights * slopes**rate
        tried = (tried / tried.sum(0)).clamp_min(torch.finfo(probs.dtype).tiny)  # from zero there is no way back
        tried_score, tried_slopes = _score_and_slopes(tried, probs, shares)
        better = active & ((tried_score >= score) | (rate == 1))
        weights, slopes = tried.where(better, weights), tried_slopes.where(better, slopes)
        score, rate = tried_score.where(better, score), (2 * rate).where(better, 1.0)
    return weights.where(usable, torch.nan)


def _score_and_slopes(weights: Tensor, probs: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean log density of the mixture, and its slope along each weight."""
    mixed = torch.einsum("a...,a...n->...n", weights, probs)
    return (shares * mixed.log()).sum(-1), torch.einsum("a...n,...n->a...", probs, shares / mixed)
