"""Priors over one axis of architectures: small immutable objects that become a Pyro ``Categorical``.

A prior does not know the size of its axis until a model asks for it: ``Poisson(rate=6)(21)`` is the
distribution over 21 entries (depths 0..20). Entry ``i`` is depth ``i`` on a depth axis. An axis with sites, such as the
gates of a graph's edges, has one prior for all its sites; ``Price`` and ``Exchangeable`` are for gates.

Equation numbers refer to Antorán, Allingham and Hernández-Lobato, "Variational Depth Search in ResNets",
2020 (arXiv 2002.02797).
"""

from pyro_vds.priors.base import Prior
from pyro_vds.priors.families import PRIORS, Cost, Geometric, NegativeBinomial, Poisson, Uniform, Weights, parse
from pyro_vds.priors.hierarchical import Beta, Dirichlet, Gamma, Hierarchical
from pyro_vds.priors.sites import Exchangeable, Price

__all__ = [
    "PRIORS",
    "Beta",
    "Cost",
    "Dirichlet",
    "Exchangeable",
    "Gamma",
    "Geometric",
    "Hierarchical",
    "NegativeBinomial",
    "Poisson",
    "Price",
    "Prior",
    "Uniform",
    "Weights",
    "parse",
]
