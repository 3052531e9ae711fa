"""What a model and its guide share: the axes of a network, and the priors over them."""

import itertools
from collections.abc import Hashable, Mapping
from typing import Any, cast

import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.nn import PyroModule
from torch import Tensor

from pyro_vds.ops.compat import StaysFloat32, held
from pyro_vds.ops.tensors import at_least_float32, outer_sum
from pyro_vds.priors.base import Prior, PriorLike, as_categorical, prior_over_sites, priors_by_axis
from pyro_vds.priors.families import Geometric, Uniform
from pyro_vds.priors.learnt import LearntPriors
from pyro_vds.spaces.space import LIMIT, Space
from pyro_vds.spaces.tables import choices


class WithPriors(StaysFloat32, PyroModule):
    """A module with a space of architectures and a prior over each of its axes.

    Attributes:
        space: The space of architectures.
        priors: The prior over each axis.
        whole: The entries at each site in every architecture, ``(architecture, sites)`` for each axis with sites; none
            where there are too many.
    """

    space: Space
    priors: dict[str, PriorLike]
    whole: dict[str, Tensor]

    def _keep_priors(self, priors: PriorLike | Mapping[str, PriorLike] | None) -> None:
        """Check the priors against the space, and keep them with their tables."""
        usual = {name: Uniform() if axis.has_sites else Geometric() for name, axis in self.space.items()}
        self.priors = priors_by_axis(usual if priors is None else priors, self.axes)
        like = self.table_tensor()
        self.whole = choices(self.space) if self.space.with_sites.count <= LIMIT else {}
        for name, axis in self.space.items():
            logits = as_categorical(self.priors[name], len(axis), name).logits
            over_sites = prior_over_sites(self.priors[name], axis) if axis.has_sites else None
            if isinstance(over_sites, dist.Independent):
                logits = over_sites.base_dist.logits
            self.register_buffer(f"prior_logits_{name}", logits.to(like))
            if over_sites is not None and axis.entries <= LIMIT:  # a table that each step needs
                table = cast(Any, over_sites).log_prob(choices(Space([axis]))[name])
                self.register_buffer(f"log_prior_{name}", table.to(like), persistent=False)

    def prior_buffers(self) -> set[Tensor]:
        """Return the buffers that hold priors, which training does not change."""
        own = ("prior_logits_", "log_prior_")
        return {buffer for name, buffer in self.named_buffers(recurse=False) if name.startswith(own)}

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes."""
        return tuple(self.space)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of entries of each axis."""
        return self.space.sizes

    @property
    def coords(self) -> dict[str, tuple[Hashable, ...]]:
        """The labels of each axis."""
        return self.space.coords

    def prior(self, axis: str) -> TorchDistributionMixin:
        """Return the prior over an axis: a ``Categorical``, or with sites a distribution of entries ``(sites,)``.

        Args:
            axis: One of ``axes``.
        """
        if self.space[axis].has_sites and self.get_buffer(f"prior_logits_{axis}").ndim == 1:
            return prior_over_sites(self.priors[axis], self.space[axis])
        categorical = dist.Categorical(logits=self.prior_logits(axis))
        return categorical.to_event(1) if self.space[axis].has_sites else categorical

    def prior_logits(self, axis: str) -> Float[Tensor, "*sites size"]:
        """Return the log prior of each entry of an axis, in nats; of gates that are not independent, that of one."""
        learnt = held(self, "learnt_priors")
        if isinstance(learnt, LearntPriors):
            return learnt.log_probs(axis).to(self.get_buffer(f"prior_logits_{axis}"))
        return self.get_buffer(f"prior_logits_{axis}")

    def fitted_prior(self, axis: str) -> PriorLike:
        """Return the prior over an axis, with its learnt parameters if there are any.

        Args:
            axis: One of ``axes``.
        """
        learnt = held(self, "learnt_priors")
        return learnt.fitted(axis) if isinstance(learnt, LearntPriors) else self.priors[axis]

    def log_prior(self) -> Float[Tensor, "*axes"]:
        """Return the log prior over the product of all axes, shape ``sizes``, in nats."""
        tables = [self._log_prior(name) for name in self.axes]
        return outer_sum(tables).to(self.device_tensor().device)

    def _log_prior(self, axis: str) -> Tensor:
        """Return the log prior of each entry of an axis, with sites that of all their combinations."""
        if not self.space[axis].has_sites:
            return self.prior_logits(axis)
        return self.get_buffer(f"log_prior_{axis}")

    def log_prior_of(self, drawn: Mapping[str, Int[Tensor, "samples sites"]]) -> Float[Tensor, " samples"]:
        """Return the log prior of drawn choices at all sites, nats.

        Args:
            drawn: The entry at each site, of each axis with sites.
        """
        device = self.device_tensor().device
        return torch.stack([self.prior(name).log_prob(entries.to(device)) for name, entries in drawn.items()]).sum(0)

    def expected_log_prior(self, axis: str, probs: Float[Tensor, "*sites size"]) -> Float[Tensor, ""]:
        """Return ``E_q[log p]`` over an axis under independent choices at its sites, nats; exact.

        Args:
            axis: One of ``axes``.
            probs: The probability of each entry, at each site if the axis has sites.
        """
        prior, logits = self.priors[axis], self.prior_logits(axis)
        alike = logits.ndim == probs.ndim
        return (probs * logits).sum() if alike or not isinstance(prior, Prior) else prior.expected_log_prob(probs)

    def device_tensor(self) -> Tensor:
        """Return a zero on the model's device and in the dtype of its weights, or of its tables without weights."""
        tensors = itertools.chain(self.parameters(), self.buffers())
        like = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
        return torch.zeros(()) if like is None else like.new_zeros(()).detach()

    def table_tensor(self) -> Tensor:
        """Return a zero on the model's device in the dtype of logits and likelihoods, float32 at least."""
        return at_least_float32(self.device_tensor())
