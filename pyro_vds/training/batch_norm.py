"""Statistics of batch norm for the final weights."""

import copy

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_batch_size
from pyro_vds.ops.freezing import is_frozen
from pyro_vds.ops.modes import train_mode
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import Data
from pyro_vds.training.preflight import checked_data, loader_batches, moved, training_batches


def recalibrate_batch_norm(model: VDSModel, data: Data | DataLoader, *, batch_size: int = 512, seed: int = 0) -> None:
    """Recompute the running statistics of batch norm on the training data with the final weights.

    During training the statistics average over weights that have since moved. The new ones are plain means over one
    pass, as those of ``torch.optim.swa_utils.update_bn``. Frozen parts keep theirs; where it fails, all do.

    Args:
        model: The trained model, changed in place; replicates have statistics of their own.
        data: The training data.
        batch_size: Points in a batch, best the one of training.
        seed: Seeds the order of the points, and any randomness of the network's own.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data do not fit the model, or the batch size is not positive.
    """
    check_batch_size(batch_size)
    device = model.device_tensor().device
    if isinstance(data, DataLoader):
        batches = loader_batches(model, data, device)
    else:
        pair = moved(checked_data(model, data, "training data"), device)
        batches = training_batches(model, pair, batch_size, seed)
    norms = [m for m in model.backbone.modules() if isinstance(m, _BatchNorm) and not is_frozen(m)]
    momenta, before = [norm.momentum for norm in norms], copy.deepcopy(model.backbone.state_dict())
    try:
        with torch.no_grad(), train_mode(model), isolated_rng(device, seed):
            for seen, (x, _) in enumerate(batches):
                for norm in norms:
                    # The share of the latest batch in a plain mean.
                    norm.momentum = 1 / (seen + 1)
                model.backbone(x)
    except BaseException:
        model.backbone.load_state_dict(before)
        raise
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
