"""The public name of :mod:`pyro_vds.diagnostics.comparison`."""

import sys

from pyro_vds.diagnostics import comparison
from pyro_vds.diagnostics.comparison import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = comparison
