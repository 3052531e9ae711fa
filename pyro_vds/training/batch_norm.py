"""Running statistics of batch norm for the final weights."""

import copy

import torch
from torch.utils.data import DataLoader

from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.checks import check_batch_size
from pyro_vds.ops.compat import BatchNorm
from pyro_vds.ops.freezing import is_frozen
from pyro_vds.ops.modes import train_mode
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import DataLike
from pyro_vds.training.preflight import checked_data, loader_batches, moved, training_batches


def recalibrate_batch_norm(
    model: VDSModel, data: DataLike | DataLoader, *, batch_size: int = 512, seed: int = 0
) -> None:
    """Recompute the running statistics of batch norm on the training data with the final weights.

    Training averages the statistics over changing weights. The new statistics are plain means over one pass, as in
    ``torch.optim.swa_utils.update_bn``. Frozen parts keep theirs, and after an error all parts do. Weights that a guide
    keeps are those of the earlier statistics: keep them again, or call ``guide.forget_weights()``.

    Args:
        model: The trained model, changed in place; each replicate has its own statistics.
        data: The training data.
        batch_size: Points in a batch; preferably the same as in training.
        seed: Seed of the order of the points and of randomness in the network.

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
    norms = [m for m in model.backbone.modules() if isinstance(m, BatchNorm) and not is_frozen(m)]
    momenta, before = [norm.momentum for norm in norms], copy.deepcopy(model.backbone.state_dict())
    try:
        with torch.no_grad(), train_mode(model), isolated_rng(device, seed):
            for seen, (x, *_) in enumerate(batches):
                for norm in norms:
                    # The weight of the latest batch in a plain mean.
                    norm.momentum = 1 / (seen + 1)
                model.backbone(x)
    except BaseException:
        model.backbone.load_state_dict(before)
        raise
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
