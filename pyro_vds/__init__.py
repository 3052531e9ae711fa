"""Exact variational inference over the architecture of neural networks, such as the depth of a ResNet, in Pyro.

The paper is Antorán, Allingham and Hernández-Lobato, "Variational Depth Search in ResNets", 2020 (arXiv 2002.02797).
"""

import sys

from pyro_vds import datasets, diagnostics, likelihoods, plots, priors, runs, sweeps
from pyro_vds.backbones import (
    FromModules,
    PerDepth,
    Replicated,
    ResidualConvNet,
    ResidualMLP,
    Standardise,
    WithWidths,
    from_resnet,
    from_sequential,
    from_vit,
)
from pyro_vds.datasets import corruptions
from pyro_vds.diagnostics import comparison
from pyro_vds.guides import (
    AutoCategorical,
    AutoConditionalCategorical,
    AutoJointCategorical,
    AutoPerInput,
    replicates,
)
from pyro_vds.infer import (
    Case,
    EntropySplit,
    Mixture,
    enum_elbo,
    exact_posterior,
    log_predictive,
    predict,
    predict_components,
    predict_disagreement,
    predict_entropy,
    predict_moments,
    predict_pit,
    predict_proba,
    predict_variance_parts,
    reweight,
    split_entropy,
    stacked_weights,
    to_datatree,
)
from pyro_vds.likelihoods import accuracy_log_likelihood
from pyro_vds.metrics import calibration, dependence, intervals, resampling, temperature, uncertainty
from pyro_vds.models import VDSModel
from pyro_vds.ops import freeze
from pyro_vds.pruning import AdaptiveNetwork, choose, choose_depth, multiply_adds, prune
from pyro_vds.runs import load_run
from pyro_vds.spaces import DATA, Architecture, Axis, Backbone, Plate, Space
from pyro_vds.training import (
    BoundGap,
    EpochRecord,
    History,
    NonFiniteLossError,
    StopTraining,
    TrainingConfig,
    estimate_memory,
    fit,
    recalibrate_batch_norm,
    recipe,
)

# Public modules are imported by their public names too: ``from pyro_vds.calibration import ece``.
for _module in (calibration, comparison, corruptions, dependence, intervals, resampling, temperature, uncertainty):
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module

__all__ = [
    "DATA",
    "AdaptiveNetwork",
    "Architecture",
    "AutoCategorical",
    "AutoConditionalCategorical",
    "AutoJointCategorical",
    "AutoPerInput",
    "Axis",
    "Backbone",
    "BoundGap",
    "Case",
    "EntropySplit",
    "EpochRecord",
    "FromModules",
    "History",
    "Mixture",
    "NonFiniteLossError",
    "PerDepth",
    "Plate",
    "Replicated",
    "ResidualConvNet",
    "ResidualMLP",
    "Space",
    "Standardise",
    "StopTraining",
    "TrainingConfig",
    "VDSModel",
    "WithWidths",
    "accuracy_log_likelihood",
    "calibration",
    "choose",
    "choose_depth",
    "comparison",
    "corruptions",
    "datasets",
    "dependence",
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
    "load_run",
    "log_predictive",
    "multiply_adds",
    "plots",
    "predict",
    "predict_components",
    "predict_disagreement",
    "predict_entropy",
    "predict_moments",
    "predict_pit",
    "predict_proba",
    "predict_variance_parts",
    "priors",
    "prune",
    "recalibrate_batch_norm",
    "recipe",
    "replicates",
    "resampling",
    "reweight",
    "runs",
    "split_entropy",
    "stacked_weights",
    "sweeps",
    "temperature",
    "to_datatree",
    "uncertainty",
]
