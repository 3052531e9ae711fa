"""Likelihoods: distributions of a target given a network's outputs."""

from pyro_vds.likelihoods.accuracy import accuracy_log_likelihood
from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.likelihoods.classification import Classification
from pyro_vds.likelihoods.counts import NegativeBinomial, Poisson
from pyro_vds.likelihoods.gaussian import Gaussian
from pyro_vds.likelihoods.ordinal import Ordinal

__all__ = [
    "Classification",
    "Gaussian",
    "Likelihood",
    "NegativeBinomial",
    "Ordinal",
    "Poisson",
    "accuracy_log_likelihood",
]
