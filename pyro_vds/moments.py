"""Predictions of a regression: moments of the mixture over architectures, and its components."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.choice import chosen_indices
from pyro_vds.guides import Guide
from pyro_vds.intervals import mixture_pit
from pyro_vds.likelihoods import Gaussian
from pyro_vds.model import VDSModel, refuse_replicates
from pyro_vds.predictive import BATCH_SIZE, log_weights_by_point, predict_mixture
from pyro_vds.typing import Inputs


def predict_moments(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs,
    depth: int | None = None,
    width: int | None = None,
    *,
    ensemble: bool = False,
    batch_size: int = BATCH_SIZE,
) -> tuple[Float[Tensor, "*replicate batch targets"], Float[Tensor, "*replicate batch targets"]]:
    """Return the mean and variance of the mixture, in the units of ``y`` and their square.

    The variance is the noise plus the disagreement between architectures.

    Args:
        model: A model with a ``Gaussian`` likelihood.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``.
        depth: ``k`` gives the prediction pruned to depth ``k``.
        width: The prediction of this width alone, where the model has widths.
        ensemble: Whether to average over replicates (a deep ensemble), where the model has them.
        batch_size: Points in one forward pass.

    Raises:
        TypeError: If the likelihood is not ``Gaussian``, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or ``depth`` or ``width`` out of range.
    """
    mean, noise, disagreement = predict_variance_parts(
        model, guide, x, depth, width, ensemble=ensemble, batch_size=batch_size
    )
    return mean, noise + disagreement


def predict_variance_parts(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs,
    depth: int | None = None,
    width: int | None = None,
    *,
    ensemble: bool = False,
    batch_size: int = BATCH_SIZE,
) -> tuple[
    Float[Tensor, "*replicate batch targets"],
    Float[Tensor, "*replicate batch targets"],
    Float[Tensor, "*replicate batch targets"],
]:
    """Return the mean of the mixture, and its variance in two parts: noise, and disagreement between architectures.

    ``noise = s**2`` is what no architecture can predict, ``disagreement = sum_i q_i (f_i - mean)**2`` what they do
    not agree on; their sum is the variance of :func:`predict_moments`. With ``ensemble`` the noise is the mean over
    replicates, and the disagreement includes that between replicates.

    Args:
        model: A model with a ``Gaussian`` likelihood.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``.
        depth: ``k`` gives the prediction pruned to depth ``k``.
        width: The prediction of this width alone, where the model has widths.
        ensemble: Whether to average over replicates (a deep ensemble), where the model has them.
        batch_size: Points in one forward pass.

    Returns:
        Mean, noise variance and disagreement variance, in the units of ``y`` and their square.

    Raises:
        TypeError: If the likelihood is not ``Gaussian``, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or ``depth`` or ``width`` out of range.
    """
    likelihood = _gaussian(model)
    mean, noise, disagreement = predict_mixture(
        model,
        guide,
        x,
        chosen_indices(model, depth, width),
        batch_size,
        lambda outputs, w: torch.stack(likelihood.moments(outputs, w)),
    )
    if ensemble and model.replicates is not None:
        return mean.mean(0), noise.mean(0), disagreement.mean(0) + mean.var(0, correction=0)
    return mean, noise, disagreement


def predict_components(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs,
    depth: int | None = None,
    width: int | None = None,
    *,
    batch_size: int = BATCH_SIZE,
) -> tuple[
    Float[Tensor, "architecture *replicate batch targets"], Float[Tensor, "architecture *replicate_or_batch"], Tensor
]:
    """Return the normal components that the predictive is a mixture of, ``sum_i q_i Normal(f_i(x), s)``.

    :func:`pyro_vds.intervals.mixture_pit` takes them.

    Args:
        model: A model with a ``Gaussian`` likelihood.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``.
        depth: ``k`` gives the prediction pruned to depth ``k``.
        width: The prediction of this width alone, where the model has widths.
        batch_size: Points in one forward pass.

    Returns:
        The means ``f_i(x)`` in the units of ``y``, the weights ``q_i`` (those of each point, ``(architecture, batch)``,
        where each input has a depth of its own), and the noise scale ``s``, a scalar or ``(replicate, 1)``.

    Raises:
        TypeError: If the likelihood is not ``Gaussian``, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or ``depth`` or ``width`` out of range.
    """
    scale = _gaussian(model).scale.detach()
    choice = chosen_indices(model, depth, width)
    means = predict_mixture(model, guide, x, choice, batch_size, lambda outputs, _: outputs)
    weights = log_weights_by_point(model, guide, choice, x, batch_size).exp()
    return means, weights if model.per_input else weights[..., 0], scale


def predict_pit(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs,
    y: Float[Tensor, " batch"],
    depth: int | None = None,
    width: int | None = None,
    *,
    batch_size: int = BATCH_SIZE,
) -> Float[np.ndarray, " batch"]:
    """Return the probability integral transform of each target, ``sum_i q_i Phi((y_n - f_i(x_n)) / s)``.

    It does not depend on the units of ``y``. :func:`pyro_vds.intervals.interval_table` and ``plots.plot_intervals``
    take it.

    Args:
        model: A model with a ``Gaussian`` likelihood and one target.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``.
        y: Targets, one for each input.
        depth: ``k`` gives the prediction pruned to depth ``k``.
        width: The prediction of this width alone, where the model has widths.
        batch_size: Points in one forward pass.

    Raises:
        TypeError: If the likelihood is not ``Gaussian``, or the inputs are not floating point.
        ValueError: If the model has replicates or several targets, the data are empty or not finite, or ``depth`` or
            ``width`` out of range.
    """
    refuse_replicates(model)
    means, weights, scale = predict_components(model, guide, x, depth, width, batch_size=batch_size)
    if means.shape[-1] != 1:
        raise ValueError(
            f"Expected a model of one target, got one of {means.shape[-1]}. Pass the columns of predict_components to "
            "intervals.mixture_pit."
        )
    return mixture_pit(*(part.cpu().numpy() for part in (y, means.squeeze(-1), weights, scale)))


def _gaussian(model: VDSModel) -> Gaussian:
    """Return the likelihood of a regression model."""
    if not isinstance(model.likelihood, Gaussian):
        raise TypeError(
            f"Expected a model with a Gaussian likelihood, got {type(model.likelihood).__name__}. Use predict_proba "
            "or log_predictive."
        )
    return model.likelihood
