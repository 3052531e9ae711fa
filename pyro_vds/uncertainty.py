"""The public name of :mod:`pyro_vds.metrics.uncertainty`."""

import sys

from pyro_vds.metrics import uncertainty
from pyro_vds.metrics.uncertainty import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = uncertainty
