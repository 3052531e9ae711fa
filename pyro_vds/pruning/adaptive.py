"""A network that stops at a depth of its own for each input."""

import copy

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyro_vds.backbones.per_depth import PerDepth
from pyro_vds.guides.per_input import AutoPerInput
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_inputs
from pyro_vds.spaces.typing import Inputs


class AdaptiveNetwork(nn.Module):
    """A network that stops at a depth of its own for each input (adaptive computation).

    The stop is the smallest depth ``k`` with ``q(d > k | x) < threshold``; that mass moves to ``k``, and shallower
    depths stay in the mixture, as in :func:`pyro_vds.prune`. Inputs that stop at the same depth run together, each
    through its own number of blocks only.

    Args:
        model: A trained model whose backbone is a :class:`pyro_vds.PerDepth`.
        guide: Its guide.
        threshold: Mass that may lie above the stop, ``[0, 1)``; 0 runs every input to the last depth with mass.

    Raises:
        TypeError: If the backbone or the guide is of another kind.
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
        for k, network in enumerate(networks):  # one copy of the blocks for all
            network.stem, network.pool, network.blocks = networks[-1].stem, networks[-1].pool, networks[-1].blocks[:k]
        self.networks = nn.ModuleList(networks)
        self.guide = copy.deepcopy(guide)
        self.likelihood = copy.deepcopy(model.likelihood)
        self.threshold = threshold
        self.eval()

    def stops(self, x: Inputs) -> Int[Tensor, " batch"]:
        """Return the depth at which each input stops.

        Args:
            x: Inputs ``(batch, ...)``.
        """
        return self.guide.stops(x, self.threshold)

    @torch.inference_mode()
    def forward(self, x: Inputs) -> tuple[Float[Tensor, "batch ..."], Int[Tensor, " batch"]]:
        """Return the prediction of each input and the depth at which it stopped.

        Args:
            x: Inputs ``(batch, ...)``.

        Raises:
            TypeError: If the inputs are neither floating point nor bytes.
            ValueError: If they are empty or not finite.

        Returns:
            Log class probabilities ``(batch, classes)``, for targets that are numbers mean and variance
            ``(batch, 2, *target)``; and the depths.
        """
        check_inputs(x)
        log_q, stops = self.guide.by_input(x), self.stops(x)
        found: list[Tensor] = []
        order: list[Tensor] = []
        for depth in stops.unique().tolist():
            chosen = (stops == depth).nonzero()[:, 0]
            below, above = log_q[chosen].split([depth, log_q.shape[1] - depth], dim=1)
            weights = torch.cat([below, above.logsumexp(1, keepdim=True)], dim=1)
            outputs = self.networks[depth](x[chosen])
            predicted = self.likelihood.prediction(self.likelihood.mixture(outputs, weights.T))
            found.append(predicted if isinstance(predicted, Tensor) else torch.stack(predicted, 1))
            order.append(chosen)
        return torch.cat(found)[torch.cat(order).argsort()], stops
