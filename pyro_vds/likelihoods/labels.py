"""The distribution of a class label that also takes soft labels, and weights of classes."""

from typing import Any

import pyro.distributions as dist
import torch
from jaxtyping import Float, Shaped
from torch import Tensor


class LabelDistribution(dist.Categorical):
    """A categorical distribution whose ``log_prob`` also takes soft labels.

    Of a label ``y`` it is ``w_y log p_y``; of a soft label, a floating-point distribution ``(*batch, classes)`` over
    the classes, the expectation ``sum_c y_c w_c log p_c``, nats. Without weights of the classes, ``w_c`` is 1.

    Args:
        log_probs: The log probability of each class, ``(*batch, classes)``, up to a constant, nats.
        class_weights: The weight of each class, ``(classes,)``, or one that broadcasts against ``log_probs``.
    """

    def __init__(
        self, log_probs: Float[Tensor, "*batch classes"], class_weights: Float[Tensor, "..."] | None = None
    ) -> None:
        super().__init__(logits=log_probs)
        self.class_weights = class_weights

    def expand(self, batch_shape: Any, _instance: Any = None) -> "LabelDistribution":
        """Return the same for a larger batch.

        Args:
            batch_shape: The batch shape.
        """
        batch_shape = torch.Size(batch_shape)
        logits = self.logits.expand(*batch_shape, self.logits.shape[-1])
        return LabelDistribution(logits, self.class_weights)

    def log_prob(self, value: Shaped[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return the weighted log probability of labels or, for floating-point values, of soft labels, nats.

        Args:
            value: Labels ``(*batch,)``, or soft labels ``(*batch, classes)``.
        """
        if not value.is_floating_point():
            log_prob = super().log_prob(value)
            return log_prob if self.class_weights is None else log_prob * self._weight_of(value, log_prob.shape)
        terms = value if self.class_weights is None else value * self.class_weights
        # A class that the label rules out costs nothing, even if its log probability is infinite.
        return (terms * self.logits.where(terms > 0, 0.0)).sum(-1)

    def _weight_of(self, labels: Tensor, shape: torch.Size) -> Tensor:
        """Return the weight of each label."""
        assert self.class_weights is not None
        weights = self.class_weights.expand(*shape, -1)
        return weights.gather(-1, labels.long().expand(shape)[..., None])[..., 0]
