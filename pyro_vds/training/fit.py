"""Training: gradient steps on weights and guide together, on the same exact objective."""

from collections.abc import Callable, Sequence

import torch
from torch.optim import SGD
from torch.utils.data import DataLoader

from pyro_vds.guides.categorical import Guide, guide_or_empty
from pyro_vds.infer.elbo import enum_elbo
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_optimiser, check_positive
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import Data
from pyro_vds.training.history import History
from pyro_vds.training.loop import TrainingLoop
from pyro_vds.training.precision import Precision, computing_in
from pyro_vds.training.preflight import _prepare, _use_channels_last, checked_data, moved
from pyro_vds.training.steps import Objective


def fit(
    model: VDSModel,
    guide: Guide | None,
    data: Data | DataLoader | Sequence[Data],
    max_epochs: int = 8000,
    batch_size: int = 512,
    lr: float = 0.1,
    momentum: float = 0.5,
    patience: int = 500,
    validation: Data | Sequence[Data] | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
    progress: bool = True,
    *,
    guide_lr: float | None = None,
    weight_decay: float = 0.0,
    milestones: Sequence[int] = (),
    gamma: float = 0.1,
    compile: bool = False,
    precision: Precision = "float32",
    channels_last: bool = False,
    on_epoch: Callable[[int], None] | None = None,
) -> History:
    """Learn the weights and the guide by gradient steps on the exact ELBO (paper, eq. 2).

    The optimiser is SGD on ``loss / num_data``. The best state is restored at the end: by the train ELBO,
    or by the mean log predictive density of the validation data where they are given. A train ELBO is that of
    the weights before the step, so a single step on the full batch restores the initial state. Ctrl-C ends
    training early in the same way. The defaults are the paper's for small data.

    Args:
        model: The model, moved to ``device``. Afterwards it is in the mode (train or eval) that it was in. Parts
            that :func:`pyro_vds.freeze` has frozen stay as they are.
        guide: Its guide; ``None`` for a model without axes (a DDN).
        data: Inputs and targets, or a ``DataLoader`` of pairs. Tensors are moved to the device once and
            batches drawn from them by index. For a replicated backbone also a list with the data of each
            replicate, of equal sizes.
        max_epochs: Passes over the data at most.
        batch_size: Points in a batch (a ``DataLoader`` brings its own).
        lr: Learning rate.
        momentum: Momentum of SGD.
        patience: Epochs without a better value before training stops.
        validation: Held-out inputs and targets that decide early stopping instead of the train ELBO; for
            replicates also a list.
        device: Where to train; the model's device unless given.
        seed: Seeds the order of batches (of replicate ``r`` as ``seed + r`` does alone) and any randomness of
            the network's own; the global generator is left as it was.
        progress: Whether to show a progress bar with the ELBO and the most probable architecture.
        guide_lr: Learning rate of the guide; ``lr`` unless given. With the paper's, the same for both, the guide lags
            behind the exact posterior; ten times as much follows it (``experiments/guide_lag.py``).
        weight_decay: L2 penalty on the weights of the network; guide, noise scale and priors have none.
        milestones: Epochs at which the learning rate is multiplied by ``gamma``.
        gamma: Factor of the learning rate at each milestone.
        compile: Whether to compile the training step into one graph. The first time takes up to a minute; the
            compiler keeps its result for later runs. A step that cannot be traced runs without compilation, after
            a warning that says why.
        precision: ``"float32"``, or for the network alone ``"tf32"`` (CUDA) or ``"bf16"``; the likelihood and its
            sums stay in the type of the weights.
        channels_last: Whether images and convolutions lie in memory with the channels last, which many devices
            compute faster; the model stays so.
        on_epoch: Called with the number of each epoch (from 0) after it, the model and the guide in its state and in
            train mode; for instance a :class:`pyro_vds.BoundGap`. What it raises ends training with the best state.

    Returns:
        The record of the run.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If data or a setting are out of range or do not fit each other.
        MemoryError: If training cannot fit the device.
        NonFiniteLossError: If the loss becomes NaN or infinite.
    """
    guide_lr = lr if guide_lr is None else guide_lr
    rates = {"lr": lr, "guide_lr": guide_lr, "gamma": gamma}
    check_positive(max_epochs=max_epochs, batch_size=batch_size, patience=patience, **rates)
    check_optimiser(momentum, weight_decay)
    if any(milestone < 1 for milestone in milestones):
        raise ValueError(f"Expected milestones of at least 1 epoch, got {list(milestones)}.")
    guide = guide_or_empty(model, guide)
    target = model.device_tensor().device if device is None else torch.device(device)
    elbo = enum_elbo(model, guide).to(target)
    if channels_last:
        _use_channels_last(model)
    held_out = None if validation is None else checked_data(model, validation, "validation data")
    batches = _prepare(model, data, batch_size, target, seed, held_out)
    held_out = None if held_out is None else moved(held_out, target)
    shared_with_model = set(model.parameters())  # a guide may look at inputs through the network's own stem
    groups = [
        {"params": list(model.backbone.parameters()), "weight_decay": weight_decay},
        {"params": [p for name, p in model.named_parameters() if not name.startswith("backbone.")]},
        {"params": [p for p in guide.parameters() if p not in shared_with_model], "lr": guide_lr},
    ]
    optimizer = SGD([g for g in groups if g["params"]], lr=lr, momentum=momentum)
    with isolated_rng(target, seed), computing_in(model, precision, target):
        loop = TrainingLoop(
            Objective(elbo),
            batches,
            optimizer,
            milestones=milestones,
            gamma=gamma,
            compile=compile,
            validation=held_out,
            patience=patience,
            on_epoch=on_epoch,
        )
        return loop.run(max_epochs, progress=progress)
