"""The entropy of class predictions, split across architectures."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.special import entr


@dataclass(frozen=True)
class EntropySplit:
    """The entropy of predictions, ``total = expected + mutual_information``, nats.

    Attributes:
        total: Entropy of the mixture, ``H(sum_d q(d) p(y | x, d))``.
        expected: Mean entropy of the single architectures, ``sum_d q(d) H(p(y | x, d))``: noise in the data.
        mutual_information: Mutual information of target and architecture, ``I(y; d | x)``: disagreement between
            architectures, from 0 to the entropy of ``q``.
    """

    total: Float[Tensor, "*batch_shape batch"]
    expected: Float[Tensor, "*batch_shape batch"]
    mutual_information: Float[Tensor, "*batch_shape batch"]


def split_entropy(
    log_probs: Float[Tensor, "architecture *batch classes"],
    log_weights: Float[Tensor, "architecture *leading_of_batch"],
) -> EntropySplit:
    """Split the entropy of a mixture into expected entropy and mutual information.

    Depeweg et al. 2018, "Decomposition of Uncertainty in Bayesian Deep Learning", eq. 3.

    Args:
        log_probs: Log class probabilities of each architecture, nats.
        log_weights: Log weight of each architecture, for each point or for all points, nats; weights sum to one.
    """
    probs, weights = log_probs.exp(), log_weights.exp()
    weights = weights.reshape(*weights.shape, *[1] * (probs.ndim - weights.ndim))
    total = entr((weights * probs).sum(0)).sum(-1)
    expected = (weights * entr(probs)).sum(0).sum(-1)
    # Entropy is concave, so that only rounding makes the difference negative.
    return EntropySplit(total, expected, (total - expected).clamp_min(0))
