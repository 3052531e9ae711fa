"""The public name of :mod:`pyro_vds.training.loggers`."""

import sys

from pyro_vds.training import loggers
from pyro_vds.training.loggers import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = loggers
