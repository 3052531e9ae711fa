"""Exact predictions: the mixture over architectures, summed in log space.

Probabilities are averaged, not logits: ``p(y|x) = sum_i q_i p(y|x,d=i)`` (paper, eq. 3).
"""

import math
from collections.abc import Callable
from numbers import Integral

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.batches import in_order
from pyro_vds.elbo import guide_or_empty
from pyro_vds.guides import AutoCategorical
from pyro_vds.likelihoods import Classification
from pyro_vds.model import VDSModel, eval_mode
from pyro_vds.typing import Inputs, Targets
from pyro_vds.validation import check_data, check_inputs, probe_outputs

BATCH_SIZE = 1024


def predict_proba(
    model: VDSModel,
    guide: AutoCategorical | None,
    x: Inputs,
    depth: int | None = None,
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
        ensemble: Whether to average over replicates (a deep ensemble), where the model has them.
        batch_size: Points in one forward pass.

    Returns:
        Probabilities on the model's device.

    Raises:
        TypeError: If the likelihood is not ``Classification``, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or ``depth`` is out of range.
    """
    if not isinstance(model.likelihood, Classification):
        raise TypeError(
            f"Expected a model with a Classification likelihood, got {type(model.likelihood).__name__}. Use "
            "predict_moments or log_predictive."
        )
    probs = predict_in_batches(model, guide, x, depth, batch_size, model.likelihood.marginal).exp()
    return probs.mean(0) if ensemble and model.replicates is not None else probs


def log_predictive(
    model: VDSModel,
    guide: AutoCategorical | None,
    x: Inputs,
    y: Targets,
    depth: int | None = None,
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
        ensemble: Whether to average over replicates (a deep ensemble), where the model has them.
        batch_size: Points in one forward pass.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data are empty, not finite, out of range or of different lengths, or ``depth`` is
            out of range.
    """
    log_weights = mixture_log_weights(model, guide, depth)
    log_probs = log_prob_by_architecture(model, x, y, batch_size=batch_size)
    log_probs = torch.logsumexp(log_probs[: len(log_weights)] + log_weights[..., None], dim=0)
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
    model: VDSModel, guide: AutoCategorical | None, depth: int | None = None
) -> Float[Tensor, "architecture *replicate"]:
    """Return the log mixture weights of the architectures, flattened; with ``depth`` those that stay.

    Args:
        model: The model.
        guide: Its guide; ``None`` for a model without axes.
        depth: If given, the mass of larger depths moves to this one.

    Raises:
        ValueError: If ``depth`` is out of range, or the model has no depth axis to prune.
    """
    log_q = guide_or_empty(model, guide).joint_log_probs().detach().to(model.device_tensor().device)
    batch = log_q.ndim - len(model.axes)
    log_q = log_q.movedim(tuple(range(batch)), tuple(range(-batch, 0)))
    log_q = log_q if depth is None else fold_above(log_q, model.axes, depth)
    return log_q.flatten(0, len(model.axes) - 1) if model.axes else log_q[None]


def fold_above(log_q: Float[Tensor, "*axes"], axes: tuple[str, ...], depth: int) -> Float[Tensor, "..."]:
    """Move the mass of depths above ``depth`` to it, and drop them (paper, section 2).

    Args:
        log_q: Log probabilities over the product of the axes, ``(*sizes, *replicate)``, nats.
        axes: Their names; ``"depth"`` comes first.
        depth: The depth ``k`` that stays the largest.

    Returns:
        Log probabilities with ``k + 1`` depths.

    Raises:
        TypeError: If ``depth`` is not an integer.
        ValueError: If ``depth`` is out of range, or there is no leading depth axis.
    """
    if axes[:1] != ("depth",):
        raise ValueError(f"Expected a model whose first axis is 'depth' to prune, got axes {list(axes)}.")
    if isinstance(depth, bool) or not isinstance(depth, Integral):
        raise TypeError(f"Expected depth as an int, got {depth!r}.")
    largest = log_q.shape[0] - 1
    if not 0 <= depth <= largest:
        raise ValueError(f"Expected a depth in 0..{largest}, got {depth}.")
    return torch.cat([log_q[:depth], log_q[depth:].logsumexp(0, keepdim=True)])


def shared(model: VDSModel, tensor: Tensor) -> Tensor:
    """Return a tensor as every replicate gets it, ``(replicate, ...)``; without replicates as it is."""
    return tensor if model.replicates is None else tensor.expand(model.replicates, *tensor.shape)


def predict_in_batches(
    model: VDSModel,
    guide: AutoCategorical | None,
    x: Tensor,
    depth: int | None,
    batch_size: int,
    marginal: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Return the mixture's prediction for all inputs, batch by batch.

    Args:
        model: The model.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``.
        depth: ``k`` gives the prediction pruned to depth ``k``.
        batch_size: Points in one forward pass.
        marginal: Maps outputs ``(architecture, *replicate, batch, event)`` and log weights to a prediction whose
            dimension next to the last is the batch.

    Raises:
        TypeError: If the inputs are not floating point.
        ValueError: If the inputs are empty, not finite or do not fit, or ``depth`` is out of range.
    """
    check_inputs(x)
    log_weights = mixture_log_weights(model, guide, depth)
    device = log_weights.device
    try:
        with eval_mode(model), torch.inference_mode():
            parts = [
                marginal(model.outputs(shared(model, batch.to(device)))[: len(log_weights)], log_weights)
                for _, batch in in_order(x, batch_size)
            ]
    except RuntimeError:
        probe_outputs(model, shared(model, x))  # explains inputs that do not fit
        raise
    return torch.cat(parts, dim=-2)
