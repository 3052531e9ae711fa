"""Inference: the ELBO, the exact posterior and predictions."""

from pyro_vds.infer.bounds import elbo, enum_elbo
from pyro_vds.infer.cases import Case
from pyro_vds.infer.chains import as_chains
from pyro_vds.infer.datatree import to_datatree
from pyro_vds.infer.drawn import drawn
from pyro_vds.infer.evidence import EvidenceEstimate, estimate_evidence
from pyro_vds.infer.exact import exact_posterior, reweight
from pyro_vds.infer.mixture import Mixture
from pyro_vds.infer.predict import predict
from pyro_vds.infer.predictive import (
    log_predictive,
    predict_components,
    predict_moments,
    predict_pit,
    predict_proba,
)
from pyro_vds.infer.stacking import stacked_weights
from pyro_vds.infer.tables import MeanField, fit_mean_field, fit_table
from pyro_vds.infer.uncertainty import predict_disagreement, predict_entropy, predict_variance_parts
from pyro_vds.ops.entropy import EntropySplit, split_entropy

__all__ = [
    "Case",
    "EntropySplit",
    "EvidenceEstimate",
    "MeanField",
    "Mixture",
    "as_chains",
    "drawn",
    "elbo",
    "enum_elbo",
    "estimate_evidence",
    "exact_posterior",
    "fit_mean_field",
    "fit_table",
    "log_predictive",
    "predict",
    "predict_components",
    "predict_disagreement",
    "predict_entropy",
    "predict_moments",
    "predict_pit",
    "predict_proba",
    "predict_variance_parts",
    "reweight",
    "split_entropy",
    "stacked_weights",
    "to_datatree",
]
