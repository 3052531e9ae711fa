"""Likelihoods: what the outputs of a network say about a target."""

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.likelihoods.classification import Classification
from pyro_vds.likelihoods.gaussian import Gaussian

__all__ = [
    "Classification",
    "Gaussian",
    "Likelihood",
]
