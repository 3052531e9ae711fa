"""The likelihood of classes."""

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.spaces.typing import Outputs


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
