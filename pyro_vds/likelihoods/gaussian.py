"""The likelihood of a regression, with a noise scale for each output."""

import math

import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.likelihoods.targets import check_numbers
from pyro_vds.spaces.typing import Outputs


class Gaussian(Likelihood):
    """Normal likelihood: ``p(y | x, d) = Normal(outputs, scale)``.

    With one output, targets have shape ``(N,)``; with several, ``(N, outputs)``, independent given ``x``. A scale that
    is learnt is one for each output: the first data that the model meets tell how many there are, or ``outputs`` does.
    A fixed scale is the same for all outputs.

    Args:
        scale: Noise standard deviation in the units of ``y``, or its initial value; positive.
        learn_scale: Whether the scale of each output is learnt with the weights (as ``log_scale``).
        outputs: Number of outputs, each with a scale; only a training loop that checks no data needs it.

    Raises:
        ValueError: If ``scale`` is not positive and finite, or ``outputs`` not a positive number.
    """

    def __init__(self, scale: float = 1.0, *, learn_scale: bool = False, outputs: int | None = None) -> None:
        super().__init__()
        if not 0 < scale < math.inf:
            raise ValueError(f"Expected a positive, finite scale, got scale={scale}.")
        if outputs is not None and outputs < 1:
            raise ValueError(f"Expected a positive number of outputs, got outputs={outputs}.")
        log_scale = torch.tensor(float(scale)).log()
        if learn_scale:
            self.log_scale = nn.Parameter(log_scale)
            self.by_output = ("log_scale",)
        else:
            self.register_buffer("log_scale", log_scale)
        self.meet(outputs or 1)

    @property
    def scale(self) -> Float[Tensor, "*replicate_one_and_output"]:
        """The noise standard deviation, in the units of ``y``.

        A scalar, or ``(output,)`` with several outputs that each learn one; of replicates ``(replicate, 1)`` or
        ``(replicate, 1, output)``.
        """
        return self.log_scale.exp()

    def forward(self, outputs: Outputs) -> TorchDistributionMixin:
        """Return ``Normal(outputs, scale)``, batch shape ``(*axes, batch)``."""
        if outputs.shape[-1] == 1:
            return dist.Normal(outputs.squeeze(-1), self.scale)
        return dist.Normal(outputs, self.for_each_output(self.scale)).to_event(1)

    def check_targets(self, y: Tensor, outputs: Outputs) -> None:
        """Raise unless ``y`` holds finite floating-point targets, one for each output."""
        if not y.is_floating_point():
            raise TypeError(f"Expected floating-point targets, got {y.dtype}. Convert them with y.float().")
        check_numbers(y, outputs)
