"""Training: gradient steps on weights and guide together, with one exact objective."""

from collections.abc import Iterable, Sequence
from typing import Unpack

import torch
from torch.utils.data import DataLoader

from pyro_vds.guides.base import Guide
from pyro_vds.guides.categorical import guide_or_empty
from pyro_vds.infer.bounds import elbo
from pyro_vds.infer.stacking import keep_stacked
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.space import LIMIT
from pyro_vds.spaces.typing import Data, DataLike, WeightedData
from pyro_vds.training.callbacks import Callback
from pyro_vds.training.config import TrainingConfig, TrainingSettings
from pyro_vds.training.guide_updates import logits_set, settle
from pyro_vds.training.history import History
from pyro_vds.training.loop import TrainingLoop
from pyro_vds.training.objective import Objective
from pyro_vds.training.precision import computing_in
from pyro_vds.training.preflight import held_out_data, moved, prepare, use_channels_last


def fit(
    model: VDSModel,
    guide: Guide | None,
    data: DataLike | DataLoader | Sequence[DataLike],
    *,
    validation: DataLike | DataLoader | Sequence[DataLike] | None = None,
    device: torch.device | str | None = None,
    on_epoch: Callback | Sequence[Callback] | None = None,
    progress: bool = True,
    config: TrainingConfig | None = None,
    **settings: Unpack[TrainingSettings],
) -> History:
    """Learn the weights and the guide by gradient steps on the exact ELBO (paper, eq. 2), or an estimate of it.

    It is exact unless ``samples`` are drawn of architectures with sites, of which there can be too many to list; the
    record then has no gap, and validation data are predicted by as many draws.

    The optimiser minimises ``loss / num_data``. At the end, also after Ctrl-C, the best state is restored: the state
    with the largest train ELBO or, with validation data, the largest mean log predictive density. The train ELBO is
    computed before each step, so that a single step on the full batch restores the initial state. With ``averaging``
    the averaged weights are validated, kept and restored in place of the weights, but the train ELBO is that of the
    weights. With ``guide_update="closed_form"`` one more pass over the data, in eval mode, then sets the guide to the
    exact posterior of the restored weights: tempered, if ``tempered_num_data`` bounds it; the product that coordinate
    ascent finds, if the guide has several independent axes; an estimate, if a ``DataLoader`` leaves points out.
    Validation data then give the guide the stacked weights of this state (:func:`pyro_vds.stacked_weights`), for
    predictions with ``weights="stacked"``; weights kept before are forgotten.

    A third part of the data is the weight of each point, which multiplies its log likelihood (a tempered likelihood):
    a point of weight 2 counts like two such points. The sum of the weights plays the part of the number of data in the
    posterior, so that weights of mean 1 leave it as sharp as it is; ``num_data`` stays the number of points. Measures
    of weighted validation data are weighted means.

    Args:
        model: The model; it is moved to ``device``, and keeps its mode (train or eval). Parts frozen by
            :func:`pyro_vds.freeze` do not change.
        guide: A guide of this package; ``None`` for a model without axes.
        data: Inputs and targets, or inputs, targets and weights ``(N,)``, as tensors or NumPy arrays; or a
            ``DataLoader`` of such pairs or triples. Several inputs are a tuple or a dict of tensors, in which the
            network gets them. Tensors are moved to the device once, and batches are drawn from them by index. For
            replicates it can be a list with data of equal size for each.
        validation: Held-out inputs and targets that decide early stopping in place of the train ELBO, and the stacked
            weights; or a ``DataLoader`` of pairs, which is read once. For replicates it can be a list.
        device: The device to train on; ``None`` is the model's device.
        on_epoch: One or several functions, called with the :class:`pyro_vds.EpochRecord` after each epoch. A function
            stops training by returning a non-empty string or raising :class:`pyro_vds.StopTraining`. During the call
            the model has the current weights, not the best or averaged ones. Any other error ends training too: the
            best state is restored, and the attribute ``history`` of the error holds the record.
        progress: Whether to show a progress bar with the ELBO and the most probable architecture, on a terminal or in
            a notebook; elsewhere they are logged once a minute at level INFO.
        config: The settings of training; ``None`` is ``TrainingConfig()``.
        settings: Fields of :class:`pyro_vds.TrainingConfig` that differ from ``config``, such as ``max_epochs=100``.
            Replicate ``r`` is trained as a single model with ``seed + r``; the global generators are not changed.

    Returns:
        The record of the run.

    Raises:
        TypeError: If inputs, targets or a setting have the wrong type, a setting is unknown, or the guide is one of
            Pyro, whose probabilities nobody knows.
        ValueError: If data or a setting are out of range, or do not fit each other.
        MemoryError: If training needs more memory than the device has.
        NonFiniteLossError: If the loss becomes NaN or infinite.
    """
    config = (config or TrainingConfig()).changed(**settings)
    guide = guide_or_empty(model, guide)
    target = model.device_tensor().device if device is None else torch.device(device)
    bound = elbo(model, guide, samples=config.samples).to(target)
    if config.channels_last:
        use_channels_last(model)
    held_out = held_out_data(model, validation, target)
    batches, config = prepare(model, data, config, target, held_out)
    held_out = None if held_out is None else moved(held_out, target)
    callbacks = [on_epoch] if callable(on_epoch) else list(on_epoch or ())
    with isolated_rng(target, config.seed):
        with computing_in(model, config.precision, target), logits_set(guide, config):
            loop = TrainingLoop(Objective(bound, config), batches, config, validation=held_out, callbacks=callbacks)
            if isinstance(guide, Guide):
                guide.forget_weights()
            history = loop.run(progress=progress)
        # Weights of the architectures are those of the densities that predictions have, in their precision.
        weigh_architectures(model, guide, batches, held_out, config)
    return history


def weigh_architectures(
    model: VDSModel,
    guide: Guide,
    batches: Iterable[Data | WeightedData],
    held_out: Data | WeightedData | None,
    config: TrainingConfig,
) -> None:
    """Set a guide in closed form, and keep stacked weights, for the network as it is.

    Args:
        model: The trained model.
        guide: Its guide.
        batches: The batches of one epoch, on the model's device.
        held_out: Checked validation data on the model's device; ``None`` without any.
        config: The settings of training.
    """
    if config.guide_update == "closed_form":
        settle(model, guide, batches, config)
    if held_out is not None and model.space.count <= LIMIT:
        keep_stacked(model, guide, held_out)
