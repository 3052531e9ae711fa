"""Training behind frozen layers, which run once over the data."""

import logging

import torch

from pyro_vds.backbones.probing import probe
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.runs.settings import Settings
from pyro_vds.spaces.typing import Data

logger = logging.getLogger(__name__)


def frozen_features(
    settings: Settings, model: VDSModel, data: DataSet, device: torch.device | None
) -> tuple[VDSModel, Data, Data | None] | None:
    """Return a model of the heads behind the frozen layers, and its training and validation data: their features.

    Args:
        settings: The settings of the run.
        model: The model, moved to ``device``. It shares the heads.
        data: The data.
        device: The device to train on; ``None`` is the model's device.

    Returns:
        ``None`` if the layers have to run in each step: they learn, compute in another precision or have replicates,
        the guide looks at the inputs, or there is no memory for the features.
    """
    otherwise = settings.precision != "float32" or settings.channels_last or model.by_input or bool(model.batch_shape)
    if not settings.frozen or otherwise:
        return None
    network = (model if device is None else model.to(device)).backbone
    parts: list[Data] = []
    heads = network
    try:
        for x, y in (data.train, *([] if data.validation is None else [data.validation])):
            features, heads = probe(network, x)
            parts.append((features, y))
    except MemoryError as error:
        logger.info("The frozen layers run in each step. %s", error)
        return None
    return model.with_backbone(heads), parts[0], parts[1] if parts[1:] else None
