"""Training: gradient steps on weights and guide together, on the same exact objective."""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from pyro_vds.batches import Batches, IndexBatches, LoaderBatches, ReplicateBatches, as_pair, batch_lengths
from pyro_vds.elbo import enum_elbo, guide_or_empty
from pyro_vds.freezing import is_frozen
from pyro_vds.guides import Guide
from pyro_vds.history import History
from pyro_vds.loop import TrainingLoop
from pyro_vds.memory import check_memory
from pyro_vds.model import VDSModel, refuse_replicates, train_mode
from pyro_vds.precision import Precision, computing_in
from pyro_vds.predictive import shared
from pyro_vds.randomness import isolated_rng
from pyro_vds.steps import Objective
from pyro_vds.typing import Data
from pyro_vds.validation import (
    check_data,
    check_inputs,
    check_optimiser,
    check_pair,
    check_positive,
    check_single_point,
    probe_outputs,
)


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
    held_out = None if validation is None else _checked(model, validation, "validation data")
    batches = _prepare(model, data, batch_size, target, seed, held_out)
    held_out = None if held_out is None else _moved(held_out, target)
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


def recalibrate_batch_norm(model: VDSModel, data: Data | DataLoader, *, batch_size: int = 512, seed: int = 0) -> None:
    """Recompute the running statistics of batch norm on the training data with the final weights.

    During training the statistics average over weights that have since moved. The new ones are plain means
    over one pass (``torch.optim.swa_utils.update_bn``). Frozen parts keep theirs.

    Args:
        model: The trained model, changed in place.
        data: The training data.
        batch_size: Points in a batch, best the one of training.
        seed: Seeds the order of the points, and any randomness of the network's own.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data do not fit the model, or it has replicates.
    """
    refuse_replicates(model)
    device = model.device_tensor().device
    if isinstance(data, DataLoader):
        batches = _loader_batches(model, data, device)
    else:
        pair = _moved(_checked(model, data, "training data"), device)
        batches = IndexBatches(pair, batch_size, torch.Generator().manual_seed(seed))
    norms = [m for m in model.backbone.modules() if isinstance(m, _BatchNorm)]
    momenta, before = [norm.momentum for norm in norms], copy.deepcopy(model.backbone.state_dict())
    frozen = [(norm, copy.deepcopy(norm.state_dict())) for norm in norms if is_frozen(norm)]
    try:
        with train_mode(model), isolated_rng(device, seed):
            update_bn(_after_restoring(frozen, batches), model.backbone)
    except BaseException:
        # update_bn leaves statistics of zero and no momentum behind.
        model.backbone.load_state_dict(before)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        raise


def _after_restoring(frozen: Sequence[tuple[nn.Module, dict[str, Tensor]]], batches: Iterable) -> Iterator:
    """Yield the batches, after frozen norms have their statistics back, which ``update_bn`` resets before."""
    for norm, state in frozen:
        norm.load_state_dict(state)
    yield from batches


def _use_channels_last(model: VDSModel) -> None:
    """Store the weights of convolutions with the channels last; outputs then lie so as well."""
    if model.replicates is not None:
        raise ValueError("Expected channels_last=False for replicates, whose convolutions run as one of many groups.")
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _prepare(
    model: VDSModel,
    data: Data | DataLoader | Sequence[Data],
    batch_size: int,
    device: torch.device,
    seed: int,
    validation: Data | None,
) -> Batches:
    """Check the data and what training takes, before anything moves, and put the data where training needs them."""
    if isinstance(data, DataLoader):
        loader = _loader_batches(model, data, device)
        pair, largest = loader.first, len(loader.first[0])
        size, smallest = _dataset_size(data), _smallest_batch(data, largest)
    else:
        loader, pair = None, _checked(model, data, "training data")
        size = pair[0].shape[0 if model.replicates is None else 1]
        lengths = batch_lengths(size, batch_size)
        smallest, largest = min(lengths), max(lengths)
    if size is not None and size != model.num_data:
        raise ValueError(
            f"Expected {model.num_data} training points, the model's num_data, got {size}. Build the model with "
            f"num_data={size}: the likelihood is scaled to it."
        )
    if smallest == 1:
        check_single_point(model, pair[0])
    check_memory(model, pair, batch_size=largest, device=device, validation=validation)
    if loader is not None:
        return loader
    generators = [torch.Generator().manual_seed(seed + r) for r in range(model.replicates or 1)]
    if model.replicates is None:
        return IndexBatches(_moved(pair, device), batch_size, generators[0])
    return ReplicateBatches(_moved(pair, device), batch_size, generators)


def _loader_batches(model: VDSModel, loader: DataLoader, device: torch.device) -> LoaderBatches:
    """Return the batches of a DataLoader, of which the first is drawn once to look at."""
    if model.replicates is not None:
        raise TypeError("Expected tensors to train replicates on, each in its own order; got a DataLoader.")
    with isolated_rng():
        first = next(iter(loader), None)
    if first is None:
        raise ValueError("Expected a DataLoader with at least one batch, got none.")
    first = as_pair(first, "the batches of a DataLoader")
    check_inputs(first[0])
    check = partial(check_pair, model, outputs=probe_outputs(model, first[0]))
    return LoaderBatches(loader, device, check, first)


def _checked(model: VDSModel, data: Data | Sequence[Data], name: str) -> Data:
    """Return checked data, with replicates ``(replicate, N, ...)``."""
    if model.replicates is not None and not isinstance(data[0], Tensor):
        pairs = [as_pair(pair, name) for pair in data]
        if len(pairs) != model.replicates or len({tuple(t.shape for t in pair) for pair in pairs}) != 1:
            shapes = [tuple(tuple(t.shape) for t in pair) for pair in pairs]
            raise ValueError(f"Expected {model.replicates} pairs of equal shapes as {name}, got {shapes}.")
        x, y = (torch.stack([pair[i] for pair in pairs]) for i in (0, 1))
    else:
        x, y = (shared(model, t) for t in as_pair(data, name))
    check_data(model, x, y)
    return x, y


def _moved(pair: Data, device: torch.device) -> Data:
    """Return data on the device; what replicates share moves once and stays shared."""
    x, y = (t[:1].to(device).expand_as(t) if t.ndim and t.stride(0) == 0 else t.to(device) for t in pair)
    return x, y


def _smallest_batch(loader: DataLoader, batch_size: int) -> int:
    """Return the size of the smallest batch, as far as it can be known."""
    size = _dataset_size(loader)
    rest = 0 if size is None or loader.drop_last else size % batch_size
    return rest or batch_size


def _dataset_size(loader: DataLoader) -> int | None:
    """Return the number of points, where the data set knows it."""
    try:
        return len(loader.dataset)  # pyright: ignore[reportArgumentType]
    except TypeError:
        return None
