"""Exact predictions: the mixture over architectures, summed in log space.

Probabilities are averaged, not logits: ``p(y|x) = sum_i q_i p(y|x,d=i)`` (paper, eq. 3).
"""

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.adaptive import AutoPerInput
from pyro_vds.batches import in_order
from pyro_vds.choice import chosen_indices, fold, staying
from pyro_vds.elbo import guide_or_empty
from pyro_vds.guides import Guide
from pyro_vds.likelihoods import Classification
from pyro_vds.model import VDSModel, eval_mode, refuse_per_input
from pyro_vds.typing import Inputs, Targets
from pyro_vds.validation import check_data, check_inputs, probe_outputs

BATCH_SIZE = 1024


def predict_proba(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs,
    depth: int | None = None,
    width: int | None = None,
    *,
    ensemble: bool = False,
    batch_size: int = BATCH_SIZE,
) -> Float[Tensor, "*replicate batch classes"]:
    """Return the class probabilities of the mixture, ``sum_i q_i softmax(f_i(x))`` (paper, eq. 3).

    Args:
        model: A model with a ``Classification`` likelihood.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``.
        depth: ``k`` gives the prediction pruned to depth ``k``: the mass ``q(d > k)`` moves to ``k``.
        width: The prediction of this width alone, where the model has widths; it takes the mass of the others.
        ensemble: Whether to average over replicates (a deep ensemble), where the model has them.
        batch_size: Points in one forward pass.

    Returns:
        Probabilities on the model's device.

    Raises:
        TypeError: If the likelihood is not ``Classification``, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or ``depth`` or ``width`` out of range.
    """
    if not isinstance(model.likelihood, Classification):
        raise TypeError(
            f"Expected a model with a Classification likelihood, got {type(model.likelihood).__name__}. Use "
            "predict_moments or log_predictive."
        )
    probs = predict_mixture(
        model, guide, x, chosen_indices(model, depth, width), batch_size, model.likelihood.marginal
    ).exp()
    return probs.mean(0) if ensemble and model.replicates is not None else probs


def log_predictive(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs,
    y: Targets,
    depth: int | None = None,
    width: int | None = None,
    *,
    ensemble: bool = False,
    batch_size: int = BATCH_SIZE,
) -> Float[Tensor, "*replicate batch"]:
    """Return the log density of each target under the mixture, ``log sum_i q_i p(y_n | x_n, d=i)``, nats.

    Args:
        model: The model.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``.
        y: Targets, one for each input.
        depth: ``k`` gives the prediction pruned to depth ``k``.
        width: The prediction of this width alone, where the model has widths.
        ensemble: Whether to average over replicates (a deep ensemble), where the model has them.
        batch_size: Points in one forward pass.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data are empty, not finite, out of range or of different lengths, or ``depth`` or
            ``width`` is out of range.
    """
    choice = chosen_indices(model, depth, width)
    log_probs = log_prob_by_architecture(model, x, y, batch_size=batch_size)[staying(model, choice)]
    log_weights = log_weights_by_point(model, guide, choice, x, batch_size)
    log_probs = torch.logsumexp(log_probs + log_weights, dim=0)
    if ensemble and model.replicates is not None:
        return log_probs.logsumexp(0) - math.log(model.replicates)
    return log_probs


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
