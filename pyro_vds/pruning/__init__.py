"""Pruning: smaller networks chosen by the posterior, and what the parts of a network are worth."""

from pyro_vds.pruning.adaptive import AdaptiveNetwork
from pyro_vds.pruning.costs import multiply_adds
from pyro_vds.pruning.lesions import lesion_study
from pyro_vds.pruning.path_gradients import path_gradients
from pyro_vds.pruning.prune import prune
from pyro_vds.pruning.rules import choose, choose_architecture, choose_depth

__all__ = [
    "AdaptiveNetwork",
    "choose",
    "choose_architecture",
    "choose_depth",
    "lesion_study",
    "multiply_adds",
    "path_gradients",
    "prune",
]
