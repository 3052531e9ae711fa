"""A network that stops at a different depth for each input."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyro_vds.backbones.per_depth import PerDepth
from pyro_vds.guides.per_input import AutoPerInput
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_inputs
from pyro_vds.ops.inputs import as_inputs, at
from pyro_vds.ops.tensors import at_least_float32, dtype_of
from pyro_vds.spaces.typing import InputsLike


class AdaptiveNetwork(nn.Module):
    """A network that stops at a different depth for each input (adaptive computation).

    The stop is the smallest depth ``k`` with ``q(d > k | x) < threshold``. It takes over this probability, and
    shallower depths stay in the mixture, as in :func:`pyro_vds.prune`. Inputs that stop at the same depth run
    together, and only through the blocks up to it.

    Args:
        model: A trained model whose backbone is a :class:`pyro_vds.PerDepth`.
        guide: The guide of the model.
        threshold: Probability that may lie above the stop, in ``[0, 1)``; 0 stops at the last depth with mass.

    Raises:
        TypeError: If the backbone is not a ``PerDepth``, or the guide is not an ``AutoPerInput``.
        ValueError: If the threshold is out of range.
    """

    def __init__(self, model: VDSModel, guide: AutoPerInput, threshold: float = 0.05) -> None:
        super().__init__()
        if not isinstance(model.backbone, PerDepth) or not isinstance(guide, AutoPerInput):
            raise TypeError(
                f"Expected a PerDepth backbone and an AutoPerInput guide, got {type(model.backbone).__name__} and "
                f"{type(guide).__name__}."
            )
        if not 0 <= threshold < 1:
            raise ValueError(f"Expected a threshold in [0, 1), got {threshold}.")
        networks = [model.backbone.restrict(**architecture) for architecture in model.space.architectures()]
        for k, network in enumerate(networks):  # all networks share one copy of the blocks
            network.stem, network.pool, network.blocks = networks[-1].stem, networks[-1].pool, networks[-1].blocks[:k]
        self.networks = nn.ModuleList(networks)
        self.guide = copy.deepcopy(guide)
        self.likelihood = copy.deepcopy(model.likelihood)
        self.threshold = threshold
        self.eval()

    def stops(self, x: InputsLike) -> Int[Tensor, " batch"]:
        """Return the depth at which each input stops.

        Args:
            x: Inputs ``(batch, ...)``.
        """
        return self.guide.stops(x, self.threshold)

    @torch.inference_mode()
    def forward(self, x: InputsLike) -> tuple[Float[Tensor, "batch ..."], Int[Tensor, " batch"]]:
        """Return the prediction of each input and the depth at which it stopped.

        Args:
            x: Inputs ``(batch, ...)``.

        Raises:
            TypeError: If the inputs are neither tensors nor arrays.
            ValueError: If the inputs are empty or not finite.

        Returns:
            Log class probabilities ``(batch, classes)``, or mean and variance ``(batch, 2, *target)`` for numeric
            targets; and the depths.
        """
        inputs = as_inputs(x, dtype_of(self.networks))
        check_inputs(inputs)
        log_q, stops = self.guide.by_input(inputs), self.stops(inputs)
        predictions: list[Tensor] = []
        order: list[Tensor] = []
        for depth in stops.unique().tolist():
            chosen = (stops == depth).nonzero()[:, 0]
            below, above = log_q[chosen].split([depth, log_q.shape[1] - depth], dim=1)
            weights = torch.cat([below, above.logsumexp(1, keepdim=True)], dim=1)
            outputs = at_least_float32(self.networks[depth](at(inputs, chosen)))
            predicted = self.likelihood.prediction(self.likelihood.mixture(outputs, weights.T))
            predictions.append(predicted if isinstance(predicted, Tensor) else torch.stack(predicted, 1))
            order.append(chosen)
        return torch.cat(predictions)[torch.cat(order).argsort()], stops
