"""The exact posterior over architectures for the weights as they are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.mixture import BATCH_SIZE, log_prob_by_architecture
from pyro_vds.models.checks import refuse_per_input, refuse_replicates
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.tensors import as_pair, outer_sum
from pyro_vds.priors.base import PriorLike, as_categorical, priors_by_axis
from pyro_vds.spaces.typing import Data


@dataclass(frozen=True)
class ExactPosterior:
    """``p(d=i | data) ∝ beta_i prod_n p(y_n | x_n, d=i)`` for the weights as they are; float64, CPU.

    Attributes:
        axes: The names of the axes.
        log_prior: Log prior over the product of the axes, nats.
        log_likelihood: ``sum_n log p(y_n | x_n, d)`` over the product of the axes, nats.
    """

    axes: tuple[str, ...]
    log_prior: Float[Tensor, "*axes"]
    log_likelihood: Float[Tensor, "*axes"]

    @property
    def log_evidence(self) -> float:
        """``log sum_i beta_i exp(sum_n log p(y_n | x_n, d=i))``, nats."""
        return float((self.log_prior + self.log_likelihood).flatten().logsumexp(0))

    @property
    def log_joint_probs(self) -> Float[Tensor, "*axes"]:
        """Log posterior over the product of the axes, nats."""
        return self.log_prior + self.log_likelihood - self.log_evidence

    @property
    def probs(self) -> Mapping[str, Float[Tensor, " size"]]:
        """The marginal posterior of each axis, for example ``{"depth": (D + 1,)}``."""
        joint = self.log_joint_probs.exp()
        return {
            axis: joint.sum([j for j in range(joint.ndim) if j != i]) if joint.ndim > 1 else joint
            for i, axis in enumerate(self.axes)
        }

    def elbo(self, guide: Guide) -> float:
        """Return the ELBO of a guide on the same data and weights, in eval mode, nats (paper, eq. 1)."""
        log_q = guide.joint_log_probs().detach().double().cpu()
        log_q = log_q - log_q.flatten().logsumexp(0)  # float32 logits do not sum to one to double precision
        return float((log_q.exp() * (self.log_prior + self.log_likelihood - log_q)).sum())

    def gap(self, guide: Guide) -> float:
        """Return ``log evidence - ELBO = KL(q || exact posterior)``, nats: the tightness of the bound."""
        return self.log_evidence - self.elbo(guide)


def exact_posterior(model: VDSModel, data: Data | DataLoader, *, batch_size: int = BATCH_SIZE) -> ExactPosterior:
    """Compute the exact posterior over architectures in one pass over the data (paper, appendix A, eq. 5).

    The network runs in eval mode; log likelihoods are summed in float64.

    Args:
        model: A model with trained weights.
        data: The training data: inputs and targets, or a ``DataLoader`` of pairs.
        batch_size: Points in one forward pass.

    Returns:
        The posterior, the log evidence, and the gap to a guide's ELBO.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data are empty or do not fit the model.
    """
    refuse_replicates(model)
    refuse_per_input(model)
    pairs = data if isinstance(data, DataLoader) else [data]
    total = None
    for pair in pairs:
        x, y = as_pair(pair, "data")
        part = log_prob_by_architecture(model, x, y, batch_size=batch_size).double().sum(-1)
        total = part if total is None else total + part
    if total is None:
        raise ValueError("Expected a DataLoader with at least one batch, got none.")
    log_prior = model.log_prior().detach().double().cpu()
    return ExactPosterior(model.axes, log_prior, total.cpu().reshape(model.sizes))


def reweight(posterior: ExactPosterior, priors: PriorLike | Mapping[str, PriorLike]) -> ExactPosterior:
    """Return the exact posterior under another prior, for the same trained weights: nothing is trained again.

    ``p'(i | data) ∝ p'(i) prod_n p(y_n | x_n, d=i)``. It answers what the posterior over architectures would be; the
    weights themselves were trained under the first prior.

    Args:
        posterior: A posterior of :func:`exact_posterior`.
        priors: The new prior, or one for each axis.

    Raises:
        TypeError: If a prior is none.
        ValueError: If a prior is missing, or does not fit its axis.
    """
    by_axis = priors_by_axis(priors, posterior.axes).items()
    sizes = posterior.log_likelihood.shape
    logits = [as_categorical(prior, n, axis).logits for (axis, prior), n in zip(by_axis, sizes, strict=True)]
    return replace(posterior, log_prior=outer_sum(logits))
