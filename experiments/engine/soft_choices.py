"""Operations on edges that are mixed or relaxed in place of chosen, and graphs with a normalisation to try them on."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

import pyro_vds as vds
from pyro_vds.guides.base import Guide

Norm = Literal["none", "LayerNorm", "GroupNorm", "LayerNorm on the edges"]
GROUPS = 4
# Maps log probabilities (draw, site, option) to weights of the options.
Weigh = Callable[[Tensor], Tensor]


class SoftChoices(nn.Module):
    """An objective in which every edge carries a weighted sum of its operations.

    Args:
        model: A model with one axis, which has sites.
        guide: Its guide, of which the marginals of the sites are used.
        weigh: Makes the weights.
        draws: Number of draws of weights.
        kl: Whether the KL of the guide is a part of the objective.
    """

    def __init__(self, model: vds.VDSModel, guide: Guide, weigh: Weigh, *, draws: int = 1, kl: bool = True) -> None:
        super().__init__()
        self.model, self.guide = model, guide
        self.weigh, self.draws, self.with_kl = weigh, draws, kl

    def forward(self, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Return the objective, nats of all data.

        Args:
            x: Inputs ``(batch, ...)``.
            y: Targets.
        """
        ((axis, log_probs),) = self.guide.log_probs().items()
        outputs = self.model.backbone.at(x, {axis: self.weigh(log_probs.expand(self.draws, *log_probs.shape))})
        fit = self.model.likelihood(outputs).log_prob(y).sum(-1).mean() * (self.model.num_data / len(y))
        return (self.guide.kl(self.model) if self.with_kl else 0.0) - fit


def softmax_weights(log_probs: Float[Tensor, "draw site option"]) -> Float[Tensor, "draw site option"]:
    """Return the probabilities themselves: the mixed operations of DARTS (Liu et al. 2019, arXiv 1806.09055)."""
    return log_probs.exp()


def straight_through(log_probs: Float[Tensor, "draw site option"]) -> Float[Tensor, "draw site option"]:
    """Return a drawn option, with the gradient of its probability (Bengio et al. 2013, arXiv 1308.3432)."""
    probs = log_probs.exp()
    drawn = torch.distributions.Categorical(logits=log_probs.detach(), validate_args=False).sample()
    return F.one_hot(drawn, probs.shape[-1]) + (probs - probs.detach())


def concrete(
    log_probs: Float[Tensor, "draw site option"], temperature: float, *, hard: bool = False
) -> Float[Tensor, "draw site option"]:
    """Return a draw of the Concrete distribution (Maddison et al. 2017; Jang et al. 2017).

    Args:
        log_probs: Log probabilities.
        temperature: The temperature.
        hard: Straight-through: one option in the forward pass.
    """
    return F.gumbel_softmax(log_probs, temperature, hard=hard)


RELAXED: dict[str, Weigh] = {
    "straight-through": straight_through,
    "straight-through Concrete 0.5": partial(concrete, temperature=0.5, hard=True),
    "Concrete 0.5": partial(concrete, temperature=0.5),
    "Concrete 1": partial(concrete, temperature=1.0),
}


def gated_graph(norm: Norm, in_shape: Sequence[int], outputs: int, *, layers: int, channels: int) -> vds.SearchGraph:
    """Return a dense graph with a gate on each edge, whose layers begin with a normalisation, or whose edges do.

    Args:
        norm: Which normalisation is where.
        in_shape: Shape of an input, which is flattened.
        outputs: Number of classes.
        layers: Number of layers.
        channels: Units of each.

    Raises:
        ValueError: If the normalisation is unknown.
    """
    if norm not in get_args(Norm):
        raise ValueError(f"Expected a normalisation of {', '.join(get_args(Norm))}, got {norm!r}.")
    behind = {"LayerNorm": lambda: [nn.LayerNorm(channels)], "GroupNorm": lambda: [nn.GroupNorm(GROUPS, channels)]}
    features = int(torch.tensor(tuple(in_shape)).prod())

    def carry(target: int) -> nn.Module:
        size = outputs if target == layers + 1 else channels
        linear = nn.Linear(channels, size, bias=False)
        return nn.Sequential(nn.LayerNorm(channels), linear) if norm == "LayerNorm on the edges" else linear

    options = {
        (source, target): {False: None, True: carry(target)}
        for target in range(1, layers + 2)
        for source in range(target)
    }
    nodes = [nn.Sequential(*behind.get(norm, list)(), nn.Linear(channels, channels), nn.ReLU()) for _ in range(layers)]
    stem = nn.Sequential(nn.Flatten(), nn.Linear(features, channels), nn.ReLU())
    return vds.SearchGraph(stem, nodes, nn.Identity(), options, axis="gate", example=torch.zeros(1, *in_shape))
