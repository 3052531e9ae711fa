"""Training: gradient steps on weights and guide together, on the same exact objective."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch.utils.data import DataLoader

from pyro_vds.guides.categorical import Guide, guide_or_empty
from pyro_vds.infer.elbo import enum_elbo
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import Data
from pyro_vds.training.callbacks import Callback
from pyro_vds.training.config import TrainingConfig, TrainingSettings
from pyro_vds.training.history import History
from pyro_vds.training.loop import TrainingLoop
from pyro_vds.training.objective import Objective
from pyro_vds.training.precision import computing_in
from pyro_vds.training.preflight import held_out_data, moved, prepare, use_channels_last


def fit(
    model: VDSModel,
    guide: Guide | None,
    data: Data | DataLoader | Sequence[Data],
    *,
    validation: Data | DataLoader | Sequence[Data] | None = None,
    device: torch.device | str | None = None,
    on_epoch: Callback | Sequence[Callback] | None = None,
    progress: bool = True,
    config: TrainingConfig | None = None,
    **settings: Unpack[TrainingSettings],
) -> History:
    """Learn the weights and the guide by gradient steps on the exact ELBO (paper, eq. 2).

    The optimiser minimises ``loss / num_data``. The best state is restored at the end: by the train ELBO, or by the
    mean log predictive density of the validation data where they are given. A train ELBO is that of the weights
    before the step, so a single step on the full batch restores the initial state. Ctrl-C ends training early in the
    same way. With ``averaging`` the averaged weights are validated, kept and restored in place of the weights; the
    train ELBO is still that of the weights.

    Args:
        model: The model, moved to ``device``. Afterwards it is in the mode (train or eval) that it was in. Parts
            that :func:`pyro_vds.freeze` has frozen stay as they are.
        guide: Its guide; ``None`` for a model without axes (a DDN).
        data: Inputs and targets, or a ``DataLoader`` of pairs. Tensors are moved to the device once and
            batches drawn from them by index. For a replicated backbone also a list with the data of each
            replicate, of equal sizes.
        validation: Held-out inputs and targets that decide early stopping instead of the train ELBO, or a
            ``DataLoader`` of them, which is read once; for replicates also a list.
        device: Where to train; the model's device unless given.
        on_epoch: A function, or several, called with the :class:`pyro_vds.EpochRecord` after each epoch. It stops
            training by returning a word or raising :class:`pyro_vds.StopTraining`. While it is called, the model has
            the weights of that moment, not the best or averaged ones. Any other error ends training too: the best
            state is restored, and the error has the record as its attribute ``history``.
        progress: Whether to show a progress bar with the ELBO and the most probable architecture.
        config: The settings of training; the defaults of :class:`pyro_vds.TrainingConfig` unless given.
        settings: Fields of :class:`pyro_vds.TrainingConfig` that differ from ``config``, such as ``max_epochs=100``.
            The seed draws the order of batches (of replicate ``r`` as ``seed + r`` does alone) and any randomness of
            the network's own; the global generator is left as it was.

    Returns:
        The record of the run.

    Raises:
        TypeError: If inputs, targets or a setting have the wrong type, or a setting is unknown.
        ValueError: If data or a setting are out of range or do not fit each other.
        MemoryError: If training cannot fit the device.
        NonFiniteLossError: If the loss becomes NaN or infinite.
    """
    config = (config or TrainingConfig()).changed(**settings)
    guide = guide_or_empty(model, guide)
    target = model.device_tensor().device if device is None else torch.device(device)
    elbo = enum_elbo(model, guide).to(target)
    if config.channels_last:
        use_channels_last(model)
    held_out = held_out_data(model, validation, target)
    batches = prepare(model, data, config, target, held_out)
    held_out = None if held_out is None else moved(held_out, target)
    callbacks = [on_epoch] if callable(on_epoch) else list(on_epoch or ())
    with isolated_rng(target, config.seed), computing_in(model, config.precision, target):
        loop = TrainingLoop(Objective(elbo), batches, config, validation=held_out, callbacks=callbacks)
        return loop.run(progress=progress)
