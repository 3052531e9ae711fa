"""The public name of :mod:`pyro_vds.metrics.intervals`."""

import sys

from pyro_vds.metrics import intervals
from pyro_vds.metrics.intervals import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = intervals
