"""Training of weights and guide."""

from pyro_vds.training import loggers
from pyro_vds.training.batch_norm import recalibrate_batch_norm
from pyro_vds.training.callbacks import BoundGap, StopTraining
from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.fit import fit
from pyro_vds.training.history import EpochRecord, History
from pyro_vds.training.loop import NonFiniteLossError
from pyro_vds.training.memory import estimate_memory
from pyro_vds.training.recipe import recipe

__all__ = [
    "BoundGap",
    "EpochRecord",
    "History",
    "NonFiniteLossError",
    "StopTraining",
    "TrainingConfig",
    "estimate_memory",
    "fit",
    "loggers",
    "recalibrate_batch_norm",
    "recipe",
]
