"""The public name of :mod:`pyro_vds.metrics.temperature`."""

import sys

from pyro_vds.metrics import temperature
from pyro_vds.metrics.temperature import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = temperature
