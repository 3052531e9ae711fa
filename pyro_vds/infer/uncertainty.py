"""The uncertainty of predictions, and how much of it is disagreement between architectures."""

from collections.abc import Hashable

from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.guides.base import Guide
from pyro_vds.guides.weights import Weights
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.infer.predict import predict
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.entropy import EntropySplit
from pyro_vds.spaces.typing import InputsLike


def predict_variance_parts(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike | DataLoader,
    *,
    ensemble: bool = False,
    weights: Weights = "posterior",
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> tuple[
    Float[Tensor, "*batch_and_target"],
    Float[Tensor, "*batch_and_target"],
    Float[Tensor, "*batch_and_target"],
]:
    """Return the mean of the mixture, and its variance in two parts: noise, and disagreement between architectures.

    ``noise = sum_i q_i Var(y | x, d=i)`` cannot be predicted by any architecture, and ``disagreement = sum_i q_i (f_i
    - mean)**2`` is the variance between architectures; their sum is the variance of
    :func:`pyro_vds.predict_moments`. With ``ensemble`` the noise is the mean over replicates, and the
    disagreement includes that between replicates.

    Args:
        model: A model of numbers, such as one with a ``Gaussian`` likelihood.
        guide: The guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader``.
        ensemble: Whether to average over replicates (a deep ensemble), if the model has any.
        weights: The weights of the architectures, ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``.
        batch_size: Points in one forward pass.
        cut: A label for each axis that is cut, such as ``depth=3``.

    Returns:
        Mean, noise variance and disagreement variance in the shape of the targets, in the units of ``y`` and their
        square.

    Raises:
        TypeError: If targets are classes, or the inputs are neither tensors nor arrays.
        ValueError: If the inputs are empty or not finite, a cut is out of range, or there are no such weights.
    """
    (result,) = predict(
        model, guide, x, cuts=[cut], want=["mean", "noise", "disagreement"], weights=weights, batch_size=batch_size
    )
    mean, noise, disagreement = result["mean"], result["noise"], result["disagreement"]
    if ensemble and model.batch_shape:
        return mean.mean(0), noise.mean(0), disagreement.mean(0) + mean.var(0, correction=0)
    return mean, noise, disagreement


def predict_entropy(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike | DataLoader,
    *,
    weights: Weights = "posterior",
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> EntropySplit:
    """Return the entropy of class predictions, split across architectures, nats.

    Args:
        model: A model of classes.
        guide: The guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader``.
        weights: The weights of the architectures, ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``.
        batch_size: Points in one forward pass.
        cut: A label for each axis that is cut, such as ``depth=3``.

    Raises:
        TypeError: If targets are not classes, or the inputs are neither tensors nor arrays.
        ValueError: If the inputs are empty or not finite, a cut is out of range, or there are no such weights.
    """
    (result,) = predict(model, guide, x, cuts=[cut], want=["entropy"], weights=weights, batch_size=batch_size)
    return EntropySplit(**result)


def predict_disagreement(
    model: VDSModel,
    guide: Guide | None,
    x: InputsLike | DataLoader,
    *,
    weights: Weights = "uniform",
    batch_size: int = BATCH_SIZE,
    **cut: Hashable,
) -> Float[Tensor, "*batch_shape batch"]:
    """Return how much the architectures disagree about each input, a score that is larger for inputs of another kind.

    It is the mutual information of target and architecture for classes, nats; and for numbers the variance between the
    means of the architectures, in the squared units of the target, the mean over an input's targets if it has several
    (:func:`predict_variance_parts` has each).

    With the default weights it is a score beside the posterior, not a part of it: a sharp posterior leaves a single
    architecture and no disagreement, whereas the shallow ones disagree with the others about inputs unlike the training
    data. ``weights="posterior"`` gives the uncertainty about the architecture. Under a cut, uniform weights count each
    architecture that is kept the same; what is cut away no longer counts.

    Args:
        model: The model.
        guide: The guide; ``None`` for a model without axes.
        x: Inputs ``(batch, ...)``, or a ``DataLoader``.
        weights: The weights of the architectures, ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``.
        batch_size: Points in one forward pass.
        cut: A label for each axis that is cut, such as ``depth=3``.

    Raises:
        TypeError: If the inputs are neither tensors nor arrays.
        ValueError: If the inputs are empty or not finite, a cut is out of range, or there are no such weights.
    """
    (result,) = predict(model, guide, x, cuts=[cut], want=["disagreement"], weights=weights, batch_size=batch_size)
    return mean_over_targets(result["disagreement"], len(model.batch_shape) + 1)


def mean_over_targets(values: Tensor, points: int) -> Float[Tensor, "*batch_shape batch"]:
    """Return the mean over the targets of each input.

    Args:
        values: A number for each input, or for each of its targets, ``(*batch_shape, batch, *target)``.
        points: The number of dimensions of ``(*batch_shape, batch)``: 1 without replicates.
    """
    return values.flatten(points).mean(-1) if values.ndim > points else values
