"""The networks whose lesions are compared: learnt depth, plain, with stochastic depth, and without skips."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

import pyro_vds as vds

Kind = Literal["learnt", "plain", "stochastic_depth", "no_skips"]
SURVIVAL = 0.5


class StochasticDepth(nn.Module):
    """A residual branch that is left out of a training batch at random (Huang et al. 2016, arXiv 1603.09382).

    In training ``b f(a)`` with ``b`` drawn from ``Bernoulli(p)`` for each batch; in eval mode its mean, ``p f(a)``.

    Args:
        branch: The branch.
        p: The probability that it stays.
    """

    def __init__(self, branch: nn.Module, p: float) -> None:
        super().__init__()
        self.branch = branch
        self.p = p

    def forward(self, a: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Return what the branch adds."""
        if not self.training:
            return self.p * self.branch(a)
        return self.branch(a) if torch.rand(()) < self.p else torch.zeros_like(a)


def build_network(kind: Kind, max_depth: int, channels: int, example: Tensor, *, seed: int) -> vds.PerDepth:
    """Return a convolutional network of the paper's blocks for ten classes.

    Args:
        kind: ``"learnt"`` reads out every depth, the others the last one. ``"stochastic_depth"`` leaves the last block
            out of half of the batches and the others less often, linearly (Huang et al. 2016); ``"no_skips"`` runs the
            branches one after the other.
        max_depth: Number of blocks.
        channels: Channels between blocks; a bottleneck has half of them.
        example: One image or more, ``(batch, channels, height, width)``.
        seed: Seed of the weights.

    Raises:
        ValueError: If the kind is unknown.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"Expected a network of {', '.join(get_args(Kind))}, got {kind!r}.")
    torch.manual_seed(seed)
    readout = "all" if kind == "learnt" else "last"
    network = vds.ResidualConvNet(example.shape[1], 10, max_depth, channels, channels // 2, readout=readout)
    if kind == "stochastic_depth":
        kept = [1 - (1 - SURVIVAL) * (i + 1) / max_depth for i in range(max_depth)]
        network.blocks = nn.ModuleList(map(StochasticDepth, network.blocks, kept))
    if kind == "no_skips":
        whole = vds.FromModules
        return whole(network.stem, network.blocks, network.head, example=example, pool=network.pool, readout="last")
    return network
