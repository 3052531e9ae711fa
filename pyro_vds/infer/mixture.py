"""The prediction for some inputs from one pass: a mixture over architectures.

Probabilities are averaged, not logits: ``p(y|x) = sum_i q_i p(y|x,d=i)`` (paper, eq. 3).
"""

from collections.abc import Hashable
from dataclasses import replace
from functools import cached_property

import pyro.distributions as dist
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution

from pyro_vds.guides.weights import Weights
from pyro_vds.infer.cases import Case
from pyro_vds.infer.weigher import Tables, of_case
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.distribution_function import pit
from pyro_vds.ops.entropy import EntropySplit, split_entropy


class Mixture:
    """The predictive distribution of a model for some inputs, ``p(y | x) = sum_i q_i p(y | x, d=i)``.

    The weights ``q_i`` are the posterior, or others that :meth:`with_weights` names. For numeric targets it is a
    ``pyro.distributions.MixtureSameFamily``, for classes a single ``Categorical``. All of its quantities follow from
    one forward pass.

    Args:
        model: The model.
        outputs: Outputs of every architecture, ``(architecture, *batch_shape, batch, *event)``.
        tables: Log weights of the architectures by name, ``(*sizes, *batch_shape, batch_or_one)``, nats.
        case: The weights that are taken, and the cut.
    """

    def __init__(self, model: VDSModel, outputs: Tensor, tables: Tables, case: Case | None = None) -> None:
        self._whole = (model, outputs, tables)
        self._case = case = Case() if case is None else case
        self.likelihood = model.likelihood
        self.outputs = outputs if isinstance(case.cut, Tensor) else outputs[model.space.kept(case.cut)]
        self.log_weights = of_case(model.space, tables(case.weights), case)

    def cut(self, **cut: Hashable) -> "Mixture":
        """Return the prediction of the cut network, from the same pass.

        Args:
            cut: A label for each axis that is cut, such as ``depth=3``.

        Raises:
            TypeError: If a label has the wrong type.
            ValueError: If an axis is unknown, or has no such label.
        """
        return Mixture(*self._whole, replace(self._case, cut=cut))

    def with_weights(self, weights: Weights) -> "Mixture":
        """Return the prediction with other weights of the architectures, from the same pass; a cut stays.

        Args:
            weights: ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``.

        Raises:
            ValueError: If there are no such weights.
        """
        return Mixture(*self._whole, replace(self._case, weights=weights))

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

        For soft labels, ``sum_c y_nc log sum_i q_i p(c | x_n, d=i)``: the expected log probability of the class.

        Args:
            y: Targets.
        """
        return self.distribution.log_prob(y)

    @property
    def log_probs(self) -> Float[Tensor, "*batch_shape batch classes"]:
        """The log class probabilities, nats: exact where a probability is too small for a float.

        Raises:
            TypeError: If targets are not classes.
        """
        return self._categorical().logits

    @property
    def probs(self) -> Float[Tensor, "*batch_shape batch classes"]:
        """The class probabilities in float64, which is 0 only below 1e-323: float32 is from 1e-45.

        Raises:
            TypeError: If targets are not classes.
        """
        return self.log_probs.double().softmax(-1)

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
        """How much the architectures disagree: the likelihood's :meth:`pyro_vds.likelihoods.Likelihood.disagreement`.

        The variance of their means for numbers, in the squared units of the target; the mutual information of target
        and architecture for classes, nats.
        """
        with torch.no_grad():
            return self.likelihood.disagreement(self.outputs, self.log_weights)

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
        return split_entropy(self.likelihood.class_log_probs(self.outputs), self.log_weights)

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
