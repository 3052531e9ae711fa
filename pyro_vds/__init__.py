"""Exact variational inference over the depth of residual networks, in Pyro.

The method is that of Antorán, Allingham and Hernández-Lobato, "Variational Depth Search in ResNets", 2020
(arXiv 2002.02797).
"""

from pyro_vds import (
    calibration,
    comparison,
    corruptions,
    datasets,
    diagnostic_plots,
    diagnostics,
    intervals,
    likelihoods,
    plots,
    priors,
    resampling,
    temperature,
    uncertainty,
)
from pyro_vds.adapted import FromModules, from_sequential
from pyro_vds.adaptive import AdaptiveNetwork, AutoPerInput
from pyro_vds.backbones import PerDepth, ResidualConvNet, ResidualMLP
from pyro_vds.costs import choose, multiply_adds
from pyro_vds.elbo import enum_elbo
from pyro_vds.freezing import freeze
from pyro_vds.gap import BoundGap
from pyro_vds.guides import AutoCategorical, AutoConditionalCategorical, AutoJointCategorical
from pyro_vds.history import History
from pyro_vds.loop import NonFiniteLossError
from pyro_vds.memory import estimate_memory
from pyro_vds.model import VDSModel
from pyro_vds.moments import predict_components, predict_moments, predict_pit, predict_variance_parts
from pyro_vds.normalisation import Standardise
from pyro_vds.posterior import exact_posterior, reweight, to_datatree
from pyro_vds.predictive import log_predictive, predict_proba
from pyro_vds.pruning import choose_depth, prune
from pyro_vds.replicated import Replicated
from pyro_vds.training import fit, recalibrate_batch_norm
from pyro_vds.unstack import replicates
from pyro_vds.vision import from_resnet, from_vit
from pyro_vds.width import WithWidths

__all__ = [
    "AdaptiveNetwork",
    "AutoCategorical",
    "AutoConditionalCategorical",
    "AutoJointCategorical",
    "AutoPerInput",
    "BoundGap",
    "FromModules",
    "History",
    "NonFiniteLossError",
    "PerDepth",
    "Replicated",
    "ResidualConvNet",
    "ResidualMLP",
    "Standardise",
    "VDSModel",
    "WithWidths",
    "calibration",
    "choose",
    "choose_depth",
    "comparison",
    "corruptions",
    "datasets",
    "diagnostic_plots",
    "diagnostics",
    "enum_elbo",
    "estimate_memory",
    "exact_posterior",
    "fit",
    "freeze",
    "from_resnet",
    "from_sequential",
    "from_vit",
    "intervals",
    "likelihoods",
    "log_predictive",
    "multiply_adds",
    "plots",
    "predict_components",
    "predict_moments",
    "predict_pit",
    "predict_proba",
    "predict_variance_parts",
    "priors",
    "prune",
    "recalibrate_batch_norm",
    "replicates",
    "resampling",
    "reweight",
    "temperature",
    "to_datatree",
    "uncertainty",
]
