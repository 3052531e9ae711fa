"""Priors over one axis of architectures: small immutable objects that become a Pyro ``Categorical``.

A prior does not know the size of its axis until a model asks for it: ``Poisson(rate=6)(21)`` is the
distribution over 21 entries (depths 0..20). Entry ``i`` is depth ``i`` on a depth axis.

Equation numbers refer to Antorán, Allingham and Hernández-Lobato, "Variational Depth Search in ResNets",
2020 (arXiv 2002.02797).
"""

from pyro_vds.priors.base import Prior
from pyro_vds.priors.families import PRIORS, Cost, Geometric, NegativeBinomial, Poisson, Uniform, Weights, parse
from pyro_vds.priors.hierarchical import Beta, Dirichlet, Gamma, Hierarchical

__all__ = [
    "PRIORS",
    "Beta",
    "Cost",
    "Dirichlet",
    "Gamma",
    "Geometric",
    "Hierarchical",
    "NegativeBinomial",
    "Poisson",
    "Prior",
    "Uniform",
    "Weights",
    "parse",
]
