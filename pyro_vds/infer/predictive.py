"""Exact predictions of the mixture over architectures: probabilities, densities, moments, entropies."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.special import entr

from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.mixture import BATCH_SIZE, log_prob_by_architecture, log_weights_by_point, predict_mixture
from pyro_vds.likelihoods.classification import Classification
from pyro_vds.likelihoods.gaussian import Gaussian
from pyro_vds.metrics.intervals import mixture_pit
from pyro_vds.models.checks import refuse_replicates
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.spaces.space import chosen_indices, staying
from pyro_vds.spaces.typing import Inputs, Targets


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


@dataclass(frozen=True)
class EntropySplit:
    """The entropy of predictions, ``total = expected + mutual_information``, nats.

    Attributes:
        total: Entropy of the mixture, ``H(sum_d q(d) p(y | x, d))``.
        expected: Mean entropy of the single architectures, ``sum_d q(d) H(p(y | x, d))``: noise in the data.
        mutual_information: Of target and architecture, ``I(y; d | x)``: disagreement between architectures, from 0 to
            the entropy of ``q``.
    """

    total: Float[Tensor, "*replicate batch"]
    expected: Float[Tensor, "*replicate batch"]
    mutual_information: Float[Tensor, "*replicate batch"]


def split_entropy(
    log_probs: Float[Tensor, "architecture *replicate batch classes"],
    log_weights: Float[Tensor, "architecture *replicate"],
) -> EntropySplit:
    """Split the entropy of a mixture into expected entropy and mutual information.

    Depeweg et al. 2018, "Decomposition of Uncertainty in Bayesian Deep Learning", eq. 3.

    Args:
        log_probs: Log class probabilities of each architecture, nats.
        log_weights: Log weight of each architecture, nats; they sum to one.
    """
    probs, weights = log_probs.exp(), log_weights.exp()[..., None, None]
    total = entr((weights * probs).sum(0)).sum(-1)
    expected = (weights * entr(probs)).sum(0).sum(-1)
    # The entropy is concave, so a negative difference is rounding.
    return EntropySplit(total, expected, (total - expected).clamp_min(0))


def predict_entropy(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs,
    depth: int | None = None,
    width: int | None = None,
    *,
    batch_size: int = BATCH_SIZE,
) -> EntropySplit:
    """Return the entropy of the predictions, split across architectures; in one forward pass.

    Args:
        model: A model with a ``Classification`` likelihood.
        guide: Its guide; ``None`` for a model without axes, whose mutual information is 0.
        x: Inputs ``(batch, ...)``.
        depth: ``k`` gives the prediction pruned to depth ``k``.
        width: The prediction of this width alone, where the model has widths.
        batch_size: Points in one forward pass.

    Raises:
        TypeError: If the likelihood is not ``Classification``, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or ``depth`` is out of range.
    """
    if not isinstance(model.likelihood, Classification):
        raise TypeError(
            f"Expected a model with a Classification likelihood, got {type(model.likelihood).__name__}. The variance "
            "of predict_moments holds the disagreement of a regression."
        )

    def entropies(outputs: Tensor, log_weights: Tensor) -> Tensor:
        parts = split_entropy(outputs.log_softmax(-1), log_weights)
        return torch.stack([parts.total, parts.expected, parts.mutual_information])[..., None]

    return EntropySplit(
        *predict_mixture(model, guide, x, chosen_indices(model, depth, width), batch_size, entropies)[..., 0]
    )


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
