"""Guides: the variational posterior over architectures."""

from pyro_vds.guides.categorical import AutoCategorical
from pyro_vds.guides.dependent import AutoGenerator, AutoMixture
from pyro_vds.guides.joint import AutoConditionalCategorical, AutoJointCategorical
from pyro_vds.guides.mixtures import GeneratedMixture, ProductMixture, SiteDistribution
from pyro_vds.guides.per_input import AutoPerInput
from pyro_vds.guides.replicates import replicates

__all__ = [
    "AutoCategorical",
    "AutoConditionalCategorical",
    "AutoGenerator",
    "AutoJointCategorical",
    "AutoMixture",
    "AutoPerInput",
    "GeneratedMixture",
    "ProductMixture",
    "SiteDistribution",
    "replicates",
]
