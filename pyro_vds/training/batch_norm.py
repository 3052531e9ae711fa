"""Statistics of batch norm for the final weights."""

import copy
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader

from pyro_vds.models.checks import refuse_replicates
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.freezing import is_frozen
from pyro_vds.ops.modes import train_mode
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import Data
from pyro_vds.training.batches import IndexBatches
from pyro_vds.training.preflight import _checked, _loader_batches, _moved


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
