from . import (
    calibration as calibration,
    comparison as comparison,
    corruptions as corruptions,
    datasets as datasets,
    dependence as dependence,
    diagnostics as diagnostics,
    intervals as intervals,
    likelihoods as likelihoods,
    loggers as loggers,
    plots as plots,
    priors as priors,
    resampling as resampling,
    runs as runs,
    sweeps as sweeps,
    temperature as temperature,
    uncertainty as uncertainty,
)
from .backbones import (
    NAS_BENCH_201 as NAS_BENCH_201,
    FromModules as FromModules,
    PerDepth as PerDepth,
    Probe as Probe,
    Replicated as Replicated,
    ResidualConvNet as ResidualConvNet,
    ResidualMLP as ResidualMLP,
    SearchGraph as SearchGraph,
    Standardise as Standardise,
    WithGates as WithGates,
    WithWidths as WithWidths,
    cell as cell,
    connectivity as connectivity,
    from_resnet as from_resnet,
    from_sequential as from_sequential,
    from_timm as from_timm,
    from_transformers as from_transformers,
    from_vit as from_vit,
    lesion as lesion,
    probe as probe,
)
from .estimators import VDSClassifier as VDSClassifier, VDSRegressor as VDSRegressor
from .guides import (
    AutoCategorical as AutoCategorical,
    AutoConditionalCategorical as AutoConditionalCategorical,
    AutoGenerator as AutoGenerator,
    AutoJointCategorical as AutoJointCategorical,
    AutoMixture as AutoMixture,
    AutoPerInput as AutoPerInput,
    replicates as replicates,
)
from .infer import (
    Case as Case,
    EvidenceEstimate as EvidenceEstimate,
    Mixture as Mixture,
    as_chains as as_chains,
    drawn as drawn,
    elbo as elbo,
    enum_elbo as enum_elbo,
    estimate_evidence as estimate_evidence,
    exact_posterior as exact_posterior,
    log_predictive as log_predictive,
    predict as predict,
    predict_components as predict_components,
    predict_disagreement as predict_disagreement,
    predict_entropy as predict_entropy,
    predict_moments as predict_moments,
    predict_pit as predict_pit,
    predict_proba as predict_proba,
    predict_variance_parts as predict_variance_parts,
    reweight as reweight,
    stacked_weights as stacked_weights,
    to_datatree as to_datatree,
)
from .likelihoods import accuracy_log_likelihood as accuracy_log_likelihood
from .models import (
    TabularModel as TabularModel,
    VDSModel as VDSModel,
)
from .ops import (
    freeze as freeze,
)
from .ops.entropy import EntropySplit as EntropySplit, split_entropy as split_entropy
from .pruning import (
    AdaptiveNetwork as AdaptiveNetwork,
    choose as choose,
    choose_architecture as choose_architecture,
    choose_depth as choose_depth,
    lesion_study as lesion_study,
    multiply_adds as multiply_adds,
    path_gradients as path_gradients,
    prune as prune,
)
from .runs import load_run as load_run
from .spaces import (
    DATA as DATA,
    Architecture as Architecture,
    Axis as Axis,
    Backbone as Backbone,
    Plate as Plate,
    Space as Space,
)
from .training import (
    BoundGap as BoundGap,
    EpochRecord as EpochRecord,
    History as History,
    NonFiniteLossError as NonFiniteLossError,
    StopTraining as StopTraining,
    TrainingConfig as TrainingConfig,
    estimate_memory as estimate_memory,
    fit as fit,
    recalibrate_batch_norm as recalibrate_batch_norm,
    recipe as recipe,
)

__version__: str
