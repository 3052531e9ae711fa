"""The Pyro model, and the checks of data against it."""

from pyro_vds.models.tabular import TabularModel
from pyro_vds.models.vds_model import VDSModel

__all__ = [
    "TabularModel",
    "VDSModel",
]
