"""Pruning: smaller networks chosen by the posterior."""

from pyro_vds.pruning.adaptive import AdaptiveNetwork
from pyro_vds.pruning.costs import multiply_adds
from pyro_vds.pruning.prune import prune
from pyro_vds.pruning.rules import choose, choose_depth

__all__ = [
    "AdaptiveNetwork",
    "choose",
    "choose_depth",
    "multiply_adds",
    "prune",
]
