"""The objective of training, and the record of a step."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from pyro_vds.guides.categorical import Guide
from pyro_vds.guides.weights import WeightTables
from pyro_vds.infer.enumerated import EnumELBO
from pyro_vds.ops.inputs import points
from pyro_vds.spaces.typing import Inputs
from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.guide_updates import ClosedForm


@dataclass(frozen=True)
class StepResult:
    """The values of a step, before the parameters change.

    Attributes:
        loss: Full-data negative ELBO, nats; a scalar, or ``(replicate,)``.
        kl: ``KL(q || prior)``, nats, in the same shape.
        counted: The number of points that the posterior counts, ``tau N``, in the same shape.
        log_likelihood: Log likelihood of each architecture on the batch, scaled to all data, nats.
        log_probs: ``log q`` of each entry of each axis, nats.
    """

    loss: Tensor
    kl: Tensor
    counted: Tensor
    log_likelihood: Tensor
    log_probs: dict[str, Tensor]

    def flattened(self) -> list[Tensor]:
        """Return the numbers without their graph, as a list for a compiled graph."""
        return [t.detach() for t in (self.loss, self.kl, self.counted, self.log_likelihood, *self.log_probs.values())]

    def detached(self) -> "StepResult":
        """Return the same numbers without their graph."""
        return StepResult.of(self.flattened(), self.log_probs)

    @classmethod
    def of(cls, values: list[Tensor], axes: "dict[str, Tensor] | tuple[str, ...]") -> "StepResult":
        """Return the record from the list of :meth:`flattened`.

        Args:
            values: The numbers.
            axes: The names of the axes.
        """
        return cls(*values[:4], log_probs=dict(zip(axes, values[4:], strict=True)))


class Objective(nn.Module):
    """The loss, with the other values that training records in each step.

    Args:
        elbo: The ELBO.
        config: The settings of training.

    Attributes:
        guide_waits: Whether the guide stays as it is for the moment.
    """

    def __init__(self, elbo: EnumELBO, config: TrainingConfig) -> None:
        super().__init__()
        self.elbo = elbo
        if config.weight_floor and elbo.model.by_input:
            raise ValueError("Expected weight_floor=0 for a model with an architecture for each input, got another.")
        self.weight_floor = config.weight_floor
        closed = config.guide_update == "closed_form" and bool(elbo.model.space)
        self.guide_waits = config.guide_from > 0
        self.closed_form = ClosedForm(elbo.model, self.guide, config) if closed else None

    @property
    def guide(self) -> Guide:
        """The guide; a property, because functional_call needs a single name for each tensor."""
        return cast(Guide, self.elbo.guide)

    def tensors(self) -> dict[str, Tensor]:
        """Return the parameters, and the buffers that training may change: all except priors and kept weights."""
        model = self.elbo.model
        fixed = model.prior_buffers()
        fixed |= {table for part in self.modules() if isinstance(part, WeightTables) for table in part.buffers()}
        buffers = {name: b for name, b in self.named_buffers() if b not in fixed}
        return dict(self.named_parameters()) | buffers

    def set_in_place(self) -> set[Tensor]:
        """Return the parameters that the objective itself sets: the logits of a guide in closed form."""
        return set() if self.closed_form is None else set(self.guide.logits.values())

    def forward(self, x: Inputs, y: Tensor, weight: Tensor | None = None) -> tuple[Tensor, StepResult]:
        """Return what the optimiser minimises, nats, and the record; then set a guide in closed form."""
        model = self.elbo.model
        bound = self.elbo.bound(x, y, weight)
        minimised = bound.losses
        if self.weight_floor:
            minimised = minimised + self.weight_floor * self._towards_equal_weights(bound.log_likelihood)
        with torch.no_grad():
            loss = bound.losses
            counted = torch.full_like(loss, model.num_data)
            if self.closed_form is not None:
                counted = self.closed_form.counted().to(loss)
            # A guide without a closed form has no KL beside the estimate of the whole.
            closed = self.elbo.exact or self.guide.has_closed_kl
            kl = self.guide.kl(model, x).expand_as(loss) if closed else torch.full_like(loss, torch.nan)
            result = StepResult(loss, kl, counted, bound.log_likelihood.detach(), self.guide.log_probs(x))
            if self.closed_form is not None:
                size = points(x, len(model.batch_shape))
                self.closed_form(self.guide, result.log_likelihood, model.log_prior(), size)
        return minimised, result

    def _towards_equal_weights(self, log_likelihood: Tensor) -> Tensor:
        """Return ``sum_a (q(a) - 1 / K) l(a)`` with ``q`` constant: added, it turns weights ``q`` into ``1 / K``."""
        space = self.elbo.model.space
        if not space:
            return torch.zeros_like(log_likelihood)
        q = self.guide.joint_log_probs().detach().exp()
        return ((q - 1 / space.count) * log_likelihood).flatten(-len(space)).sum(-1)
