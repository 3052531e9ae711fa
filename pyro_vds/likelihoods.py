"""Likelihoods: what the network's outputs say about a target.

A likelihood maps outputs ``(*axes, batch, event)`` to a Pyro distribution of batch shape ``(*axes, batch)``
whose ``log_prob(y)`` is ``log p(y | x, d)`` in nats, and mixes the architectures for prediction.
"""

import copy
import math
from abc import ABC, abstractmethod

import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from pyro_vds.typing import Outputs


class Likelihood(nn.Module, ABC):
    """The distribution of a target given the network's outputs."""

    @abstractmethod
    def forward(self, outputs: Outputs) -> TorchDistributionMixin:
        """Return the distribution of the target, batch shape ``(*axes, batch)``."""

    @abstractmethod
    def check_targets(self, y: Tensor, outputs: Outputs) -> None:
        """Raise if targets do not suit the likelihood and the network's outputs.

        Args:
            y: All targets of a data set, ``(N, ...)``.
            outputs: Outputs for at least one input, ``(*axes, batch, *event)``.

        Raises:
            TypeError: If the targets have the wrong type.
            ValueError: If their shape or values do not fit.
        """

    @abstractmethod
    def marginal(
        self,
        outputs: Float[Tensor, "architecture *replicate batch event"],
        log_weights: Float[Tensor, "architecture *replicate"],
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the prediction of the mixture ``p(y|x) = sum_i q_i p(y|x,d=i)`` over architectures.

        Args:
            outputs: Outputs of each architecture.
            log_weights: Log mixture weights ``log q_i``, nats.
        """

    def replicated(self, n: int) -> "Likelihood":
        """Return the likelihood of ``n`` replicates, with parameters of its own for each.

        Args:
            n: Number of replicates.

        Raises:
            TypeError: If it has parameters or buffers and does not say how to replicate them.
        """
        if self.state_dict():
            raise TypeError(
                f"Expected a likelihood that can be replicated, but {type(self).__name__} has the tensors "
                f"{list(self.state_dict())}. Override its methods replicated() and single()."
            )
        return self

    def single(self, replicate: int) -> "Likelihood":
        """Return the likelihood of one replicate, as a copy.

        Args:
            replicate: Its number.
        """
        return copy.deepcopy(self)


class Classification(Likelihood):
    """Categorical likelihood: ``p(y | x, d) = softmax(outputs)[y]``, labels ``0..classes-1``."""

    def forward(self, outputs: Outputs) -> dist.Categorical:
        """Return ``Categorical(logits=outputs)``, batch shape ``(*axes, batch)``."""
        return dist.Categorical(logits=outputs)

    def check_targets(self, y: Tensor, outputs: Outputs) -> None:
        """Raise unless ``y`` holds integer labels ``(N,)`` in ``0..classes-1``."""
        if y.is_floating_point() or y.dtype == torch.bool or y.is_complex():
            raise TypeError(f"Expected integer labels, got {y.dtype}. Convert them with y.long().")
        if y.ndim != 1:
            raise ValueError(f"Expected labels of shape (N,), got {tuple(y.shape)}. Use y.argmax(-1) for one-hot.")
        classes = outputs.shape[-1]
        lowest, highest = int(y.min()), int(y.max())
        if lowest < 0 or highest >= classes:
            raise ValueError(
                f"Expected labels in 0..{classes - 1} for a network with {classes} outputs, got "
                f"{lowest}..{highest}. Renumber the labels or change out_features."
            )

    def marginal(
        self,
        outputs: Float[Tensor, "architecture *replicate batch event"],
        log_weights: Float[Tensor, "architecture *replicate"],
    ) -> Float[Tensor, "*replicate batch event"]:
        """Return ``log sum_i q_i softmax(outputs_i)``, the log class probabilities in nats (paper, eq. 3)."""
        return torch.logsumexp(outputs.log_softmax(-1) + log_weights[..., None, None], dim=0)


class Gaussian(Likelihood):
    """Normal likelihood with one noise scale: ``p(y | x, d) = Normal(outputs, scale)``.

    With one output, targets have shape ``(N,)``; with several, ``(N, outputs)``, independent given ``x``.

    Args:
        scale: Noise standard deviation in the units of ``y``, or its initial value; positive.
        learn_scale: Whether the scale is learnt with the weights (as ``log_scale``).

    Raises:
        ValueError: If ``scale`` is not positive and finite.
    """

    def __init__(self, scale: float = 1.0, *, learn_scale: bool = False) -> None:
        super().__init__()
        if not 0 < scale < math.inf:
            raise ValueError(f"Expected a positive, finite scale, got scale={scale}.")
        log_scale = torch.tensor(float(scale)).log()
        if learn_scale:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def replicated(self, n: int) -> "Gaussian":
        """Return the likelihood of ``n`` replicates, each with a noise scale of its own."""
        stacked = copy.deepcopy(self)
        stacked.log_scale.data = self.log_scale.detach().expand(n, 1).clone()
        return stacked

    def single(self, replicate: int) -> "Gaussian":
        """Return the likelihood of one replicate, with its noise scale."""
        one = copy.deepcopy(self)
        one.log_scale.data = self.log_scale.detach()[replicate, 0].clone()
        return one

    @property
    def scale(self) -> Float[Tensor, "*replicate_one"]:
        """The noise standard deviation, in the units of ``y``: a scalar, or ``(replicate, 1)``."""
        return self.log_scale.exp()

    def forward(self, outputs: Outputs) -> TorchDistributionMixin:
        """Return ``Normal(outputs, scale)``, batch shape ``(*axes, batch)``."""
        if outputs.shape[-1] == 1:
            return dist.Normal(outputs.squeeze(-1), self.scale)
        return dist.Normal(outputs, self.scale[..., None]).to_event(1)

    def check_targets(self, y: Tensor, outputs: Outputs) -> None:
        """Raise unless ``y`` holds finite floating-point targets, one for each output."""
        if not y.is_floating_point():
            raise TypeError(f"Expected floating-point targets, got {y.dtype}. Convert them with y.float().")
        features = outputs.shape[-1]
        expected = (len(y),) if features == 1 else (len(y), features)
        if y.shape != expected:
            raise ValueError(
                f"Expected targets of shape {expected} for a network with {features} output(s), got "
                f"{tuple(y.shape)}. Reshape y or change out_features."
            )
        if not bool(torch.isfinite(y).all()):
            raise ValueError("Expected finite targets, got NaN or infinity. Remove or impute those points.")

    def marginal(
        self,
        outputs: Float[Tensor, "architecture *replicate batch event"],
        log_weights: Float[Tensor, "architecture *replicate"],
    ) -> tuple[Float[Tensor, "*replicate batch event"], Float[Tensor, "*replicate batch event"]]:
        """Return the mean and variance of the mixture, the variance being the sum of both of :meth:`moments`."""
        mean, noise, disagreement = self.moments(outputs, log_weights)
        return mean, noise + disagreement

    def moments(
        self,
        outputs: Float[Tensor, "architecture *replicate batch event"],
        log_weights: Float[Tensor, "architecture *replicate"],
    ) -> tuple[
        Float[Tensor, "*replicate batch event"],
        Float[Tensor, "*replicate batch event"],
        Float[Tensor, "*replicate batch event"],
    ]:
        """Return mean, noise variance and disagreement variance of the mixture (law of total variance).

        ``mean = sum_i q_i f_i``, ``noise = scale**2`` and ``disagreement = sum_i q_i (f_i - mean)**2``, the variance
        between architectures.

        Args:
            outputs: Outputs of each architecture, in the units of ``y``.
            log_weights: Log mixture weights ``log q_i``, nats.
        """
        weights = log_weights.exp()[..., None, None]
        mean = (weights * outputs).sum(0)
        noise = (self.scale[..., None] ** 2).expand_as(mean)
        return mean, noise, (weights * (outputs - mean) ** 2).sum(0)
