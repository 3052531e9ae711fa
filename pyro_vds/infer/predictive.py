"""Single quantities of the exact predictions over a data set."""

import math
from collections.abc import Hashable

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.guides.base import Guide
from pyro_vds.infer.entropy import EntropySplit
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.infer.predict import predict
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.spaces.typing import Inputs, Targets


def predict_proba(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs | DataLoader,
    *,
    ensemble: bool = False,
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> Float[Tensor, "*batch_shape batch classes"]:
    """Return the class probabilities of the mixture, ``sum_i q_i softmax(f_i(x))`` (paper, eq. 3).

    Args:
        model: A model of classes.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader``.
        ensemble: Whether to average over replicates (a deep ensemble), where the model has them.
        batch_size: Points in one forward pass.
        cut: The label of an entry for each axis that is cut: ``depth=k`` gives the prediction pruned to depth ``k``,
            to which the probability ``q(d > k)`` moves; ``width=w`` that of one width alone.

    Returns:
        Probabilities on the model's device.

    Raises:
        TypeError: If targets are not classes, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or a cut is out of range.
    """
    (found,) = predict(model, guide, x, cuts=[cut], want=["probs"], batch_size=batch_size)
    return found["probs"].mean(0) if ensemble and model.batch_shape else found["probs"]


def log_predictive(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs | DataLoader,
    y: Targets | None = None,
    *,
    ensemble: bool = False,
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> Float[Tensor, "*batch_shape batch"]:
    """Return the log density of each target under the mixture, ``log sum_i q_i p(y_n | x_n, d=i)``, nats.

    Args:
        model: The model.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader`` of pairs.
        y: Targets, one for each input; a ``DataLoader`` brings its own.
        ensemble: Whether to average over replicates (a deep ensemble), where the model has them.
        batch_size: Points in one forward pass.
        cut: The label of an entry for each axis that is cut, such as ``depth=3``.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data are empty, not finite, out of range or of different lengths, or a cut is out of range.
    """
    (found,) = predict(model, guide, x, y, cuts=[cut], want=["log_prob"], batch_size=batch_size)
    log_probs = found["log_prob"]
    if ensemble and model.batch_shape:
        return log_probs.logsumexp(0) - math.log(len(log_probs))
    return log_probs


def predict_moments(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs | DataLoader,
    *,
    ensemble: bool = False,
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> tuple[Float[Tensor, "*batch_and_target"], Float[Tensor, "*batch_and_target"]]:
    """Return the mean and variance of the mixture, in the units of ``y`` and their square.

    The variance is the noise plus the disagreement between architectures.

    Args:
        model: A model of numbers, such as one with a ``Gaussian`` likelihood.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader``.
        ensemble: Whether to average over replicates (a deep ensemble), where the model has them.
        batch_size: Points in one forward pass.
        cut: The label of an entry for each axis that is cut, such as ``depth=3``.

    Returns:
        Both in the shape of the targets.

    Raises:
        TypeError: If targets are classes, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or a cut is out of range.
    """
    mean, noise, disagreement = predict_variance_parts(model, guide, x, ensemble=ensemble, batch_size=batch_size, **cut)
    return mean, noise + disagreement


def predict_variance_parts(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs | DataLoader,
    *,
    ensemble: bool = False,
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> tuple[
    Float[Tensor, "*batch_and_target"],
    Float[Tensor, "*batch_and_target"],
    Float[Tensor, "*batch_and_target"],
]:
    """Return the mean of the mixture, and its variance in two parts: noise, and disagreement between architectures.

    ``noise = sum_i q_i Var(y | x, d=i)`` is what no architecture can predict, ``disagreement = sum_i q_i (f_i -
    mean)**2`` what they do not agree on; their sum is the variance of :func:`predict_moments`. With ``ensemble`` the
    noise is the mean over replicates, and the disagreement includes that between replicates.

    Args:
        model: A model of numbers, such as one with a ``Gaussian`` likelihood.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader``.
        ensemble: Whether to average over replicates (a deep ensemble), where the model has them.
        batch_size: Points in one forward pass.
        cut: The label of an entry for each axis that is cut, such as ``depth=3``.

    Returns:
        Mean, noise variance and disagreement variance in the shape of the targets, in the units of ``y`` and their
        square.

    Raises:
        TypeError: If targets are classes, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or a cut is out of range.
    """
    (found,) = predict(model, guide, x, cuts=[cut], want=["mean", "noise", "disagreement"], batch_size=batch_size)
    mean, noise, disagreement = found["mean"], found["noise"], found["disagreement"]
    if ensemble and model.batch_shape:
        return mean.mean(0), noise.mean(0), disagreement.mean(0) + mean.var(0, correction=0)
    return mean, noise, disagreement


def predict_components(
    model: VDSModel, guide: Guide | None, x: Inputs, *, batch_size: int = BATCH_SIZE, **cut: Hashable
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "..."]]:
    """Return the components of the mixture: the mean of each architecture, its weight, and its standard deviation.

    ``plots.plot_band`` takes them.

    Args:
        model: A model of numbers, such as one with a ``Gaussian`` likelihood.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, whose outputs under every architecture are held at once.
        batch_size: Points in one forward pass.
        cut: The label of an entry for each axis that is cut, such as ``depth=3``.

    Returns:
        Means ``(architecture, *batch_shape, batch, *target)`` in the units of ``y``; weights ``(architecture,
        *batch_shape, batch)``, or with 1 in place of ``batch`` where all inputs share them; and standard deviations in
        the shape of the means.

    Raises:
        TypeError: If targets are classes, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or a cut is out of range.
    """
    mixture = predict(model, guide, x, batch_size=batch_size).cut(**cut)
    dim = -1 - (mixture.mean.ndim - mixture.weights.ndim + 1)
    parts = (mixture.components.mean, mixture.components.stddev)
    means, deviations = (part.movedim(dim, 0) for part in parts)
    return means, mixture.weights.movedim(-1, 0), deviations


def predict_pit(
    model: VDSModel,
    guide: Guide | None,
    x: Inputs | DataLoader,
    y: Targets | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> Float[np.ndarray, "*batch_shape batch"]:
    """Return the probability integral transform of each target, its distribution function ``F(y_n | x_n)``.

    Where the predictive is right the values are uniform on ``(0, 1)`` (Dawid 1984, "Statistical theory: the prequential
    approach"); heaped at both ends they tell of intervals that are too narrow, heaped in the middle of too wide ones.
    It does not depend on the units of ``y``. For counts it is a draw within the step of the distribution function, by
    a fixed seed. :func:`pyro_vds.intervals.interval_table` and ``plots.plot_intervals`` take it.

    Args:
        model: A model of one number for each input.
        guide: Its guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader`` of pairs.
        y: Targets, one for each input; a ``DataLoader`` brings its own.
        batch_size: Points in one forward pass.
        cut: The label of an entry for each axis that is cut, such as ``depth=3``.

    Raises:
        TypeError: If targets are classes, or the inputs are not floating point.
        ValueError: If there are several targets for an input, the data are empty or not finite, or a cut is out of
            range.
    """
    (found,) = predict(model, guide, x, y, cuts=[cut], want=["pit"], batch_size=batch_size)
    return found["pit"].cpu().numpy()


def predict_entropy(
    model: VDSModel, guide: Guide | None, x: Inputs | DataLoader, *, batch_size: int = BATCH_SIZE, **cut: Hashable
) -> EntropySplit:
    """Return the entropy of class predictions, split across architectures, nats.

    Args:
        model: A model of classes.
        guide: Its guide; ``None`` for a model without axes, whose mutual information is 0.
        x: Inputs ``(batch, ...)``, or a ``DataLoader``.
        batch_size: Points in one forward pass.
        cut: The label of an entry for each axis that is cut, such as ``depth=3``.

    Raises:
        TypeError: If targets are not classes, or the inputs are not floating point.
        ValueError: If the inputs are empty or not finite, or a cut is out of range.
    """
    (found,) = predict(model, guide, x, cuts=[cut], want=["entropy"], batch_size=batch_size)
    return EntropySplit(**found)
