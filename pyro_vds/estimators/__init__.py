"""Estimators of scikit-learn: residual networks for tables that learn their depth."""

from pyro_vds.estimators.classifier import VDSClassifier
from pyro_vds.estimators.regressor import VDSRegressor

__all__ = ["VDSClassifier", "VDSRegressor"]
