"""Guides: the variational posterior ``q`` over architectures, enumerated exactly."""

from typing import cast

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.nn import PyroModule
from torch import Tensor, nn

from pyro_vds.model import VDSModel, outer_sum, refuse_svi, replicate_plate

SUM_TOLERANCE = 1e-4


class AutoCategorical(PyroModule):
    """Independent categorical guide, ``q(d) = Categorical(softmax(logits))`` for each axis of the model.

    The logits start at zero, which makes ``q`` uniform. They are ``torch.nn.Parameter`` s, and Pyro
    enumerates the sites in parallel, so that the ELBO is exact (paper, eq. 1).

    Args:
        model: The model whose axes the guide covers. A model without axes has an empty guide.
    """

    def __init__(self, model: VDSModel) -> None:
        super().__init__()
        self.axes = model.axes
        self.sizes = model.sizes
        like = model.device_tensor()
        self.replicates = model.replicates
        rows = () if self.replicates is None else (self.replicates,)
        logits = {a: nn.Parameter(like.new_zeros(*rows, n)) for a, n in zip(self.axes, self.sizes, strict=True)}
        self._modules["logits"] = nn.ParameterDict(logits)

    @property
    def logits(self) -> nn.ParameterDict:
        """The variational logits of each axis; a property for the reason given in ``VDSModel``."""
        return cast(nn.ParameterDict, self._modules["logits"])

    def forward(self, x: Tensor | None = None, y: Tensor | None = None) -> dict[str, Tensor]:
        """Sample each axis, or enumerate it under ``TraceEnum_ELBO``.

        Args:
            x: Ignored; Pyro calls the guide with the model's arguments.
            y: Ignored.

        Returns:
            The sampled index of each axis.
        """
        refuse_svi()
        with replicate_plate(self.replicates) as copies:
            return {
                # One row for each replicate, the same for all of its data.
                axis: pyro.sample(
                    axis,
                    dist.Categorical(logits=self.logits[axis][:, None] if copies else self.logits[axis]),
                    infer={"enumerate": "parallel"},
                )
                for axis in self.axes
            }

    def log_probs(self) -> dict[str, Float[Tensor, "*replicate size"]]:
        """Return ``log q`` of each entry of each axis, in nats."""
        return {axis: self.logits[axis].log_softmax(-1) for axis in self.axes}

    def probs(self) -> dict[str, Float[Tensor, "*replicate size"]]:
        """Return the marginal ``q`` of each axis, for example ``{"depth": (D + 1,)}``; detached."""
        return {axis: log_prob.detach().exp() for axis, log_prob in self.log_probs().items()}

    def joint_log_probs(self) -> Float[Tensor, "*replicate_and_axes"]:
        """Return ``log q`` over the product of all axes, shape ``(*replicate, *sizes)``, in nats."""
        return outer_sum(list(self.log_probs().values()))

    def joint_probs(self) -> Float[Tensor, "*replicate_and_axes"]:
        """Return ``q`` over the product of all axes, shape ``(*replicate, *sizes)``; detached."""
        return self.joint_log_probs().detach().exp()

    def kl(self, model: VDSModel) -> Float[Tensor, "*replicate"]:
        """Return ``KL(q || p)`` from the model's prior, in nats (the second term of the paper's eq. 1)."""
        log_q = self.joint_log_probs()
        terms = log_q.exp() * (log_q - model.log_prior())
        return terms.flatten(-len(self.axes)).sum(-1) if self.axes else terms

    @torch.no_grad()
    def set_probs(self, probs: dict[str, Float[Tensor, "*replicate size"]]) -> None:
        """Set the marginal of each axis, for example to ``exact_posterior(model, data).probs``.

        Args:
            probs: Probabilities for every axis. A zero becomes the smallest positive number: ``q`` has no zeros.

        Raises:
            ValueError: If an axis is missing or unknown, a size does not fit, or the values are no probabilities.
        """
        expected = {axis: tuple(logits.shape) for axis, logits in self.logits.items()}
        came = {axis: tuple(p.shape) for axis, p in probs.items()}
        if came != expected:
            raise ValueError(f"Expected probabilities for the axes and shapes {expected}, got {came}.")
        for axis, p in probs.items():
            if not bool((p >= 0).all()) or float((p.sum(-1) - 1).abs().max()) > SUM_TOLERANCE:
                raise ValueError(f"Expected probabilities of {axis!r} that sum to one, got {p.tolist()}.")
        for axis, p in probs.items():
            smallest = torch.finfo(self.logits[axis].dtype).tiny
            self.logits[axis].copy_(p.to(self.logits[axis]).clamp_min(smallest).log())
