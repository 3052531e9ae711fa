"""Gradients of blocks at the rate of a plain network, whatever the weight of the read-outs that use them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from pyro_vds.models.vds_model import VDSModel
from pyro_vds.training.config import TrainingConfig

SMALLEST = 0.02
"""The least weight by which a gradient is divided."""


class BlockRate:
    """Divides the gradient of each block by the weight of the read-outs that use it.

    Block ``b`` of a nested axis serves the entries from ``b`` on. Its gradient is ``Q_b E_q[dl_d / dtheta | d >= b]``
    with ``Q_b = q(d >= b)``; divided by ``max(Q_b, 0.02)`` it is the conditional mean, as large as in a plain network.
    This is a positive diagonal preconditioner: the ELBO's stationary points stay, the path to them changes. Optimisers
    that rescale each gradient by its own size, such as AdamW, hardly notice it.

    Args:
        model: The model; its backbone lists with ``first_entries()`` from which entry of a nested axis on a parameter
            is used.
        config: The settings of training.

    Raises:
        TypeError: If the backbone has a nested axis, but not the method.
    """

    def __init__(self, model: VDSModel, config: TrainingConfig) -> None:
        self.floor = config.weight_floor
        self.first: dict[Tensor, tuple[str, int]] = {}
        if config.block_rate == "paper" or not any(axis.nested for axis in model.space.values()):
            return
        listed = getattr(model.backbone, "first_entries", None)
        if listed is None:
            raise TypeError(
                "Expected a backbone with a method first_entries() for block_rate='full', got "
                f"{type(model.backbone).__name__}. Use block_rate='paper', or a PerDepth backbone."
            )
        parameters = dict(model.backbone.named_parameters())
        for axis, entries in listed().items():
            self.first |= {parameters[name]: (axis, entry) for name, entry in entries.items()}

    @torch.no_grad()
    def factors(self, log_probs: Mapping[str, Tensor]) -> dict[tuple[str, int], Tensor]:
        """Return the factor of the gradients of each block, a scalar or ``(replicate,)``.

        Args:
            log_probs: The guide's log probabilities of each axis, nats.
        """
        found: dict[tuple[str, int], Tensor] = {}
        for axis in {axis for axis, _ in self.first.values()}:
            q = log_probs[axis].exp()
            weights = (1 - self.floor) * q + self.floor / q.shape[-1]
            above = weights.flip(-1).cumsum(-1).flip(-1)
            factors = 1 / above.clamp_min(SMALLEST)
            found |= {(axis, entry): factors[..., entry] for entry in range(q.shape[-1])}
        return found

    def scaled(self, gradients: Mapping[Tensor, Tensor], log_probs: Mapping[str, Tensor]) -> dict[Tensor, Tensor]:
        """Return the gradients by their parameters, those of blocks at full rate.

        Args:
            gradients: The gradient of each parameter, with replicates their first dimension.
            log_probs: The guide's log probabilities of each axis, nats.
        """
        if not self.first:
            return dict(gradients)
        factors = self.factors(log_probs)
        scaled = dict(gradients)
        for parameter in self.first.keys() & gradients.keys():
            factor, gradient = factors[self.first[parameter]], gradients[parameter]
            rows = factor.reshape(-1, *[1] * (gradient.ndim - 1)) if factor.ndim else factor
            scaled[parameter] = gradient * rows.to(gradient)
        return scaled
