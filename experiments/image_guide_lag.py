"""MNIST, all 60,000 training images: does the guide lag behind the exact posterior?

The guide's step does not know the number of points, by which the exact posterior sharpens; ``guide_lag`` has 200.
The posterior is that of the network in eval mode, as it is used; in train mode, where each batch is normalised by its
own statistics, as the guide sees it; and in eval mode after batch norm was recalibrated.
"""

import copy
from functools import partial
from typing import Any

import torch

import pyro_vds as vds
from experiments.engine.lag import FACTOR, against, in_eval_mode, measure_lag
from experiments.engine.measures import measure_exactly, measure_prediction
from experiments.engine.presets import REPEATS_CPU, REPEATS_IMAGES, TINY_IMAGES
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.exact import ExactPosterior, posterior_of
from pyro_vds.ops.modes import train_mode
from pyro_vds.runs.settings import Settings
from pyro_vds.spaces.typing import TensorPair
from pyro_vds.sweeps import Grid, Scan, product
from pyro_vds.training.batches import IndexBatches

ALL_IMAGES = {"data": "mnist", "validation_fraction": 0.0}
FACTORS = {FACTOR: (1, 10, 100)}


def compare_modes(model: vds.VDSModel, guide: Guide, data: DataSet, settings: Settings) -> dict[str, Any]:
    """Compare the guide with the exact posterior in each mode, and its predictions with those of that posterior."""
    size = settings.batch_size or len(data.train[0])
    other = copy.deepcopy(model)
    in_train_mode = against(posterior_in_train_mode(other, data.train, size), guide)
    vds.recalibrate_batch_norm(other, data.train, batch_size=size)
    exact = vds.exact_posterior(other, data.train)
    return in_eval_mode(model, guide, data, settings) | {
        "train_mode": in_train_mode,
        "recalibrated": against(exact, guide)
        | {
            "test": measure_prediction(other, guide, data.test),
            "test_exact": measure_exactly(other, exact, data.test),
        },
    }


@torch.no_grad()
def posterior_in_train_mode(model: vds.VDSModel, data: TensorPair, batch_size: int, seed: int = 0) -> ExactPosterior:
    """Return the exact posterior of a network that normalises each batch by its own statistics, as in training.

    Args:
        model: The model; its running statistics change.
        data: The training data.
        batch_size: Points in a batch.
        seed: Seeds the order of the points.
    """
    device = model.device_tensor().device
    x, y = (tensor.to(device) for tensor in data)
    with train_mode(model):
        parts = [
            model.likelihood(model.outputs(batch[0])).log_prob(batch[1]).double().sum(-1)
            for batch in IndexBatches((x, y), batch_size, torch.Generator().manual_seed(seed))
        ]
    return posterior_of(model, torch.stack(parts).sum(0))


SCAN = Scan(
    paper=Grid(product(FACTORS), ALL_IMAGES | {"max_depth": 50, "max_epochs": 40}, REPEATS_IMAGES, compile=True),
    cpu=Grid(
        product(FACTORS),
        ALL_IMAGES | {"channels": 8, "bottleneck": 4, "max_depth": 8, "max_epochs": 6, "milestones": (4,)},
        REPEATS_CPU,
    ),
    tiny=Grid(product({FACTOR: (1, 10)}), TINY_IMAGES | {"data": "digits", "max_depth": 2, "max_epochs": 2}, repeats=2),
    measure=partial(measure_lag, checkpoints=(1, 10), compare=compare_modes),
)
