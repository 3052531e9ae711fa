"""Callbacks: functions that are called with the record after each epoch, and may stop training."""

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.exact import exact_posterior, require_one_posterior
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.compat import without_checks_of_arguments
from pyro_vds.spaces.typing import Data, WeightedData
from pyro_vds.training.history import EpochRecord

Callback = Callable[[EpochRecord], object]


class StopTraining(Exception):  # noqa: N818 (a name like StopIteration)
    """Raised by a callback to end training like early stopping; its text becomes ``history.stopped``."""


def call(callbacks: Sequence[Callback], record: EpochRecord) -> str | None:
    """Call all callbacks, and return the reason of the first one that stops training.

    Args:
        callbacks: Functions of the record. One that returns a non-empty string, or raises :class:`StopTraining`, stops.
        record: The record so far.
    """
    reasons: list[str] = []
    for callback in callbacks:
        try:
            reason = callback(record)
        except StopTraining as stop:
            reason = str(stop) or "callback"
        reasons += [reason] if isinstance(reason, str) and reason else []
    return reasons[0] if reasons else None


class BoundGap:
    """A record of the bound and the evidence over training, for ``fit(on_epoch=...)``.

    ``gap = log evidence - ELBO = KL(q || p(d | data))`` for the weights after an epoch, in eval mode: batch norm uses
    its running statistics, which lag behind at the start. Each record takes one pass over the data.

    Example::

        gap = vds.BoundGap(model, guide, data.train, every=20)
        vds.fit(model, guide, data.train, on_epoch=gap)
        vds.plots.plot_bound_gap(gap.to_dataset())

    Args:
        model: The model that is trained.
        guide: The guide of the model.
        data: The training inputs and targets, on which the posterior is conditioned.
        every: Epochs from one record to the next.

    Raises:
        ValueError: If ``every`` is not positive, the model has no axis, the guide is for other axes, or each input has
            its own architecture.
    """

    def __init__(self, model: VDSModel, guide: Guide, data: Data | WeightedData, every: int = 10) -> None:
        if every < 1:
            raise ValueError(f"Expected at least 1 epoch between records, got every={every}.")
        if not model.axes:
            raise ValueError("Expected a model with at least one axis, got a plain network, which has no posterior.")
        require_one_posterior(model)
        model.space.require_table("for an exact posterior", "Use pyro_vds.estimate_evidence after training.")
        guide.require_space(model.space)
        self.model = model
        self.guide = guide
        self.data = data
        self.every = every
        self._records: list[dict[str, Any]] = []

    def __call__(self, record: EpochRecord) -> None:
        """Record the state after every ``every``-th epoch.

        Args:
            record: The record so far.
        """
        epoch = record.epoch
        if epoch % self.every:
            return
        # A NaN ends the run at the next step of training; Pyro's argument checks would raise first.
        with without_checks_of_arguments():
            exact = exact_posterior(self.model, self.data)
        log_evidence, elbo = exact.log_evidence, exact.elbo(self.guide)
        q, p = self.guide.probs(), exact.probs
        means = {
            f"expected_{axis}_{name}": (probs[axis].double().cpu() @ values).numpy()
            for axis, values in self._entries().items()
            for name, probs in (("q", q), ("exact", p))
        }
        numbers = {"log_evidence": log_evidence, "elbo": elbo, "gap": log_evidence - elbo}
        self._records.append({name: np.asarray(value) for name, value in (numbers | means).items()} | {"epoch": epoch})

    def to_dataset(self) -> xr.Dataset:
        """Return ``log_evidence``, ``elbo`` and ``gap`` in nats, and the mean label of each axis.

        Means are under ``q`` and under the exact posterior, for axes without sites whose labels are numbers. With
        replicates there is a dimension ``replicate``.

        Raises:
            ValueError: If nothing was recorded.
        """
        if not self._records:
            raise ValueError("Expected recorded epochs, got none. Train with pyro_vds.fit(..., on_epoch=gap) first.")
        names = [name for name in self._records[0] if name != "epoch"]
        dims = ("epoch", *["replicate"] * len(self.model.batch_shape))
        return xr.Dataset(
            {name: (dims, np.stack([record[name] for record in self._records])) for name in names},
            coords={"epoch": [record["epoch"] for record in self._records]},
        )

    def _entries(self) -> dict[str, Tensor]:
        """Return the labels of each axis without sites whose labels are numbers."""
        labels = {name: axis.labels for name, axis in self.model.space.items() if not axis.has_sites}
        numeric = {name: values for name, values in labels.items() if all(isinstance(v, Real) for v in values)}
        return {name: torch.tensor(values, dtype=torch.float64) for name, values in numeric.items()}
