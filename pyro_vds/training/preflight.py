"""All checks of a training run, before it starts."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.models.checks import check_data, check_lookups, check_points, check_single_point, probe_outputs
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_inputs
from pyro_vds.ops.data import is_data, of_each_part
from pyro_vds.ops.inputs import mapped, points, tensors
from pyro_vds.ops.loaders import count_points, first_batch, gathered, smallest_batch
from pyro_vds.spaces.typing import Data, DataLike, Inputs, WeightedData
from pyro_vds.training.batches import Batches, IndexBatches, LoaderBatches, ReplicateBatches, batch_lengths
from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.memory import check_memory, is_small
from pyro_vds.training.rehearsal import rehearsed


def use_channels_last(model: VDSModel) -> None:
    """Store the weights of convolutions with the channels last, and thereby their outputs too."""
    if model.batch_shape:
        raise ValueError("Expected channels_last=False for replicates, whose convolutions run in groups, got True.")
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def prepare(
    model: VDSModel,
    data: DataLike | DataLoader | Sequence[DataLike],
    config: TrainingConfig,
    device: torch.device,
    validation: Data | WeightedData | None,
) -> tuple[Batches, TrainingConfig]:
    """Check the data, the network and the memory that training needs, then move the data to the device, in batches.

    Returns:
        The batches, and the settings with which the network can train, see :func:`rehearsed`.
    """
    dim = len(model.batch_shape)
    if isinstance(data, DataLoader):
        loader = loader_batches(model, data, device)
        pair, largest = loader.first, points(loader.first[0])
        size, smallest = count_points(data), smallest_batch(data, largest)
    else:
        loader, pair = None, checked_data(model, data, "training data")
        size = points(pair[0], dim)
        lengths = batch_lengths(size, config.batch_size)
        smallest, largest = min(lengths), max(lengths)
    if size is not None and size != model.num_data:
        raise ValueError(
            f"Expected {model.num_data} training points, the model's num_data, got {size}. Build the model with "
            f"num_data={size}, to which the likelihood is scaled."
        )
    if smallest == 1:
        check_single_point(model, pair[0])
    config = rehearsed(model, pair[0], config)
    if not is_small(model, pair, batch_size=largest, device=device):
        check_memory(model, pair, batch_size=largest, device=device, validation=validation, config=config)
    return loader or training_batches(model, moved(pair, device), config.batch_size, config.seed), config


def training_batches(model: VDSModel, pair: Data | WeightedData, batch_size: int, seed: int) -> Batches:
    """Return shuffled batches of data that are on the device.

    Args:
        model: The model.
        pair: Inputs and targets, and weights if they have any, ``(*batch_shape, N, ...)``.
        batch_size: Points in a batch.
        seed: Seed of the order; ``seed + r`` for replicate ``r``.
    """
    generators = [torch.Generator().manual_seed(seed + r) for r in range(model.batch_shape.numel())]
    if model.batch_shape:
        return ReplicateBatches(pair, batch_size, generators)
    return IndexBatches(pair, batch_size, generators[0])


def held_out_data(
    model: VDSModel, data: DataLike | DataLoader | Sequence[DataLike] | None, device: torch.device
) -> Data | WeightedData | None:
    """Return checked validation data; a DataLoader is read once, to the device."""
    name = "validation data"
    if data is None:
        return None
    dtype = model.device_tensor().dtype
    return checked_data(model, gathered(data, name, device, dtype) if isinstance(data, DataLoader) else data, name)


def loader_batches(model: VDSModel, loader: DataLoader, device: torch.device) -> LoaderBatches:
    """Return the batches of a DataLoader; the first one is drawn for checks."""
    if model.batch_shape:
        raise TypeError("Expected tensors to train replicates, each in its own order, got a DataLoader.")
    as_data = partial(model.as_data, name="the batches of a DataLoader")
    first = as_data(first_batch(loader))
    check_inputs(first[0])
    check_lookups(model, first[0])
    outputs = probe_outputs(model, first[0])

    def check(x: Inputs, y: Tensor, weight: Tensor | None = None) -> None:
        check_inputs(x)
        check_lookups(model, x)
        check_points(model, x, y, weight, outputs=outputs)

    return LoaderBatches(loader, device, as_data=as_data, check=check, first=first)


def checked_data(model: VDSModel, data: DataLike | Sequence[DataLike], name: str) -> Data | WeightedData:
    """Return checked data, with replicates ``(replicate, N, ...)``."""
    if model.batch_shape and not is_data(data):
        each = [model.as_data(one, name) for one in data]
        shapes = [[tuple(t.shape) for part in one for t in tensors(part)] for one in each]
        if len(each) != model.batch_shape[0] or any(these != shapes[0] for these in shapes):
            raise ValueError(f"Expected {model.batch_shape[0]} pairs of equal shapes as {name}, got {shapes}.")
        parts = tuple(mapped(lambda *ts: torch.stack(ts), *of_each) for of_each in zip(*each, strict=True))
    else:
        parts = of_each_part(model.shared, model.as_data(data, name))
    check_data(model, *parts)
    return parts


def moved(pair: Data | WeightedData, device: torch.device) -> Data | WeightedData:
    """Return data on the device; data that replicates share are moved once and stay shared."""

    def one(t: Tensor) -> Tensor:
        return t[:1].to(device).expand_as(t) if t.ndim and t.stride(0) == 0 else t.to(device)

    return of_each_part(partial(mapped, one), pair)
