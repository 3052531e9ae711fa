"""Exact predictions: the mixture over architectures, summed in log space.

Probabilities are averaged, not logits: ``p(y|x) = sum_i q_i p(y|x,d=i)`` (paper, eq. 3).
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.guides.categorical import Guide, guide_or_empty
from pyro_vds.guides.per_input import AutoPerInput
from pyro_vds.models.checks import check_data, probe_outputs, refuse_per_input
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_inputs
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.tensors import in_order
from pyro_vds.spaces.space import fold, staying
from pyro_vds.spaces.typing import Inputs, Targets

BATCH_SIZE = 1024


def log_prob_by_architecture(
    model: VDSModel, x: Inputs, y: Targets, *, batch_size: int = BATCH_SIZE
) -> Float[Tensor, "architecture *replicate batch"]:
    """Return ``log p(y_n | x_n, d)`` for each architecture in eval mode, nats; axes flattened.

    Args:
        model: The model.
        x: Inputs ``(batch, ...)``.
        y: Targets, one for each input.
        batch_size: Points in one forward pass.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data are empty, not finite, out of range or of different lengths.
    """
    check_data(model, shared(model, x), shared(model, y))
    device = model.device_tensor().device
    with eval_mode(model), torch.inference_mode():
        parts = [
            model.likelihood(model.outputs(shared(model, batch.to(device)))).log_prob(y[part].to(device))
            for part, batch in in_order(x, batch_size)
        ]
    return torch.cat(parts, dim=-1)


def mixture_log_weights(
    model: VDSModel, guide: Guide | None, choice: Mapping[str, int] | None = None
) -> Float[Tensor, "architecture *replicate"]:
    """Return the log mixture weights of the architectures, flattened, or of those that stay.

    Args:
        model: The model; with ``per_input=True`` there is no one mixture for all inputs.
        guide: Its guide; ``None`` for a model without axes.
        choice: The index along each axis that is cut, see :func:`pyro_vds.choice.fold`; all stay unless given.

    Raises:
        ValueError: If the guide does not fit the model.
    """
    refuse_per_input(model)
    log_q = guide_or_empty(model, guide).joint_log_probs().detach().to(model.device_tensor().device)
    if not model.axes:
        return shared(model, log_q)[None]
    batch = log_q.ndim - len(model.axes)
    log_q = log_q.movedim(tuple(range(batch)), tuple(range(-batch, 0)))
    return fold(log_q, model.axes, choice or {}).flatten(0, len(model.axes) - 1)


def weigher(
    model: VDSModel, guide: Guide | None, choice: Mapping[str, int] | None = None
) -> Callable[[Tensor], Float[Tensor, "architecture *replicate_or_batch"]]:
    """Return the function that gives the log mixture weights for a batch of inputs on the model's device.

    Args:
        model: The model.
        guide: Its guide; ``None`` for a model without axes.
        choice: The index along each axis that is cut; all stay unless given.

    Returns:
        A function of inputs: the weights of :func:`mixture_log_weights` for any; where each input has a depth of its
        own, those of each point, ``(architecture, batch)``.

    Raises:
        ValueError: If the guide does not fit the model.
    """
    if not model.per_input:
        log_weights = mixture_log_weights(model, guide, choice)
        return lambda _: log_weights
    if not isinstance(guide, AutoPerInput):
        raise ValueError(f"Expected an AutoPerInput guide of a model with per_input=True, got {type(guide).__name__}.")
    guide_or_empty(model, guide)

    def of_inputs(x: Tensor) -> Tensor:
        with eval_mode(guide), torch.no_grad():
            return fold(guide.by_input(x).T, model.axes, choice or {})

    return of_inputs


def log_weights_by_point(
    model: VDSModel, guide: Guide | None, choice: Mapping[str, int], x: Inputs, batch_size: int
) -> Float[Tensor, "architecture *replicate batch_or_one"]:
    """Return the log mixture weights for each point, or once where all points share them.

    Args:
        model: The model.
        guide: Its guide; ``None`` for a model without axes.
        choice: The index along each axis that is cut, see :func:`pyro_vds.choice.fold`.
        x: Inputs ``(batch, ...)``.
        batch_size: Points in one pass of a guide that looks at them.

    Raises:
        ValueError: If the guide does not fit the model.
    """
    weigh, device = weigher(model, guide, choice), model.device_tensor().device
    if not model.per_input:
        return weigh(x)[..., None]
    return torch.cat([weigh(batch.to(device)) for _, batch in in_order(x, batch_size)], dim=-1)


def marginal_of(model: VDSModel, marginal: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function of the mixture that takes the weights of :func:`weigher`.

    Args:
        model: The model.
        marginal: Takes outputs ``(architecture, *replicate, batch, event)`` and log weights
            ``(architecture, *replicate)``, and returns ``(..., batch, event)``.
    """
    if not model.per_input:
        return marginal
    # One mixture for each point: the points become replicates with weights of their own.
    return lambda outputs, log_weights: marginal(outputs.unsqueeze(2), log_weights).squeeze(-2)


def shared(model: VDSModel, tensor: Tensor) -> Tensor:
    """Return a tensor as every replicate gets it, ``(replicate, ...)``; without replicates as it is."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"Expected a torch tensor, got {type(tensor).__name__}. Use torch.as_tensor.")
    return tensor if model.replicates is None else tensor.expand(model.replicates, *tensor.shape)


def predict_mixture(
    model: VDSModel,
    guide: Guide | None,
    x: Tensor,
    choice: Mapping[str, int],
    batch_size: int,
    marginal: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Return a function of the mixture for all inputs, batch by batch, in eval mode.

    Args:
        model: The model.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``.
        choice: The index along each axis that is cut, see :func:`pyro_vds.choice.fold`.
        batch_size: Points in one forward pass.
        marginal: Takes outputs ``(architecture, *replicate, batch, event)`` and log weights
            ``(architecture, *replicate)``, and returns ``(..., batch, event)``.

    Raises:
        TypeError: If the inputs are neither floating point nor bytes.
        ValueError: If the inputs are empty or not finite.
    """
    check_inputs(x)
    weigh, marginal, kept = weigher(model, guide, choice), marginal_of(model, marginal), staying(model, choice)
    device = model.device_tensor().device
    try:
        with eval_mode(model), torch.inference_mode():
            parts = [
                marginal(model.outputs(shared(model, inputs))[kept], weigh(inputs))
                for inputs in (batch.to(device) for _, batch in in_order(x, batch_size))
            ]
    except RuntimeError:
        probe_outputs(model, shared(model, x))  # explains inputs that do not fit
        raise
    return torch.cat(parts, dim=-2)
