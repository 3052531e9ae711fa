"""An estimate of the memory that training needs, before it starts."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.guides.categorical import AutoCategorical
from pyro_vds.infer.bounds import elbo
from pyro_vds.infer.enumerated import EnumELBO
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.copies import copied
from pyro_vds.ops.inputs import first_points, mapped, points, tensors
from pyro_vds.ops.loaders import first_batch
from pyro_vds.ops.memory import GIB, available_memory
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import Data, DataLike, Inputs, WeightedData
from pyro_vds.training.config import TrainingConfig

SMALL = 100  # training that takes less than 1 / SMALL of the free memory is not estimated


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a training step needs on the device.

    Attributes:
        state: Weights, two copies for the best state, two more if weights are averaged, and gradients and optimiser
            state of the weights that learn.
        activations: Tensors kept for the backward pass of one batch.
        readouts: The part of ``activations`` that a plain network would not need.
        data: The data that have to be moved to the device.
        available: Free memory of the device.
    """

    state: int
    activations: int
    readouts: int
    data: int
    available: float

    @property
    def total(self) -> int:
        """The memory that training needs, in bytes."""
        return self.state + self.activations + self.data

    def __str__(self) -> str:
        """Return one line in GiB."""
        return (
            f"{self.total / GIB:.2f} GiB (weights and optimiser {self.state / GIB:.2f}, activations of a batch "
            f"{self.activations / GIB:.2f}, of which read-outs of all architectures {self.readouts / GIB:.2f}, data "
            f"{self.data / GIB:.2f}); available {self.available / GIB:.2f} GiB"
        )


def estimate_memory(
    model: VDSModel,
    data: DataLike | DataLoader,
    *,
    batch_size: int,
    device: torch.device | str | None = None,
    validation: DataLike | None = None,
    config: TrainingConfig | None = None,
) -> MemoryEstimate:
    """Estimate the memory of a training step by counting what autograd keeps for two small batches.

    Activations grow linearly with the batch, so that two counts give the count of any batch. The model does not change.

    Args:
        model: The model to be trained.
        data: Training inputs and targets; the first few are used. The data of a ``DataLoader`` do not move.
        batch_size: Points in a batch.
        device: The device to train on; ``None`` is the model's device.
        validation: Held-out data that are moved to the device too.
        config: The settings of training; optimiser and averaging need memory.

    Returns:
        The estimate, in bytes.
    """
    here = model.device_tensor().device
    device = here if device is None else torch.empty(0, device=device).device  # "cuda" is "cuda:0"
    staying = isinstance(data, DataLoader)
    name = "the batches of a DataLoader" if staying else "training data"
    pair = model.as_data(first_batch(data) if isinstance(data, DataLoader) else data, name)
    batch = batch_size if staying else min(batch_size, points(pair[0], len(model.batch_shape)))
    samples = None if config is None else config.samples
    activations = _activation_bytes(model, pair, batch, samples)
    plain = _plain_model(model)
    readouts = 0 if plain is None else max(0, activations - _activation_bytes(plain, pair, batch))
    kept, learnt = _copies(config or TrainingConfig())
    state = sum(p.numel() * p.element_size() * (kept + learnt * p.requires_grad) for p in model.parameters())
    held = ([] if staying else [pair]) + ([] if validation is None else [model.as_data(validation, "validation data")])
    # Of data that replicates share, only one copy moves.
    held = [t for one in held for part in one for t in tensors(part)]
    moving = sum(t.untyped_storage().nbytes() for t in held if t.device != device)
    return MemoryEstimate(state, activations, readouts, moving, available_memory(device))


def check_memory(
    model: VDSModel,
    data: Data | WeightedData,
    *,
    batch_size: int,
    device: torch.device | str | None = None,
    validation: DataLike | None = None,
    config: TrainingConfig | None = None,
) -> MemoryEstimate:
    """Return the estimate of :func:`estimate_memory`, or raise if training cannot fit the device.

    Args:
        model: The model to be trained.
        data: Training inputs and targets.
        batch_size: Points in a batch.
        device: The device to train on; ``None`` is the model's device.
        validation: Held-out data that are moved to the device too.
        config: The settings of training; optimiser and averaging need memory.

    Raises:
        MemoryError: If training needs more memory than the device has.
    """
    estimate = estimate_memory(model, data, batch_size=batch_size, device=device, validation=validation, config=config)
    if estimate.total > estimate.available:
        raise MemoryError(
            f"Expected training to fit into the device's memory, but it needs about {estimate}. Reduce batch_size or "
            "the network (for example max_depth), give PerDepth a pool, or use another device."
        )
    return estimate


def is_small(model: VDSModel, data: Data | WeightedData, *, batch_size: int, device: torch.device) -> bool:
    """Return whether training needs so little of the free memory that an estimate is superfluous.

    The activations of a point are hardly more than a few times the weights; the margin is a factor of 100.

    Args:
        model: The model to be trained.
        data: Training inputs and targets.
        batch_size: Points in a batch.
        device: The device to train on.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    moving = sum(t.untyped_storage().nbytes() for part in data for t in tensors(part))
    return SMALL * (weights * (batch_size + 10) + moving) < available_memory(device)


def _copies(config: TrainingConfig) -> tuple[int, int]:
    """Return how many tensors are kept for each weight, and how many more for each weight that learns."""
    of_optimizer = 1 if config.optimizer is None else 2
    return 3 + (0 if config.averaging is None else 2), 1 + of_optimizer


def _plain_model(model: VDSModel) -> VDSModel | None:
    """Return a copy of the model as a plain network, or ``None`` if the backbone has no ``plain``."""
    plain = getattr(model.backbone, "plain", None)
    if plain is None or not model.space:
        return None
    return VDSModel(plain(), likelihood=model.likelihood, num_data=model.num_data)


def _activation_bytes(model: VDSModel, data: Data | WeightedData, batch: int, samples: int | None = None) -> int:
    """Return the bytes that autograd keeps for a forward pass over ``batch`` points."""
    model = copied(model).train()
    model.space = model.space.in_plate(None)  # needs hardly more memory
    bound = elbo(model, AutoCategorical(model), samples=samples)
    device = model.device_tensor().device
    dim = len(model.batch_shape)
    # Weights take no memory to speak of.
    x, y = (mapped(lambda t: t.to(device).repeat_interleave(4, dim), first_points(part, 1, dim)) for part in data[:2])
    with isolated_rng(device):
        bound(x, y)  # the first call checks the guide, which keeps tensors of its own
        small, double = (
            _saved_bytes(bound, *(mapped(Tensor.clone, first_points(t, size, dim)) for t in (x, y))) for size in (2, 4)
        )
    return small + (double - small) // 2 * (batch - 2)


def _saved_bytes(elbo: EnumELBO, x: Inputs, y: Tensor) -> int:
    parameters = {p.untyped_storage().data_ptr() for p in elbo.parameters()}
    # The tensors are kept until the count is done, so that no address is used twice.
    saved: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in parameters:
            saved[address] = tensor
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        elbo(x, y)
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())
