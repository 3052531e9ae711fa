"""The public name of :mod:`pyro_vds.metrics.calibration`."""

import sys

from pyro_vds.metrics import calibration
from pyro_vds.metrics.calibration import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = calibration
