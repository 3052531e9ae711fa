"""Torch helpers that know nothing of architectures."""

from pyro_vds.ops import dependence
from pyro_vds.ops.freezing import freeze

__all__ = [
    "dependence",
    "freeze",
]
