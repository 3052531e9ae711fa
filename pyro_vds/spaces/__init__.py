"""What the architecture latents of a network are, and the bookkeeping of their entries."""

from pyro_vds.spaces.axis import DATA, Axis, Plate
from pyro_vds.spaces.backbone import Backbone
from pyro_vds.spaces.space import Architecture, Space

__all__ = ["DATA", "Architecture", "Axis", "Backbone", "Plate", "Space"]
