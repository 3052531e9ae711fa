"""The classifier of scikit-learn."""

from typing import Any, ClassVar, cast

import numpy as np
from jaxtyping import Float
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from pyro_vds.estimators.base import FLOATS, DepthEstimator, joined
from pyro_vds.likelihoods.classification import Classification


class VDSClassifier(ClassifierMixin, DepthEstimator):
    """A classifier by the paper's residual network for tables (appendix B), which learns its depth.

    Predictions are the mixture over all depths, weighed by the guide. Inputs are standardised within the network, so
    that the defaults suit raw tables; ``MLPClassifier`` leaves that to a pipeline, where it does no harm here. Float32
    data are computed in float32, all others in float64. Threads fit one at a time; use processes (``n_jobs``).

    Args:
        max_depth: Number of residual blocks.
        width: Units of each layer.
        prior: The prior over the depth, an object of :mod:`pyro_vds.priors`; ``None`` is ``Geometric(0.85)``.
        preset: The other settings of training: those of :func:`pyro_vds.recipe`, or the paper's; ``None`` is
            ``"recipe"``, and ``"paper"`` for :class:`pyro_vds.VDSRegressor`.
        max_epochs: Passes over the data; fewer with early stopping.
        lr: Learning rate; ``None`` is 0.1, and 0.01 for :class:`pyro_vds.VDSRegressor`.
        batch_size: Points in a batch; ``None`` is a quarter of the data, at least 16 and at most 256.
        early_stopping: Whether held-out data end training: ``patience`` epochs after their log predictive density was
            best, and with the weights that it was best with. ``None`` is no, and yes for
            :class:`pyro_vds.VDSRegressor`.
        validation_fraction: Share of the data that early stopping holds out.
        patience: Epochs without a better value before training stops early.
        random_state: An int, a ``RandomState``, or ``None``; with an int, the same data give the same result, and no
            global generator is used.
        device: The device to train and predict on, such as ``"cuda"``; ``None`` is the CPU.
        compile: Whether to compile the training step.
        verbose: Whether to show a progress bar.

    Attributes:
        classes_: The classes ``(classes,)``, sorted.
        model_: The :class:`pyro_vds.VDSModel`; it takes inputs as they came, as tensors.
        guide_: The guide over the depth.
        history_: The record of training.
        depth_: The depth that :func:`pyro_vds.choose_depth` chooses.
        depth_probs_: The guide's probability of each depth ``(max_depth + 1,)``.
        n_iter_: Number of epochs.
        n_features_in_: Number of features.
        feature_names_in_: Their names, if the inputs had any.
    """

    _usual: ClassVar = {"preset": "recipe", "lr": 0.1, "early_stopping": False}

    def fit(self, X: Any, y: Any) -> "VDSClassifier":
        """Learn weights and depth.

        Args:
            X: Inputs ``(N, features)``, numbers.
            y: A label of each, of any kind that numpy sorts ``(N,)``.

        Raises:
            ValueError: If data or a parameter are out of range.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, indices = np.unique(y, return_inverse=True)
        self._train(X, indices, len(self.classes_), Classification(), labels=indices)
        return self

    def predict_proba(self, X: Any) -> Float[np.ndarray, "batch classes"]:
        """Return the probability of each class, the mixture over all depths.

        Args:
            X: Inputs ``(batch, features)``.
        """
        return joined(mixture.probs.to(mixture.outputs) for mixture in self._mixtures(X))

    def predict_log_proba(self, X: Any) -> Float[np.ndarray, "batch classes"]:
        """Return the log probability of each class, nats.

        Args:
            X: Inputs ``(batch, features)``.
        """
        return joined(cast(Any, mixture.distribution).logits for mixture in self._mixtures(X))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class of each input.

        Args:
            X: Inputs ``(batch, features)``.
        """
        best = self.predict_proba(X).argmax(-1)
        return self.classes_[best]
