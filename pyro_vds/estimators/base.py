"""What the estimators of scikit-learn share: parameters, network, training and prediction."""

from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from pyro_vds.backbones.normalisation import Standardise
from pyro_vds.backbones.residual import ResidualMLP
from pyro_vds.guides.categorical import AutoCategorical
from pyro_vds.infer.mixture import Mixture
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.infer.predict import predict
from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.priors.base import PriorLike
from pyro_vds.pruning.rules import choose_depth
from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.fit import fit
from pyro_vds.training.recipe import recipe

FLOATS = [np.float64, np.float32]
Preset = Literal["recipe", "paper"]

_ONE_AT_A_TIME = Lock()
"""Held by the fit that runs: Pyro's handlers and the generators are those of the process, not of a thread."""


class DepthEstimator(BaseEstimator):
    """A residual network for tables that learns its depth; subclasses say what its targets are.

    The parameters are described in :class:`pyro_vds.VDSClassifier`.
    """

    _usual: ClassVar[Mapping[str, Any]]
    """What ``None`` is for the arguments whose default depends on the kind of targets."""

    def __init__(
        self,
        max_depth: int = 5,
        width: int = 20,
        *,
        prior: PriorLike | None = None,
        preset: Preset | None = None,
        max_epochs: int = 100,
        lr: float | None = None,
        batch_size: int | None = None,
        early_stopping: bool | None = None,
        validation_fraction: float = 0.1,
        patience: int = 30,
        random_state: Any = None,
        device: torch.device | str | None = None,
        compile: bool = False,
        verbose: bool = False,
    ) -> None:
        # scikit-learn clones an estimator by its parameters: they are stored as they came, and checked in fit.
        self.max_depth = max_depth
        self.width = width
        self.prior = prior
        self.preset = preset
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state
        self.device = device
        self.compile = compile
        self.verbose = verbose

    def _train(self, X: Any, y: Any, outputs: int, likelihood: Likelihood, labels: Any = None) -> None:
        """Make the network, and learn weights and depth.

        Args:
            X: Checked inputs ``(N, features)``.
            y: Class indices, or standardised targets.
            outputs: Number of outputs of the network.
            likelihood: The likelihood.
            labels: What validation data are stratified by; ``None`` draws them regardless.
        """
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        held_out = None
        if self._choice("early_stopping"):
            X, x_held_out, y, y_held_out = train_test_split(
                X, y, test_size=self.validation_fraction, random_state=seed, stratify=labels
            )
            held_out = torch.tensor(x_held_out), torch.tensor(y_held_out)
        config = self._config(len(X), seed)
        with _ONE_AT_A_TIME, isolated_rng(seed=seed):
            # In the precision of the data, as MLPClassifier computes.
            net = _network(X, outputs, width=self.width, max_depth=self.max_depth)
            data = torch.tensor(X), torch.tensor(y)
            self.model_ = VDSModel(net, priors=self.prior, likelihood=likelihood.to(data[0]), num_data=len(X))
            self.model_.to(self.device)
            self.guide_ = AutoCategorical(self.model_)
            self.history_ = fit(
                self.model_, self.guide_, data, validation=held_out, config=config, progress=self.verbose
            )
        self.model_.eval()
        self.n_iter_ = len(self.history_)
        (probs,) = self.guide_.probs().values()
        self.depth_probs_ = probs.cpu().numpy()
        self.depth_ = choose_depth(probs)

    def _choice(self, name: str) -> Any:
        """Return the value of an argument, or the usual one of the estimator if it is ``None``.

        Args:
            name: A key of ``_usual``.
        """
        value = getattr(self, name)
        return self._usual[name] if value is None else value

    def _config(self, num_data: int, seed: int) -> TrainingConfig:
        """Return the settings of training."""
        preset = self._choice("preset")
        if preset not in get_args(Preset):
            raise ValueError(f"Expected preset 'recipe' or 'paper', got {preset!r}.")
        config = recipe() if preset == "recipe" else TrainingConfig()
        return config.changed(
            max_epochs=self.max_epochs,
            lr=self._choice("lr"),
            # Four steps an epoch at least, as the recipe wants.
            batch_size=min(256, max(16, num_data // 4)) if self.batch_size is None else self.batch_size,
            patience=self.patience if self._choice("early_stopping") else None,
            seed=seed,
            compile=self.compile,
        )

    def _mixtures(self, X: Any) -> Iterator[Mixture]:
        """Return the mixtures over all depths, for a part of the inputs after the other.

        Args:
            X: Inputs ``(batch, features)``.

        Raises:
            NotFittedError: If the estimator is not fitted.
            ValueError: If the inputs do not fit those of training.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        x = torch.tensor(X).to(self.model_.device_tensor())
        return (predict(self.model_, self.guide_, part) for part in x.split(BATCH_SIZE))


def _network(X: np.ndarray, outputs: int, *, width: int, max_depth: int) -> ResidualMLP:
    """Return a network in the precision of the data, which standardises its inputs by them."""
    net = ResidualMLP(X.shape[1], outputs, width=width, max_depth=max_depth)
    scaler = StandardScaler().fit(X)
    mean, std = torch.tensor(scaler.mean_), torch.tensor(scaler.scale_)
    standardise = Standardise(mean, std)
    net.stem = nn.Sequential(standardise, net.stem)
    net.to(torch.tensor(X[:0]).dtype)
    standardise.mean.copy_(mean)  # not rounded to single precision on the way
    standardise.std.copy_(std)
    return net


def joined(parts: Iterable[Tensor]) -> np.ndarray:
    """Return parts of a result as one array.

    Args:
        parts: Tensors on any device.
    """
    return torch.cat([part.cpu() for part in parts]).numpy()
