"""The network cut to an architecture."""

import copy

from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.residual import PerDepth
from pyro_vds.backbones.width import WithWidths
from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.mixture import mixture_log_weights
from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.models.checks import refuse_replicates
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.spaces.space import chosen_indices
from pyro_vds.spaces.typing import Inputs


class PrunedNetwork(nn.Module):
    """A network cut to a depth or a width, with the shallower depths still in the mixture (paper, section 2).

    A plain module without Pyro, made by :func:`prune`. For classification it maps inputs to the log class
    probabilities of the mixture ``(batch, classes)``, nats; for regression to its mean and variance.

    Args:
        backbone: The network without the blocks above the depth and the channels beyond the width.
        log_weights: Log mixture weight of each architecture that stays, flattened, nats.
        likelihood: Mixes the outputs.
    """

    log_weights: Tensor

    def __init__(
        self,
        backbone: PerDepth | WithWidths,
        log_weights: Float[Tensor, " architecture"],
        likelihood: Likelihood,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.likelihood = likelihood
        self.register_buffer("log_weights", log_weights.clone())

    def forward(self, x: Inputs) -> Tensor | tuple[Tensor, Tensor]:
        """Return the prediction of the pruned mixture."""
        outputs = self.backbone(x)
        axes = len(self.backbone.axes)
        return self.likelihood.marginal(outputs.flatten(0, axes - 1) if axes else outputs[None], self.log_weights)


def prune(model: VDSModel, guide: Guide, depth: int | None = None, width: int | None = None) -> PrunedNetwork:
    """Cut a network to a depth, and to a width where it has widths (paper, section 2).

    Blocks above the depth go, and the mass ``q(d > k)`` moves to ``k``. Of the widths only the given one stays, with
    its channels' weights, and takes the mass of the others: each width is a forward pass of its own.

    The result is an independent copy in eval mode that ``torch.export.export`` and
    ``torch.onnx.export(dynamo=True)`` accept, with the numbers of ``predict_proba(..., depth=depth, width=width)``.

    Args:
        model: A trained model whose backbone is a :class:`pyro_vds.PerDepth` or :class:`pyro_vds.WithWidths`.
        guide: Its guide.
        depth: The largest depth ``k`` to keep, ``0..D``; :func:`choose_depth` finds one. All unless given.
        width: The width to keep; :func:`choose` finds it with the depth. All unless given.

    Raises:
        TypeError: If the backbone is neither, so that its blocks are not known.
        ValueError: If nothing is to be cut, a value is out of range, or the model has no such axis.
    """
    refuse_replicates(model)
    backbone = model.backbone
    if not isinstance(backbone, PerDepth | WithWidths):
        raise TypeError(
            f"Expected a PerDepth or WithWidths backbone, whose blocks can be removed, got {type(backbone).__name__}. "
            "predict_proba(..., depth=depth) gives the pruned prediction of any backbone."
        )
    choice = chosen_indices(model, depth, width)
    if not choice:
        raise ValueError("Expected a depth or a width to cut the network to, got none.")
    log_weights = mixture_log_weights(model, guide, choice)
    if width is not None and isinstance(backbone, WithWidths):
        backbone = backbone.sliced(width)
    backbone = copy.deepcopy(backbone) if depth is None else backbone.truncated(depth)
    return PrunedNetwork(backbone, log_weights, copy.deepcopy(model.likelihood)).eval()
