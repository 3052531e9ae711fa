"""Stacking: the weights of the architectures that predict held-out data best."""

import logging
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.guides.base import Guide
from pyro_vds.infer.exact import require_one_posterior
from pyro_vds.infer.passes import BATCH_SIZE, ReadOut, read_data, read_out_replicates
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.compat import without_checks_of_arguments
from pyro_vds.ops.stacking import maximise_log_score
from pyro_vds.spaces.typing import Data, DataLike, WeightedData

logger = logging.getLogger(__name__)


def stacked_weights(
    model: VDSModel, data: DataLike | DataLoader, *, batch_size: int = BATCH_SIZE
) -> Float[Tensor, "*batch_shape_and_axes"]:
    """Return the log weights of the architectures that predict held-out data best, from one pass.

    ``argmax_w sum_n log sum_i w_i p(y_n | x_n, d=i)`` for the current weights of the network (Yao et al. 2018, "Using
    stacking to average Bayesian predictive distributions", eq. 4, with held-out points in place of leave-one-out). They
    are chosen on these data, thus an estimate, and too good on them. They change predictions where the posterior is
    sharp and single architectures are over-confident; they are not probabilities of the architectures. The score of a
    soft label is the expected log probability under it; weights of points multiply their scores.

    Args:
        model: A model with trained weights; it runs in eval mode.
        data: Held-out data, the same for every replicate: inputs and targets, and weights if they have any; or a
            ``DataLoader`` of such pairs or triples that yields every point.
        batch_size: Points in one forward pass.

    Returns:
        Log weights of each replicate over the product of the axes, nats; float64, on the CPU.
        ``guide.keep_weights("stacked", ...)`` takes them.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data are empty or do not fit the model, a ``DataLoader`` leaves points out, a density is not
            finite, or each input has its own architecture.
    """
    require_one_posterior(model)
    log_weights = _stacked(model, read_data(model, data, batch_size=batch_size))
    if log_weights.isnan().any():
        raise ValueError(
            "Expected held-out data that each architecture gives a log density, got a point with NaN, or one that no "
            "architecture thinks possible. Look for extreme inputs and targets."
        )
    return log_weights


def keep_stacked(model: VDSModel, guide: object, data: Data | WeightedData) -> None:
    """Keep the stacked weights for held-out data in a guide that can keep them; there are none if a density is NaN.

    Args:
        model: The model, with the weights that are to stay.
        guide: Its guide; one of another class, of a plain network, or of each input, is left alone.
        data: Checked inputs and targets, and weights if any, on the model's device, ``(*batch_shape, N, ...)``.
    """
    if not isinstance(guide, Guide) or not model.space or model.by_input:
        return
    log_weights = _stacked(model, read_out_replicates(model, data))
    if log_weights.isnan().any():
        logger.warning("A log density of the validation data is not finite: no stacked weights are kept.")
        return
    guide.keep_weights("stacked", log_weights)


def _stacked(model: VDSModel, batches: Iterable[ReadOut]) -> Tensor:
    """Return the stacked log weights ``(*batch_shape, *sizes)``; NaN if there are none."""
    with torch.inference_mode(), without_checks_of_arguments():
        scores, counts = zip(*(_scores(model, batch) for batch in batches), strict=True)
    weights = maximise_log_score(torch.cat(scores, -1), torch.cat(counts, -1))
    return weights.movedim(0, -1).reshape(model.batch_shape + model.sizes).log()


def _scores(model: VDSModel, batch: ReadOut) -> tuple[Tensor, Tensor]:
    """Return the log densities of all outcomes of a batch, and how much each counts; float64, on the CPU."""
    assert batch.y is not None
    log_probs, counts = model.likelihood.log_scores(batch.outputs, batch.y)
    counts = counts if batch.weight is None else counts * batch.weight[..., None]
    return log_probs.flatten(-2).double().cpu(), counts.flatten(-2).double().cpu()
