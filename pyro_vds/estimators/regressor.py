"""The regression of scikit-learn."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import validate_data

from pyro_vds.estimators.base import FLOATS, DepthEstimator, joined
from pyro_vds.likelihoods.gaussian import Gaussian


class VDSRegressor(RegressorMixin, DepthEstimator):
    """A regression by a residual network that learns its depth, and a noise scale for each target.

    Targets are standardised for training; predictions are in the units of ``y``. Arguments and everything else are as
    in :class:`pyro_vds.VDSClassifier`, but held-out data end training unless ``early_stopping=False``: the noise scale
    of a network that fits few points too closely is far too small.

    Attributes:
        y_mean_: Mean of each training target ``(targets,)``, in the units of ``y``.
        y_scale_: Standard deviation of each ``(targets,)``; ``model_`` predicts ``(y - y_mean_) / y_scale_``.
    """

    _usual: ClassVar = {"preset": "paper", "lr": 0.01, "early_stopping": True}

    def __sklearn_tags__(self) -> Any:
        """Return the tags of the estimator: it takes several targets."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> "VDSRegressor":
        """Learn weights, depth and noise scales.

        Args:
            X: Inputs ``(N, features)``, numbers.
            y: Targets ``(N,)`` or ``(N, targets)``.

        Raises:
            ValueError: If data or a parameter are out of range.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, multi_output=True, y_numeric=True, ensure_min_samples=2)
        columns = y.reshape(len(y), -1)
        scaler = StandardScaler().fit(columns)
        self.y_mean_, self.y_scale_ = np.asarray(scaler.mean_), np.asarray(scaler.scale_)
        self._shape = y.shape[1:]
        targets = ((columns - self.y_mean_) / self.y_scale_).astype(X.dtype)
        several = targets.shape[1] > 1
        self._train(X, targets if several else targets[:, 0], targets.shape[1], Gaussian(learn_scale=True))
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the mean of the mixture over all depths, in the units of ``y``.

        Args:
            X: Inputs ``(batch, features)``.
            return_std: Whether to return the standard deviation too: of the noise and of the depths' disagreement.

        Returns:
            The mean ``(batch,)`` or ``(batch, targets)``; with ``return_std`` a pair of arrays.
        """
        moments = [(mixture.mean, mixture.variance) for mixture in self._mixtures(X)]
        means, variances = (joined(parts) for parts in zip(*moments, strict=True))
        shape = (len(means), *self._shape)
        mean = means.reshape(len(means), -1) * self.y_scale_ + self.y_mean_
        if not return_std:
            return mean.reshape(shape)
        std = np.sqrt(variances).reshape(len(means), -1) * self.y_scale_
        return mean.reshape(shape), std.reshape(shape)
