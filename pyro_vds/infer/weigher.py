"""The log weights of the architectures for a batch of inputs, by name, and what a cut makes of them."""

from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.guides.categorical import guide_or_empty
from pyro_vds.guides.per_input import AutoPerInput
from pyro_vds.guides.weights import Weights
from pyro_vds.infer.cases import Case
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.inputs import device_of, points
from pyro_vds.ops.modes import eval_mode
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Inputs

Tables = Callable[[Weights], Float[Tensor, "..."]]
"""From a name to log weights ``(*sizes, *batch_shape, batch_or_one)``, nats."""


def weigher(model: VDSModel, guide: Guide | None) -> Callable[[Inputs], Tables]:
    """Return the function from a batch of inputs ``(*batch_shape, batch, ...)`` to the weights of the architectures.

    Each table is computed once: a guide per input runs once for a batch, whatever is asked of it.

    Args:
        model: The model.
        guide: The guide; ``None`` for a model without axes.

    Raises:
        ValueError: If the guide does not fit the model; the tables raise it for a name that there is not.
    """
    if model.by_input:
        return _weigher_of_inputs(model, guide)
    owner = guide_or_empty(model, guide)
    device, replicates = model.device_tensor().device, len(model.batch_shape)

    @cache
    def table(weights: Weights) -> Tensor:
        # A guide of another class than ours may have nothing but its posterior.
        log_weights = owner.joint_log_probs() if weights == "posterior" else owner.log_weights(weights)
        log_weights = log_weights.detach().to(device)
        log_weights = log_weights if model.space else log_weights.expand(model.batch_shape)
        return log_weights.movedim(tuple(range(replicates)), tuple(range(-replicates, 0)))[..., None]

    return lambda _: table


def _weigher_of_inputs(model: VDSModel, guide: Guide | None) -> Callable[[Inputs], Tables]:
    """Return the same for a model with an architecture for each input."""
    if not isinstance(guide, AutoPerInput):
        raise ValueError(f"Expected an AutoPerInput guide for a model with plate=DATA, got {type(guide).__name__}.")
    guide.require_space(model.space)

    def of_inputs(x: Inputs) -> Tables:
        @cache
        def table(weights: Weights) -> Tensor:
            if weights != "posterior":
                return guide.log_weights(weights)[:, None].expand(-1, points(x)).to(device_of(x))
            with eval_mode(guide), torch.no_grad():
                return guide.by_input(x).T

        return table

    return of_inputs


def require_weights(model: VDSModel, guide: Guide | None, weights: Weights) -> None:
    """Raise unless there are weights of a name.

    Args:
        model: The model.
        guide: The guide; ``None`` for a model without axes.
        weights: The name.

    Raises:
        ValueError: If there are no such weights, or not yet.
    """
    if weights != "posterior":
        (guide if model.by_input and guide is not None else guide_or_empty(model, guide)).log_weights(weights)


def of_case(space: Space, log_weights: Float[Tensor, "..."], case: Case) -> Float[Tensor, "architecture *rest"]:
    """Return the log weights of the architectures that a cut keeps, flattened.

    The weight of what is cut moves to the labelled entry (paper, section 2). Only uniform weights do not move, for they
    say nothing of what is cut: each architecture that is kept counts the same.

    Args:
        space: The space of architectures.
        log_weights: Log weights of all of them, ``(*sizes, ...)``, nats.
        case: The cut, and the name of the weights.
    """
    if isinstance(case.cut, Tensor):
        log_weights = space.stop(log_weights, case.cut.to(log_weights.device))
    else:
        log_weights = space.fold(log_weights, case.cut)
    flat = log_weights.flatten(0, len(space) - 1) if space else log_weights[None]
    if case.weights != "uniform":
        return flat
    kept = flat.isfinite().to(flat)
    return (kept / kept.sum(0)).log()
