"""Torch helpers that know no architecture."""

from pyro_vds.ops.freezing import freeze

__all__ = [
    "freeze",
]
