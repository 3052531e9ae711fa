"""From data to weights."""

from pyro_vds.training.batch_norm import recalibrate_batch_norm
from pyro_vds.training.callbacks import BoundGap
from pyro_vds.training.fit import fit
from pyro_vds.training.history import History
from pyro_vds.training.loop import NonFiniteLossError
from pyro_vds.training.memory import estimate_memory

__all__ = [
    "BoundGap",
    "History",
    "NonFiniteLossError",
    "estimate_memory",
    "fit",
    "recalibrate_batch_norm",
]
