"""Single quantities of the predictions for a data set."""

import math
from collections.abc import Hashable

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.guides.base import Guide
from pyro_vds.guides.weights import Weights
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.infer.predict import predict
from pyro_vds.infer.uncertainty import predict_variance_parts
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.spaces.typing import InputsLike, TargetsLike


def predict_proba(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike | DataLoader,
    *,
    ensemble: bool = False,
    weights: Weights = "posterior",
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> Float[Tensor, "*batch_shape batch classes"]:
    """Return the class probabilities of the mixture, ``sum_i q_i softmax(f_i(x))`` (paper, eq. 3).

    Args:
        model: A model of classes.
        guide: The guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader``.
        ensemble: Whether to average over replicates (a deep ensemble), if the model has any.
        weights: The weights of the architectures, ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``.
        batch_size: Points in one forward pass.
        cut: A label for each axis that is cut: ``depth=k`` predicts with the network pruned to depth ``k``, which
            takes over the probability ``q(d > k)``; ``width=w`` with one width only.

    Returns:
        Probabilities on the model's device, in float64, since measures need logarithms of what float32 rounds to 0. Log
        probabilities are ``predict(model, guide, x).log_probs``, or ``predict(..., want=["log_probs"])`` in batches.

    Raises:
        TypeError: If targets are not classes, or the inputs are neither tensors nor arrays.
        ValueError: If the inputs are empty or not finite, a cut is out of range, or there are no such weights.
    """
    (result,) = predict(model, guide, x, cuts=[cut], want=["probs"], weights=weights, batch_size=batch_size)
    return result["probs"].mean(0) if ensemble and model.batch_shape else result["probs"]


def log_predictive(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike | DataLoader,
    y: TargetsLike | None = None,
    *,
    ensemble: bool = False,
    weights: Weights = "posterior",
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> Float[Tensor, "*batch_shape batch"]:
    """Return the log density of each target under the mixture, ``log sum_i q_i p(y_n | x_n, d=i)``, nats.

    Args:
        model: The model.
        guide: The guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader`` of pairs.
        y: Targets, one for each input; ``None`` for a ``DataLoader``.
        ensemble: Whether to average over replicates (a deep ensemble), if the model has any.
        weights: The weights of the architectures, ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``.
        batch_size: Points in one forward pass.
        cut: A label for each axis that is cut, such as ``depth=3``.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data are empty, not finite, out of range or of different lengths, a cut is out of range, or
            there are no such weights.
    """
    (result,) = predict(model, guide, x, y, cuts=[cut], want=["log_prob"], weights=weights, batch_size=batch_size)
    log_probs = result["log_prob"]
    if ensemble and model.batch_shape:
        return log_probs.logsumexp(0) - math.log(len(log_probs))
    return log_probs


def predict_moments(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike | DataLoader,
    *,
    ensemble: bool = False,
    weights: Weights = "posterior",
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> tuple[Float[Tensor, "*batch_and_target"], Float[Tensor, "*batch_and_target"]]:
    """Return the mean and variance of the mixture, in the units of ``y`` and their square.

    The variance is the noise plus the disagreement between architectures (:func:`pyro_vds.predict_variance_parts`).

    Args:
        model: A model of numbers, such as one with a ``Gaussian`` likelihood.
        guide: The guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader``.
        ensemble: Whether to average over replicates (a deep ensemble), if the model has any.
        weights: The weights of the architectures, ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``.
        batch_size: Points in one forward pass.
        cut: A label for each axis that is cut, such as ``depth=3``.

    Returns:
        Mean and variance in the shape of the targets.

    Raises:
        TypeError: If targets are classes, or the inputs are neither tensors nor arrays.
        ValueError: If the inputs are empty or not finite, a cut is out of range, or there are no such weights.
    """
    mean, noise, disagreement = predict_variance_parts(
        model, guide, x, ensemble=ensemble, weights=weights, batch_size=batch_size, **cut
    )
    return mean, noise + disagreement


def predict_components(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike,
    *,
    weights: Weights = "posterior",
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Return the normal components of the mixture, ``sum_i q_i Normal(f_i(x), s)``.

    ``plots.plot_band`` and, for each target, :func:`pyro_vds.intervals.mixture_pit` take them.

    Args:
        model: A model with a ``Gaussian`` likelihood.
        guide: The guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``; the outputs of all architectures are in memory at once.
        weights: The weights of the architectures, ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``.
        batch_size: Points in one forward pass.
        cut: A label for each axis that is cut, such as ``depth=3``.

    Returns:
        Means ``(architecture, *batch_shape, batch, *target)`` in the units of ``y``; weights ``(architecture,
        *batch_shape)``, or ``(architecture, batch)`` where each input has its own; and the noise scale of the
        likelihood, in the units of ``y``.

    Raises:
        TypeError: If the likelihood has no ``scale``, or the inputs are neither tensors nor arrays.
        ValueError: If the inputs are empty or not finite, a cut is out of range, or there are no such weights.
    """
    scale = getattr(model.likelihood, "scale", None)
    if not isinstance(scale, Tensor):
        raise TypeError(
            f"Expected a likelihood with a noise scale, such as Gaussian, got {type(model.likelihood).__name__}. The "
            "components of any are those of pyro_vds.predict(model, guide, x)."
        )
    mixture = predict(model, guide, x, weights=weights, batch_size=batch_size).cut(**cut)
    targets = len(mixture.components.event_shape)
    probs = mixture.log_weights.exp()
    means = mixture.components.mean.movedim(-1 - targets, 0)
    return means, probs if model.by_input else probs[..., 0], scale.detach()


def predict_pit(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike | DataLoader,
    y: TargetsLike | None = None,
    *,
    weights: Weights = "posterior",
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> Float[np.ndarray, "*batch_shape batch"]:
    """Return the probability integral transform of each target, the distribution function ``F(y_n | x_n)``.

    The values are uniform on ``(0, 1)`` if the predictive distribution is right (Dawid 1984, "Statistical theory: the
    prequential approach"). Many values near both ends show too narrow intervals, many in the middle too wide ones.
    They do not depend on the units of ``y``. For counts each is a uniform draw within the step of the distribution
    function, with a fixed seed. :func:`pyro_vds.intervals.interval_table` and ``plots.plot_intervals`` take them.

    Args:
        model: A model of one number for each input.
        guide: The guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader`` of pairs.
        y: Targets, one for each input; ``None`` for a ``DataLoader``.
        weights: The weights of the architectures, ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``.
        batch_size: Points in one forward pass.
        cut: A label for each axis that is cut, such as ``depth=3``.

    Raises:
        TypeError: If targets are classes, or the inputs are neither tensors nor arrays.
        ValueError: If an input has several targets, the data are empty or not finite, a cut is out of range, or there
            are no such weights.
    """
    (result,) = predict(model, guide, x, y, cuts=[cut], want=["pit"], weights=weights, batch_size=batch_size)
    return result["pit"].cpu().numpy()
