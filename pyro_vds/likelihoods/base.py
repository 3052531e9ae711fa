"""Likelihoods: distributions of a target given a network's outputs.

A likelihood maps outputs ``(*axes, batch, *event)`` to a Pyro distribution of batch shape ``(*axes, batch)`` whose
``log_prob(y)`` is ``log p(y | x, architecture)`` in nats. Mixtures, predictions and measures are derived from it.
"""

import copy
from abc import ABC, abstractmethod
from typing import Any, ClassVar

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
        by_output: The names of parameters of which each output has its own; :meth:`meet` tells how many.
        outputs: The number of outputs that have their own; 1 before, and where one parameter serves them all.
        tempered: Whether ``log_prob`` weighs targets, as class weights do, so that it is no log density of them.
        batch_shape: ``(replicate,)`` for a likelihood of replicates, otherwise empty.
    """

    numeric: ClassVar[bool] = True
    by_output: tuple[str, ...] = ()
    outputs: int = 1
    tempered: bool = False
    batch_shape: torch.Size = torch.Size()

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_widen_to_state)

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

    def target_shapes(self, outputs: Outputs) -> tuple[torch.Size, ...]:
        """Return the shapes that the target of a point can have: that of the distribution's events.

        Args:
            outputs: Outputs for at least one input.
        """
        return (self(outputs).event_shape,)

    def meet(self, outputs: int) -> None:
        """Give the parameters of ``by_output`` an entry for each output, in place; the first data do it.

        Args:
            outputs: Number of outputs of the network.

        Raises:
            ValueError: If they have entries for another number of outputs.
        """
        if not self.by_output or outputs == self.outputs:
            return
        if self.outputs != 1:
            raise ValueError(
                f"Expected a network with {self.outputs} outputs, for which {type(self).__name__} has parameters, got "
                f"{outputs} outputs. Build the likelihood with outputs={outputs}."
            )
        self._widen(outputs)

    def for_each_output(self, parameter: Tensor) -> Tensor:
        """Return a parameter of ``by_output``, or a function of it, that broadcasts against several outputs."""
        return parameter if self.outputs > 1 else parameter[..., None]

    def _widen(self, outputs: int) -> None:
        for name in self.by_output:
            tensor = getattr(self, name)
            with torch.inference_mode(False), torch.no_grad():
                tensor.data = tensor.detach()[..., None].repeat(*[1] * tensor.ndim, outputs)
            tensor.grad = None
        self.outputs = outputs

    def class_log_probs(self, outputs: Outputs) -> Float[Tensor, "..."]:
        """Return the log probability of each class, ``(*axes, batch, classes)``, nats.

        Args:
            outputs: Outputs of the network.

        Raises:
            TypeError: If targets are numbers; a likelihood of classes says how outputs become probabilities.
        """
        raise TypeError(f"Expected a likelihood with a method class_log_probs(), got {type(self).__name__}.")

    def log_scores(
        self, outputs: Float[Tensor, "architecture *batch_shape_and_batch event"], y: Tensor
    ) -> tuple[Float[Tensor, "architecture *batch_shape_and_batch row"], Float[Tensor, "*batch_shape_and_batch row"]]:
        """Return log densities of outcomes and how much each counts; a target is one outcome, and counts as 1.

        Args:
            outputs: Outputs of each architecture.
            y: The targets.

        Returns:
            Log densities ``log p_r(i)`` of the outcomes of each point under each architecture, nats; and their weights
            ``w_r`` in the score ``sum_r w_r log sum_i q_i p_r(i)`` of a mixture.
        """
        log_probs = self(outputs).log_prob(y)[..., None]
        return log_probs, torch.ones_like(log_probs[0])

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
            name = type(self).__name__
            raise TypeError(f"Expected a likelihood of numbers, got {name}. Override its method disagreement().")
        components = self.components(outputs, log_weights.ndim - 1)
        targets, means = len(components.event_shape), components.mean
        weights = log_weights.movedim(0, -1).exp()[(..., *[None] * targets)]
        mean = (weights * means).sum(-1 - targets, keepdim=True)
        return (weights * (means - mean) ** 2).sum(-1 - targets)

    def metrics(
        self, mixture: Distribution, y: Shaped[Tensor, "*batch_and_target"]
    ) -> dict[str, Shaped[Tensor, "..."]]:
        """Return measures of a prediction for each point; a run reports their means.

        Args:
            mixture: The prediction from :meth:`mixture`.
            y: The targets.

        Returns:
            ``log_prob`` in nats, and ``squared_error`` of the mean in the squared units of ``y``. A run reports its
            root mean (``rmse``), and ``confidence`` with ``error`` as the expected calibration error (``ece``).
        """
        return {"log_prob": mixture.log_prob(y), "squared_error": (mixture.mean - y) ** 2}

    def replicated(self, batch_shape: torch.Size) -> "Likelihood":
        """Return the likelihood of replicates, each with its own parameters, ``(replicate, 1, *parameter)``.

        A dimension of the points lies between, so that they broadcast against outputs ``(replicate, batch, event)``.

        Args:
            batch_shape: ``(replicate,)``.
        """
        stacked = copy.deepcopy(self)
        stacked.batch_shape = batch_shape
        for tensor in stacked._tensors().values():
            tensor.data = tensor.detach().expand(*batch_shape, 1, *tensor.shape).clone()
        return stacked

    def single(self, replicate: int) -> "Likelihood":
        """Return the likelihood of one replicate, as a copy.

        Args:
            replicate: Number of the replicate.

        Raises:
            ValueError: If it is not a likelihood of replicates.
        """
        if not self.batch_shape:
            raise ValueError("Expected a likelihood of replicates, as replicated() returns it, got that of one model.")
        likelihood = copy.deepcopy(self)
        likelihood.batch_shape = torch.Size()
        for tensor in likelihood._tensors().values():
            tensor.data = tensor.detach()[replicate, 0].clone()
        return likelihood

    def _tensors(self) -> dict[str, Tensor]:
        """Return the parameters and buffers."""
        return dict(self.named_parameters()) | dict(self.named_buffers())


def _widen_to_state(likelihood: Any, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Take the number of outputs from a state, too, before it is loaded."""
    found = [state[prefix + name] for name in likelihood.by_output if prefix + name in state]
    if likelihood.outputs == 1 and found and found[0].ndim > 2 * len(likelihood.batch_shape):
        likelihood._widen(found[0].shape[-1])
