"""The public name of :mod:`pyro_vds.ops.dependence`."""

import sys

from pyro_vds.ops import dependence
from pyro_vds.ops.dependence import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = dependence
