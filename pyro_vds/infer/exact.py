"""The exact posterior over architectures for the current weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.guides.base import Guide
from pyro_vds.guides.categorical import require_guide
from pyro_vds.infer.passes import BATCH_SIZE, ReadOut, read_data
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops import dependence
from pyro_vds.ops.tensors import outer_sum
from pyro_vds.priors.base import PriorLike, as_categorical, prior_over_sites, priors_by_axis
from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.tables import choices, log_marginals
from pyro_vds.spaces.typing import DataLike


@dataclass(frozen=True)
class ExactPosterior:
    """``p(d=i | data) ∝ beta_i prod_n p(y_n | x_n, d=i)`` for the current weights; float64, on the CPU.

    Attributes:
        space: The space of architectures.
        log_prior: Log prior over the product of the axes, shape ``sizes``, nats.
        log_likelihood: ``sum_n log p(y_n | x_n, d)`` over the product of the axes, ``(*batch_shape, *sizes)``, nats.
    """

    space: Space
    log_prior: Float[Tensor, "*axes"]
    log_likelihood: Float[Tensor, "*batch_shape_and_axes"]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes."""
        return tuple(self.space)

    @property
    def log_evidence(self) -> float | Float[Tensor, "*batch_shape"]:
        """``log sum_i beta_i exp(sum_n log p(y_n | x_n, d=i))``, nats; a tensor with replicates."""
        return _number(self._log_sum(self.log_prior + self.log_likelihood))

    @property
    def log_joint_probs(self) -> Float[Tensor, "*batch_shape_and_axes"]:
        """Log posterior over the product of the axes, nats."""
        log_joint = self.log_prior + self.log_likelihood
        return log_joint - self._log_sum(log_joint)[(..., *[None] * len(self.space))]

    @property
    def probs(self) -> Mapping[str, Float[Tensor, "*batch_shape size"]]:
        """The marginal posterior of each axis, ``{"depth": (D + 1,)}``, and of each site, ``{"gate": (edge, 2)}``."""
        return {name: table.exp() for name, table in log_marginals(self.space, self.log_joint_probs).items()}

    @property
    def entropy(self) -> float | Float[Tensor, "*batch_shape"]:
        """The entropy of the posterior over architectures, nats."""
        return self._of_each(dependence.entropy)

    @property
    def total_correlation(self) -> float | Float[Tensor, "*batch_shape"]:
        """``sum_i H(a_i) - H(a)`` over axes and their sites, nats: what a guide of independent choices cannot have."""
        return self._of_each(dependence.total_correlation)

    def mutual_information(self, axis: str) -> Float[Tensor, "sites sites"]:
        """Return the mutual information of each pair of sites of an axis, nats; on the diagonal, their entropies.

        Args:
            axis: An axis with sites.

        Raises:
            ValueError: If the axis has no sites.
        """
        if axis not in self.space or not self.space[axis].has_sites:
            raise ValueError(f"Expected an axis with sites of {list(self.space.with_sites)}, got {axis!r}.")
        others = tuple(place for place, name in enumerate(self.space) if name != axis)
        table = self.log_joint_probs.exp().sum(others) if others else self.log_joint_probs.exp()
        sites = (len(self.space[axis]),) * self.space[axis].sites
        return torch.from_numpy(dependence.mutual_information(table.view(sites)))

    def elbo(self, guide: Guide) -> float | Float[Tensor, "*batch_shape"]:
        """Return the ELBO of a guide on the same data and weights, in eval mode, nats (paper, eq. 1).

        Args:
            guide: The guide.

        Raises:
            TypeError: If the guide is one of Pyro, whose probabilities nobody knows.
            ValueError: If the guide is one of other axes, or of the same in another order.
        """
        require_guide(guide, self.space)
        log_q = guide.joint_log_probs().detach().double().cpu()
        # Probabilities from float32 logits do not sum to one in double precision.
        log_q = log_q - self._log_sum(log_q)[(..., *[None] * len(self.space))]
        terms = log_q.exp() * (self.log_prior + self.log_likelihood - log_q)
        return _number(terms.flatten(-len(self.space)).sum(-1) if self.space else terms)

    def gap(self, guide: Guide) -> float | Float[Tensor, "*batch_shape"]:
        """Return ``log evidence - ELBO = KL(q || exact posterior)``, nats: the tightness of the bound.

        Args:
            guide: The guide.

        Raises:
            TypeError: As :meth:`elbo`.
            ValueError: As :meth:`elbo`.
        """
        return self.log_evidence - self.elbo(guide)

    def _of_each(self, measure: Callable[[Tensor], float]) -> float | Tensor:
        """Return a measure of the joint probabilities, a dimension for each axis and site, of each replicate."""
        sites = [len(axis) for axis in self.space.values() for _ in range(axis.sites)]
        joint = self.log_joint_probs.exp()
        leading = joint.shape[: joint.ndim - len(self.space)]
        rows = joint.reshape(-1, *(sites or [1])).double()
        return _number(torch.tensor([measure(row) for row in rows], dtype=torch.float64).reshape(leading))

    def _log_sum(self, log_probs: Tensor) -> Tensor:
        """Return the log of the sum over architectures."""
        return log_probs.flatten(-len(self.space)).logsumexp(-1) if self.space else log_probs


def _number(values: Tensor) -> float | Tensor:
    """Return a scalar tensor as a number, and a tensor over replicates as it is."""
    return values if values.ndim else float(values)


def exact_posterior(model: VDSModel, data: DataLike | DataLoader, *, batch_size: int = BATCH_SIZE) -> ExactPosterior:
    """Compute the exact posterior over architectures in one pass over the data (paper, appendix A, eq. 5).

    The network runs in eval mode; log likelihoods are summed in float64.

    Args:
        model: A model with trained weights.
        data: The training data, the same for every replicate: inputs and targets, and a weight for each point if they
            have weights; or a ``DataLoader`` of such pairs or triples that yields every point. Weights multiply the log
            likelihood of their points, and their sum plays the part of the number of data.
        batch_size: Points in one forward pass.

    Returns:
        The posterior of each replicate, with the log evidence and the gap to a guide's ELBO.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data are empty or do not fit the model, a ``DataLoader`` leaves points out, or each input
            has its own architecture.
    """
    require_one_posterior(model)
    with torch.inference_mode():
        parts = [
            log_likelihood(model, batch).double().sum(-1) for batch in read_data(model, data, batch_size=batch_size)
        ]
    return posterior_of(model, torch.stack(parts).sum(0))  # outside, for tensors that autograd takes


def log_likelihood(model: VDSModel, batch: ReadOut) -> Float[Tensor, "architecture *batch_shape batch"]:
    """Return ``w_n log p(y_n | x_n, d)`` of a batch under each architecture, nats; axes flattened.

    ``w_n`` is the weight of the point, 1 without weights.

    Args:
        model: The model.
        batch: A batch with its outputs.
    """
    assert batch.y is not None
    log_probs = model.likelihood(batch.outputs).log_prob(batch.y)
    return log_probs if batch.weight is None else log_probs * batch.weight


def posterior_of(model: VDSModel, total: Float[Tensor, "architecture *batch_shape"]) -> ExactPosterior:
    """Return the exact posterior from the log likelihood of each architecture.

    Args:
        model: The model.
        total: ``sum_n log p(y_n | x_n, d)``, nats, axes flattened.
    """
    by_axis = total.double().movedim(0, -1).reshape(model.batch_shape + model.sizes).cpu()
    return ExactPosterior(model.space, model.log_prior().detach().double().cpu(), by_axis)


def require_one_posterior(model: VDSModel) -> None:
    """Raise unless the model has one architecture for all inputs.

    Raises:
        ValueError: If the axes are in the plate of the data.
    """
    if model.by_input:
        raise ValueError(
            "Expected a model with one architecture for all inputs, got one with plate=DATA. Use pyro_vds.predict or "
            "pyro_vds.AdaptiveNetwork(model, guide), which take an architecture for each input."
        )


def reweight(posterior: ExactPosterior, priors: PriorLike | Mapping[str, PriorLike]) -> ExactPosterior:
    """Return the exact posterior under another prior for the same weights, without training.

    ``p'(i | data) ∝ p'(i) prod_n p(y_n | x_n, d=i)``. The weights remain those that were trained under the first prior.

    Args:
        posterior: A posterior from :func:`exact_posterior`.
        priors: One new prior for all axes, or a mapping with a prior for each.

    Raises:
        TypeError: If an argument is not a prior.
        ValueError: If a prior is missing, or does not fit its axis.
    """
    by_axis = priors_by_axis(priors, posterior.axes).items()
    tables = [_log_prior(prior, posterior.space[axis]) for axis, prior in by_axis]
    return replace(posterior, log_prior=outer_sum(tables))


def _log_prior(prior: PriorLike, axis: Axis) -> Tensor:
    """Return the log prior of each entry of an axis, with sites that of all their combinations, nats."""
    logits = as_categorical(prior, len(axis), axis.name).logits
    if not axis.has_sites:
        return logits
    return cast(Any, prior_over_sites(prior, axis)).log_prob(choices(Space([axis]))[axis.name])
