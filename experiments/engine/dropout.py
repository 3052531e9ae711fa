"""Dropout that stays on in eval mode (Gal and Ghahramani 2016, "Dropout as a Bayesian Approximation")."""

from torch import Tensor, nn
from torch.nn.functional import dropout

from pyro_vds.backbones.per_depth import PerDepth

DROPOUT = 0.1


class LastingDropout(nn.Module):
    """Dropout in training and in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` with a share of its elements set to zero."""
        return dropout(x, DROPOUT)


def add_dropout(backbone: PerDepth) -> None:
    """Add dropout behind every block.

    Args:
        backbone: The network, which is changed.
    """
    backbone.blocks = nn.ModuleList(nn.Sequential(block, LastingDropout()) for block in backbone.blocks)
