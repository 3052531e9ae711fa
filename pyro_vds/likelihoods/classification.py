"""The likelihood of classes."""

from typing import ClassVar

import pyro.distributions as dist
import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor
from torch.distributions import Distribution

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.ops.entropy import split_entropy
from pyro_vds.spaces.typing import Outputs


class Classification(Likelihood):
    """Categorical likelihood: ``p(y | x, d) = softmax(outputs)[y]``, labels ``0..classes-1``."""

    numeric: ClassVar[bool] = False

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

    def mixture(
        self,
        outputs: Float[Tensor, "architecture *batch_shape_and_batch event"],
        log_weights: Float[Tensor, "architecture *batch_shape_and_batch_or_one"],
    ) -> dist.Categorical:
        """Return the mixture over architectures, which is again a categorical distribution.

        Its logits are ``log sum_i q_i softmax(outputs_i)``, the log class probabilities in nats (paper, eq. 3).

        Args:
            outputs: Outputs of each architecture.
            log_weights: Log mixture weights ``log q_i``, nats, for each point or once for all.
        """
        # Not log_softmax, which fixes the size of the batch in a graph exported from one example.
        log_probs = outputs - outputs.amax(-1, keepdim=True)
        log_probs = log_probs - log_probs.logsumexp(-1, keepdim=True)
        return dist.Categorical(logits=torch.logsumexp(log_probs + log_weights[..., None], dim=0))

    def prediction(self, mixture: Distribution) -> Float[Tensor, "*batch_shape batch classes"]:
        """Return the log class probabilities, nats.

        Args:
            mixture: The mixture from :meth:`mixture`.
        """
        assert isinstance(mixture, dist.Categorical)
        return mixture.logits

    def disagreement(
        self,
        outputs: Float[Tensor, "architecture *batch_shape_and_batch event"],
        log_weights: Float[Tensor, "architecture *batch_shape_and_batch_or_one"],
    ) -> Float[Tensor, "*batch_shape batch"]:
        """Return the mutual information of class and architecture, ``I(y; d | x)``, nats.

        Args:
            outputs: Outputs of each architecture.
            log_weights: Log mixture weights ``log q_i``, nats, for each point or once for all.
        """
        return split_entropy(outputs.log_softmax(-1), log_weights).mutual_information

    def metrics(
        self, mixture: Distribution, y: Integer[Tensor, "*batch_shape batch"]
    ) -> dict[str, Shaped[Tensor, "*batch_shape batch"]]:
        """Return measures of a prediction for each point.

        Args:
            mixture: The prediction from :meth:`mixture`.
            y: The labels.

        Returns:
            ``log_prob`` in nats; ``error``, whether the most probable class is wrong; ``confidence``, the probability
            of that class; and ``brier``, the Brier score ``sum_c (p_c - [y = c])**2``.
        """
        assert isinstance(mixture, dist.Categorical)
        probs = mixture.probs.double()
        confidence, predicted = probs.max(-1)
        truth = probs.gather(-1, y[..., None].long())[..., 0]
        return {
            "log_prob": mixture.log_prob(y),
            "error": (predicted != y).to(confidence),
            "confidence": confidence,
            "brier": probs.square().sum(-1) - 2 * truth + 1,
        }
