"""The prediction for some inputs from one pass: a mixture over architectures.

Probabilities are averaged, not logits: ``p(y|x) = sum_i q_i p(y|x,d=i)`` (paper, eq. 3).
"""

from collections.abc import Callable, Hashable, Mapping
from functools import cached_property

import pyro.distributions as dist
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.distributions import Distribution

from pyro_vds.guides.base import Guide
from pyro_vds.guides.categorical import guide_or_empty
from pyro_vds.guides.per_input import AutoPerInput
from pyro_vds.infer.entropy import EntropySplit, split_entropy
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.distribution_function import pit
from pyro_vds.ops.modes import eval_mode

Cut = Mapping[str, Hashable] | Int[Tensor, " batch"]
"""A label for each axis that is cut; or the entry at which each input stops, for an architecture for each input."""


class Mixture:
    """The predictive distribution of a model for some inputs, ``p(y | x) = sum_i q_i p(y | x, d=i)``.

    For numeric targets it is a ``pyro.distributions.MixtureSameFamily``, for classes a single ``Categorical``. All of
    its quantities follow from one forward pass.

    Args:
        model: The model.
        outputs: Outputs of every architecture, ``(architecture, *batch_shape, batch, *event)``.
        log_q: Log probabilities of the architectures, ``(*sizes, *batch_shape, batch_or_one)``, nats.
        cut: The cut; ``None`` keeps all architectures.
    """

    def __init__(self, model: VDSModel, outputs: Tensor, log_q: Tensor, cut: Cut | None = None) -> None:
        self._whole = (model, outputs, log_q)
        self.likelihood = model.likelihood
        cut = {} if cut is None else cut
        if isinstance(cut, Tensor):
            self.outputs, log_q = outputs, model.space.stop(log_q, cut.to(log_q.device))
        else:
            self.outputs, log_q = outputs[model.space.kept(cut)], model.space.fold(log_q, cut)
        self.log_weights = log_q.flatten(0, len(model.space) - 1) if model.space else log_q[None]

    def cut(self, **cut: Hashable) -> "Mixture":
        """Return the prediction of the cut network, from the same pass.

        Args:
            cut: A label for each axis that is cut, such as ``depth=3``.

        Raises:
            TypeError: If a label has the wrong type.
            ValueError: If an axis is unknown, or has no such label.
        """
        return Mixture(*self._whole, cut)

    @cached_property
    def distribution(self) -> Distribution:
        """The mixture as a distribution of Pyro, batch shape ``(*batch_shape, batch)``."""
        with torch.no_grad():  # learnt parameters of the likelihood are constants here, as the outputs are
            return self.likelihood.mixture(self.outputs, self.log_weights)

    @cached_property
    def components(self) -> Distribution:
        """The distribution under each architecture, batch shape ``(*batch_shape, batch, architecture)``."""
        with torch.no_grad():
            return self.likelihood.components(self.outputs, self.log_weights.ndim - 1)

    @property
    def weights(self) -> Float[Tensor, "*batch_shape batch_or_one architecture"]:
        """The probability of each architecture, for each point or for all points."""
        return self.log_weights.movedim(0, -1).exp()

    def log_prob(self, y: Shaped[Tensor, "*batch_and_target"]) -> Float[Tensor, "*batch_shape batch"]:
        """Return ``log sum_i q_i p(y_n | x_n, d=i)``, nats.

        Args:
            y: Targets.
        """
        return self.distribution.log_prob(y)

    @property
    def probs(self) -> Float[Tensor, "*batch_shape batch classes"]:
        """The class probabilities.

        Raises:
            TypeError: If targets are not classes.
        """
        return self._categorical().probs

    @property
    def mean(self) -> Float[Tensor, "*batch_and_target"]:
        """The mean, in the units of the target.

        Raises:
            TypeError: If targets are not numbers.
        """
        return self._numeric().mean

    @property
    def variance(self) -> Float[Tensor, "*batch_and_target"]:
        """The variance, :attr:`noise` plus :attr:`disagreement`, in the squared units of the target.

        Raises:
            TypeError: If targets are not numbers.
        """
        return self._numeric().variance

    @property
    def noise(self) -> Float[Tensor, "*batch_and_target"]:
        """The mean variance of the single architectures, which none of them can predict.

        Raises:
            TypeError: If targets are not numbers.
        """
        self._numeric()
        return self._weighed(self.components.variance)

    @property
    def disagreement(self) -> Float[Tensor, "*batch_and_target"]:
        """The variance of the means of the architectures, ``sum_i q_i (f_i - mean)**2``.

        Raises:
            TypeError: If targets are not numbers.
        """
        targets = len(self.components.event_shape)
        return self._weighed((self.components.mean - self.mean.unsqueeze(-1 - targets)) ** 2)

    def pit(
        self, y: Shaped[Tensor, "*batch_shape batch"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch_shape batch"]:
        """Return the probability integral transform ``F(y_n | x_n)`` of each target; for counts it is randomised.

        Args:
            y: Targets, one number for each input.
            generator: Generator of the draws (for counts only); ``None`` makes one with seed 0.

        Raises:
            TypeError: If targets are not numbers, or their distribution has no distribution function.
            ValueError: If an input has several targets.
        """
        if self._numeric().event_shape:
            raise ValueError(
                f"Expected a model with one target, got targets of shape {tuple(self.distribution.event_shape)}, which "
                "have no distribution function."
            )
        return pit(self.distribution, y, generator or torch.Generator().manual_seed(0))

    def entropy(self) -> EntropySplit:
        """Return the entropy of class predictions, split across architectures, nats.

        Raises:
            TypeError: If targets are not classes.
        """
        self._categorical()
        return split_entropy(self.outputs.log_softmax(-1), self.log_weights)

    def _weighed(self, values: Tensor) -> Tensor:
        """Return the mean over architectures of values ``(*batch_shape, batch, architecture, *target)``."""
        targets = len(self.components.event_shape)
        weights = self.weights.reshape(*self.weights.shape, *[1] * targets)
        return (weights * values).sum(-1 - targets)

    def _categorical(self) -> dist.Categorical:
        if not isinstance(self.distribution, dist.Categorical):
            raise TypeError(
                f"Expected a likelihood of classes, got {type(self.likelihood).__name__}. Use predict_moments or "
                "log_predictive."
            )
        return self.distribution

    def _numeric(self) -> Distribution:
        if not self.likelihood.numeric:
            raise TypeError(
                f"Expected a likelihood of numbers, got {type(self.likelihood).__name__}. Use predict_proba or "
                "log_predictive."
            )
        return self.distribution


def weigher(model: VDSModel, guide: Guide | None) -> Callable[[Tensor], Float[Tensor, "..."]]:
    """Return the function from a batch of inputs to the log probabilities of the architectures.

    Args:
        model: The model.
        guide: The guide; ``None`` for a model without axes.

    Returns:
        A function of inputs ``(*batch_shape, batch, ...)`` that returns ``(*sizes, *batch_shape, batch_or_one)``, nats.

    Raises:
        ValueError: If the guide does not fit the model.
    """
    device = model.device_tensor().device
    if model.by_input:
        if not isinstance(guide, AutoPerInput):
            raise ValueError(f"Expected an AutoPerInput guide for a model with plate=DATA, got {type(guide).__name__}.")
        guide.require_space(model.space)

        def of_inputs(x: Tensor) -> Tensor:
            with eval_mode(guide), torch.no_grad():
                return guide.by_input(x).T

        return of_inputs
    log_q = guide_or_empty(model, guide).joint_log_probs().detach().to(device)
    log_q = log_q if model.space else log_q.expand(model.batch_shape)
    replicates = len(model.batch_shape)
    log_q = log_q.movedim(tuple(range(replicates)), tuple(range(-replicates, 0)))[..., None]
    return lambda _: log_q
