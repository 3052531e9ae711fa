"""What the architecture latents of a network are, and the bookkeeping of their entries."""

from pyro_vds.spaces.backbone import Backbone

__all__ = [
    "Backbone",
]
