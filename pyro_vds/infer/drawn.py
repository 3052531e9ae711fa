"""A model of a few drawn architectures, for networks with too many to list."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyro_vds.guides.base import Guide
from pyro_vds.guides.categorical import AutoCategorical, guide_or_empty
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.priors.families import Uniform
from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Inputs


class Draws(nn.Module):
    """Runs given architectures of a network; they are the first axis of its outputs.

    Args:
        backbone: A network with ``at``.
        space: Its space.
        given: The entries of each axis with sites, ``(draw, sites)``.
    """

    def __init__(self, backbone: nn.Module, space: Space, given: Mapping[str, Int[Tensor, "draw sites"]]) -> None:
        super().__init__()
        self.backbone = backbone
        self.given = dict(given)
        count = len(next(iter(given.values())))
        self.space = Space([Axis("sample", tuple(range(count))), *space.read_out.values()])

    def forward(self, x: Inputs) -> Float[Tensor, "draw *read_out batch event"]:
        """Return the outputs of the drawn architectures."""
        return self.backbone.at(x, self.given)  # type: ignore[operator]


def drawn(model: VDSModel, guide: Guide, *, samples: int = 100, seed: int = 0) -> tuple[VDSModel, AutoCategorical]:
    """Return a model of architectures drawn from the guide, for predictions and measures that are estimates.

    Where there are too many architectures to list, ``predict_proba(*drawn(model, guide), x)`` is the mean over the
    draws, in place of the sum over all. The draws are an axis ``"sample"`` of equal weights; axes that the network
    reads out are still exact. The model shares its weights with the given one.

    Args:
        model: A model whose axes have sites.
        guide: Its guide.
        samples: Number of draws.
        seed: Seed of the draws.

    Returns:
        The model and its guide, for all functions that take both.

    Raises:
        ValueError: If no axis has sites, or the number of draws is not positive.
    """
    if not model.space.with_sites or samples < 1:
        raise ValueError(
            f"Expected axes with sites and a positive number of samples, got {list(model.space)} and {samples}."
        )
    guide = guide_or_empty(model, guide)
    with isolated_rng(model.device_tensor().device, seed):
        found = sample_sites(guide, samples)
    return given(model, guide, found)


def sample_sites(guide: Guide, samples: int) -> dict[str, Int[Tensor, "samples sites"]]:
    """Draw the axes with sites from a guide, with the generator of torch.

    Args:
        guide: The guide.
        samples: Number of draws.
    """
    return {name: entries for name, entries in guide.sample(samples).items() if name in guide.space.with_sites}


def of_cut(model: VDSModel, guide: Guide, cut: Mapping[str, Any]) -> tuple[VDSModel, AutoCategorical]:
    """Return a model of the one choice at all sites that a cut names.

    Args:
        model: A model whose axes have sites.
        guide: Its guide.
        cut: The labels of all sites of each axis with sites; other axes are ignored.
    """
    chosen = {name: torch.tensor([axis.choices(cut[name])]) for name, axis in model.space.with_sites.items()}
    return given(model, guide, chosen)


def given(
    model: VDSModel, guide: Guide, choices: Mapping[str, Int[Tensor, "draw sites"]]
) -> tuple[VDSModel, AutoCategorical]:
    """Return a model of given architectures, with equal weights.

    Args:
        model: A model whose axes have sites.
        guide: Its guide, whose probabilities of read-out axes it takes.
        choices: The entries of each axis with sites.
    """
    backbone = Draws(model.backbone, model.space, choices)
    priors = {name: model.priors[name] for name in model.space.read_out}
    few = VDSModel(
        backbone, priors={"sample": Uniform()} | priors, likelihood=model.likelihood, num_data=model.num_data
    )
    few.autocast = model.autocast
    few.training = model.training  # of the shared parts each keeps its own
    weights = AutoCategorical(few)
    read_out = {name: q for name, q in guide.probs().items() if name in model.space.read_out}
    weights.set_probs({"sample": weights.probs()["sample"]} | read_out)
    return few, weights
