"""Likelihoods: distributions of a target given a network's outputs.

A likelihood maps outputs ``(*axes, batch, *event)`` to a Pyro distribution of batch shape ``(*axes, batch)`` whose
``log_prob(y)`` is ``log p(y | x, architecture)`` in nats. Mixtures, predictions and measures are derived from it.
"""

import copy
from abc import ABC, abstractmethod
from typing import ClassVar

import pyro.distributions as dist
import torch
from jaxtyping import Float, Shaped
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import Distribution

from pyro_vds.ops.compat import StaysFloat32
from pyro_vds.spaces.typing import Outputs


class Likelihood(StaysFloat32, ABC):
    """The distribution of a target given the network's outputs.

    A likelihood of your own needs :meth:`forward` and :meth:`check_targets`. Its distribution needs a mean and a
    variance for moments, and a ``cdf`` (or counts as its support) for the calibration of intervals.

    Attributes:
        numeric: Whether targets are numbers, with a mean and a distribution function, rather than classes.
    """

    numeric: ClassVar[bool] = True

    @abstractmethod
    def forward(self, outputs: Outputs) -> TorchDistributionMixin:
        """Return the distribution of the target, batch shape ``(*axes, batch)``."""

    @abstractmethod
    def check_targets(self, y: Tensor, outputs: Outputs) -> None:
        """Raise if targets do not fit the likelihood and the network's outputs.

        Args:
            y: All targets of a data set, ``(N, ...)``.
            outputs: Outputs for at least one input, ``(*axes, batch, *event)``.

        Raises:
            TypeError: If the targets have the wrong type.
            ValueError: If their shape or values do not fit.
        """

    def components(
        self, outputs: Float[Tensor, "architecture *batch_shape_and_batch event"], batch_dims: int = 1
    ) -> Distribution:
        """Return the distribution of each architecture, batch shape ``(*batch_shape, batch, architecture)``.

        Args:
            outputs: Outputs of each architecture.
            batch_dims: Number of dimensions of ``(*batch_shape, batch)``: 1 without replicates.
        """
        outputs = outputs.movedim(0, batch_dims)
        if batch_dims == 1:
            return self(outputs)
        # Parameters of replicates are (replicate, 1, ...): one more dimension broadcasts over the architectures.
        state = {name: tensor.unsqueeze(batch_dims) for name, tensor in self._tensors().items()}
        return torch.func.functional_call(self, state, (outputs,))

    def mixture(
        self,
        outputs: Float[Tensor, "architecture *batch_shape_and_batch event"],
        log_weights: Float[Tensor, "architecture *batch_shape_and_batch_or_one"],
    ) -> Distribution:
        """Return the mixture over architectures, ``p(y|x) = sum_i q_i p(y|x,d=i)`` (paper, eq. 3).

        Args:
            outputs: Outputs of each architecture.
            log_weights: Log mixture weights ``log q_i``, nats, for each point or once for all.
        """
        components = self.components(outputs, log_weights.ndim - 1)
        logits = log_weights.movedim(0, -1)
        # MixtureSameFamily compares sizes, which would fix that of the batch in a graph exported from one example.
        logits = logits if torch.compiler.is_exporting() else logits.expand(components.batch_shape)
        return dist.MixtureSameFamily(dist.Categorical(logits=logits), components)

    def prediction(self, mixture: Distribution) -> Tensor | tuple[Tensor, Tensor]:
        """Return the outputs of a pruned network for a mixture: the mean and the variance.

        Args:
            mixture: The mixture from :meth:`mixture`.
        """
        return mixture.mean, mixture.variance

    def disagreement(
        self,
        outputs: Float[Tensor, "architecture *batch_shape_and_batch event"],
        log_weights: Float[Tensor, "architecture *batch_shape_and_batch_or_one"],
    ) -> Float[Tensor, "..."]:
        """Return how much the architectures disagree about each target: ``sum_i q_i (f_i - mean)**2`` of their means.

        Args:
            outputs: Outputs of each architecture.
            log_weights: Log mixture weights ``log q_i``, nats, for each point or once for all.

        Returns:
            The variance of the means, ``(*batch_shape, batch, *target)``, in the squared units of the target.

        Raises:
            TypeError: If targets are not numbers; a likelihood of classes measures it in another way.
        """
        if not self.numeric:
            raise TypeError(
                f"Expected a likelihood of numbers, got {type(self).__name__}. Override its method disagreement()."
            )
        components = self.components(outputs, log_weights.ndim - 1)
        targets = len(components.event_shape)
        weights = log_weights.movedim(0, -1).exp()
        weights = weights.reshape(*weights.shape, *[1] * targets)
        mean = (weights * components.mean).sum(-1 - targets, keepdim=True)
        return (weights * (components.mean - mean) ** 2).sum(-1 - targets)

    def metrics(
        self, mixture: Distribution, y: Shaped[Tensor, "*batch_and_target"]
    ) -> dict[str, Shaped[Tensor, "..."]]:
        """Return measures of a prediction for each point; a run reports their means.

        A run reports ``squared_error`` as its root mean (``rmse``), and ``confidence`` together with ``error`` as the
        expected calibration error (``ece``).

        Args:
            mixture: The prediction from :meth:`mixture`.
            y: The targets.

        Returns:
            ``log_prob`` in nats, and ``squared_error`` of the mean in the squared units of ``y``.
        """
        return {"log_prob": mixture.log_prob(y), "squared_error": (mixture.mean - y) ** 2}

    def replicated(self, batch_shape: torch.Size) -> "Likelihood":
        """Return the likelihood of replicates, each with its own parameters, ``(replicate, 1)``.

        Args:
            batch_shape: ``(replicate,)``.

        Raises:
            TypeError: If the likelihood has parameters or buffers that are not scalars.
        """
        stacked = copy.deepcopy(self)
        for name, tensor in stacked._tensors().items():
            if tensor.ndim:
                raise TypeError(
                    f"Expected a likelihood with scalar parameters to replicate, got {name} of {type(self).__name__} "
                    f"with shape {tuple(tensor.shape)}. Override its methods replicated() and single()."
                )
            tensor.data = tensor.detach().expand(*batch_shape, 1).clone()
        return stacked

    def single(self, replicate: int) -> "Likelihood":
        """Return the likelihood of one replicate, as a copy.

        Args:
            replicate: Number of the replicate.

        Raises:
            ValueError: If it is not a likelihood of replicates.
        """
        likelihood = copy.deepcopy(self)
        if any(tensor.ndim < 2 for tensor in likelihood._tensors().values()):
            raise ValueError("Expected a likelihood of replicates, as replicated() returns it; got scalar parameters.")
        for tensor in likelihood._tensors().values():
            tensor.data = tensor.detach()[replicate, 0].clone()
        return likelihood

    def _tensors(self) -> dict[str, Tensor]:
        """Return the parameters and buffers."""
        return dict(self.named_parameters()) | dict(self.named_buffers())
