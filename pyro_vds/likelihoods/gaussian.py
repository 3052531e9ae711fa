"""The likelihood of a regression with one noise scale."""

import math

import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.spaces.typing import Outputs


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
            raise ValueError("Expected finite targets, got NaN or infinity. Remove or impute these points.")
