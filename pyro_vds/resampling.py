"""The public name of :mod:`pyro_vds.metrics.resampling`."""

import sys

from pyro_vds.metrics import resampling
from pyro_vds.metrics.resampling import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = resampling
