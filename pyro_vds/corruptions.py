"""The public name of :mod:`pyro_vds.datasets.corruptions`."""

import sys

from pyro_vds.datasets import corruptions
from pyro_vds.datasets.corruptions import *  # noqa: F403 (for type checkers)

sys.modules[__name__] = corruptions
