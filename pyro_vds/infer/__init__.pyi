from .bounds import (
    elbo as elbo,
    enum_elbo as enum_elbo,
)
from .cases import Case as Case
from .chains import as_chains as as_chains
from .datatree import to_datatree as to_datatree
from .drawn import drawn as drawn
from .evidence import (
    EvidenceEstimate as EvidenceEstimate,
    estimate_evidence as estimate_evidence,
)
from .exact import (
    exact_posterior as exact_posterior,
    reweight as reweight,
)
from .mixture import Mixture as Mixture
from .predict import predict as predict
from .predictive import (
    log_predictive as log_predictive,
    predict_components as predict_components,
    predict_moments as predict_moments,
    predict_pit as predict_pit,
    predict_proba as predict_proba,
)
from .stacking import stacked_weights as stacked_weights
from .tables import (
    MeanField as MeanField,
    fit_mean_field as fit_mean_field,
    fit_table as fit_table,
)
from .uncertainty import (
    predict_disagreement as predict_disagreement,
    predict_entropy as predict_entropy,
    predict_variance_parts as predict_variance_parts,
)
