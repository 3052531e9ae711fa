"""Guides that hold tables of logits for the axes."""

from collections.abc import Mapping

import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.guides.tables import positive_log_probs, require_single
from pyro_vds.guides.weights import SUM_TOLERANCE
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.tensors import outer_sum
from pyro_vds.spaces.space import Architecture, Space
from pyro_vds.spaces.typing import Inputs

NEVER = -1e30  # the log weight of an architecture that cannot be, in means over other axes


class AutoCategorical(Guide):
    """Independent categorical guide, ``q(d) = Categorical(softmax(logits))`` for each axis of the model.

    An axis with sites, such as the gates of a graph's edges, has a row of logits for each site. Their sites are not
    enumerated but drawn, or listed by :func:`pyro_vds.elbo`.

    Args:
        model: The model. The guide of a model without axes is empty.
    """

    takes_sites = True

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: (axis.sites, len(axis)) if axis.has_sites else (len(axis),) for name, axis in self.space.items()}

    def conditionals(self) -> list[Float[Tensor, "*replicate size"]]:
        """Return ``log q`` of each axis without sites, in nats."""
        return [self.logits[axis].log_softmax(-1) for axis in self.space.read_out]

    def over_sites(self, axis: str) -> TorchDistributionMixin:
        """Return ``q`` over the entries at all sites of an axis, which are independent.

        Args:
            axis: An axis with sites.
        """
        return dist.Categorical(logits=self.logits[axis]).to_event(1)

    def log_probs(self, x: Inputs | None = None) -> dict[str, Float[Tensor, "*replicate_and_sites size"]]:
        """Return ``log q`` of each entry of each axis, and each site if it has sites, in nats."""
        return {axis: self.logits[axis].log_softmax(-1) for axis in self.space}

    def joint_log_probs(self, x: Inputs | None = None) -> Float[Tensor, "*replicate_and_axes"]:
        """Return ``log q`` over the product of all axes, shape ``(*replicate, *sizes)``, in nats.

        Raises:
            ValueError: If there are more than 65,536 architectures.
        """
        if not self.space.with_sites:
            return super().joint_log_probs(x)
        self.space.require_table("for a table of probabilities", "Use guide.probs() and guide.sample().")
        return outer_sum([outer_sum(list(q)).flatten() if q.ndim > 1 else q for q in self.log_probs().values()])

    def sample(self, samples: int) -> dict[str, Int[Tensor, "samples ..."]]:
        """Draw architectures from ``q``, with the generator of torch.

        Args:
            samples: Number of draws.
        """
        require_single(self.batch_shape)
        return {axis: dist.Categorical(logits=q.detach()).sample((samples,)) for axis, q in self.log_probs().items()}

    def log_prob(self, architectures: Mapping[str, Int[Tensor, "samples ..."]]) -> Float[Tensor, " samples"]:
        """Return ``log q`` of architectures, nats; differentiable.

        Args:
            architectures: Entries of some axes; those of the others are left out.
        """
        log_q = self.log_probs()
        terms = [dist.Categorical(logits=log_q[axis]).log_prob(drawn) for axis, drawn in architectures.items()]
        return torch.stack([term.flatten(1).sum(1) if term.ndim > 1 else term for term in terms]).sum(0)

    def mode(self) -> Architecture:
        """Return the labels of an architecture with the largest ``q``."""
        require_single(self.batch_shape)
        entries = {name: q.argmax(-1).reshape(-1).tolist() for name, q in self.log_probs().items()}
        return {
            name: tuple(axis.labels[i] for i in entries[name]) if axis.has_sites else axis.labels[entries[name][0]]
            for name, axis in self.space.items()
        }

    @property
    def has_closed_kl(self) -> bool:
        """Whether :meth:`kl` is exact; it is, for any number of architectures."""
        return True

    def kl(self, model: VDSModel, x: Inputs | None = None) -> Float[Tensor, "*replicate"]:
        """Return ``KL(q || p)`` from the model's prior, in nats, exact for any number of sites.

        Args:
            model: The model.
            x: Not used.

        Raises:
            ValueError: If the guide is for other axes.
        """
        if not self.space.with_sites:
            return super().kl(model, x)
        self.require_space(model.space)
        log_q = self.log_probs()
        return torch.stack(
            [(q.exp() * q).sum() - model.expected_log_prior(name, q.exp()) for name, q in log_q.items()]
        ).sum()

    @torch.no_grad()
    def follow(self, log_weights: Float[Tensor, "*replicate_and_axes"]) -> None:
        """Make one sweep of coordinate ascent towards given weights; with one axis ``q`` becomes equal to them.

        Each site of an axis with sites is a coordinate of its own.

        Args:
            log_weights: Logarithms of weights that need not sum to one, ``(*batch_shape, *sizes)``, nats.
        """
        leading = len(self.batch_shape)
        rows = [row for axis in self.space for row in self._rows(axis)]
        sizes = tuple(row.shape[-1] for row in rows)
        finite = log_weights.clamp_min(NEVER).reshape(*self.batch_shape, *sizes)
        for place, row in enumerate(rows):
            expected = finite
            for other, factor in enumerate(rows):
                if other != place:
                    q = factor.softmax(-1).to(finite)
                    q = q.reshape(*q.shape[:leading], *(n if i == other else 1 for i, n in enumerate(sizes)))
                    expected = (expected * q).sum(leading + other, keepdim=True)
            row.copy_(positive_log_probs(expected.reshape(row.shape), row.dtype))

    def _rows(self, axis: str) -> list[Tensor]:
        """Return the logits of each site of an axis, or those of an axis without sites, as views."""
        logits = self.logits[axis]
        return list(logits.detach()) if self.space[axis].has_sites else [logits.detach()]

    @torch.no_grad()
    def set_probs(self, probs: Mapping[str, Float[Tensor, "*replicate size"]]) -> None:
        """Set the marginal of each axis, for example to ``exact_posterior(model, data).probs``.

        Args:
            probs: Probabilities for every axis. A zero becomes the smallest positive number: ``q`` has no zeros.

        Raises:
            ValueError: If an axis is missing or unknown, a size does not fit, or the values are not probabilities.
        """
        expected = {axis: tuple(logits.shape) for axis, logits in self.logits.items()}
        given = {axis: tuple(p.shape) for axis, p in probs.items()}
        if given != expected:
            raise ValueError(f"Expected probabilities for the axes and shapes {expected}, got {given}.")
        for axis, p in probs.items():
            if not bool((p >= 0).all()) or float((p.sum(-1) - 1).abs().max()) > SUM_TOLERANCE:
                raise ValueError(f"Expected probabilities of {axis!r} that sum to one, got {p.tolist()}.")
        for axis, p in probs.items():
            smallest = torch.finfo(self.logits[axis].dtype).tiny
            self.logits[axis].copy_(p.to(self.logits[axis]).clamp_min(smallest).log())


def require_guide(guide: object, space: Space) -> None:
    """Raise unless a guide is one of this package, over some axes in their order.

    Args:
        guide: The guide.
        space: The axes of a model or of its posterior.

    Raises:
        TypeError: If ``guide`` is another one, such as an autoguide of Pyro, whose probabilities nobody knows.
        ValueError: If the axes differ, or are in another order.
    """
    if not isinstance(guide, Guide):
        raise TypeError(
            f"Expected a guide of pyro_vds such as AutoCategorical(model), got {type(guide).__name__}. Guides of Pyro "
            "train by pyro.infer.SVI, or pyro_vds.enum_elbo with a torch optimiser, and predict by Pyro's Predictive."
        )
    guide.require_space(space)


def guide_or_empty(model: VDSModel, guide: Guide | None) -> Guide:
    """Return the guide, or the empty guide of a model without axes.

    Raises:
        TypeError: If ``guide`` is not a guide of this package, which knows its probabilities.
        ValueError: If ``guide`` is ``None`` for a model with axes, or belongs to other axes.
    """
    if guide is None and model.space:
        raise ValueError(
            f"Expected a guide for the model's axes {list(model.axes)}, got None. Make one with "
            "pyro_vds.AutoCategorical(model)."
        )
    if guide is None:
        return AutoCategorical(model)
    require_guide(guide, model.space)
    if guide.batch_shape != model.batch_shape:
        raise ValueError(
            f"Expected a guide for the model's batch_shape {tuple(model.batch_shape)}, got a guide for "
            f"{tuple(guide.batch_shape)}. Make one with pyro_vds.AutoCategorical(model)."
        )
    return guide
