"""The objective of training, and the record of a step."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from pyro_vds.guides.categorical import Guide
from pyro_vds.guides.weights import WeightTables
from pyro_vds.infer.elbo import EnumELBO


@dataclass(frozen=True)
class StepResult:
    """The values of a step, before the parameters change.

    Attributes:
        loss: Full-data negative ELBO, nats; a scalar, or ``(replicate,)``.
        kl: ``KL(q || prior)``, nats, in the same shape.
        log_probs: ``log q`` of each entry of each axis, nats.
    """

    loss: Tensor
    kl: Tensor
    log_probs: dict[str, Tensor]

    def detached(self) -> "StepResult":
        """Return the same numbers without their graph."""
        log_probs = {axis: p.detach() for axis, p in self.log_probs.items()}
        return StepResult(self.loss.detach(), self.kl.detach(), log_probs)


class Objective(nn.Module):
    """The loss, with the other values that training records in each step."""

    def __init__(self, elbo: EnumELBO) -> None:
        super().__init__()
        self.elbo = elbo

    @property
    def guide(self) -> Guide:
        """The guide; a property, because functional_call needs a single name for each tensor."""
        return cast(Guide, self.elbo.guide)

    def tensors(self) -> dict[str, Tensor]:
        """Return the parameters, and the buffers that training may change: all except priors and kept weights."""
        model = self.elbo.model
        fixed = {model.get_buffer(f"prior_logits_{axis}") for axis in model.axes}
        fixed |= {table for part in self.modules() if isinstance(part, WeightTables) for table in part.buffers()}
        buffers = {name: b for name, b in self.named_buffers() if b not in fixed}
        return dict(self.named_parameters()) | buffers

    def forward(self, x: Tensor, y: Tensor) -> StepResult:
        """Return the differentiable loss, and KL and the guide's log probabilities without gradients."""
        loss = self.elbo.losses(x, y)
        with torch.no_grad():
            return StepResult(loss, self.guide.kl(self.elbo.model, x).expand_as(loss), self.guide.log_probs(x))
