"""The space of architectures of a network: its axes and their labels."""

from pyro_vds.spaces.axis import DATA, Axis, Plate
from pyro_vds.spaces.backbone import Backbone
from pyro_vds.spaces.space import Architecture, Space

__all__ = ["DATA", "Architecture", "Axis", "Backbone", "Plate", "Space"]
