"""The record of a run during training."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pyro_vds.models.vds_model import VDSModel
from pyro_vds.spaces.axis import Axis
from pyro_vds.training.best import BestState
from pyro_vds.training.history import OVER_EPOCHS, EpochRecord, History

ROWS = 64
NUMBERS = ("elbo", "kl", "gap", "tempered_num_data")


class Recorder:
    """Keeps the values of each epoch on the CPU, and gives the record so far without copies.

    Args:
        model: The model that is trained.
    """

    def __init__(self, model: VDSModel) -> None:
        self.batch_shape = model.batch_shape
        self.dtype = model.table_tensor().dtype
        rows = tuple(self.batch_shape)
        self.rows = rows
        self.length = 0
        self.losses = {name: self._column(*rows) for name in NUMBERS}
        shapes = {n: (axis.sites, len(axis)) if axis.has_sites else (len(axis),) for n, axis in model.space.items()}
        self.probs = {axis: self._column(*rows, *shape) for axis, shape in shapes.items()}
        self.validation: dict[str, Tensor] = {}
        self.entries = {name: _entries(axis) for name, axis in model.space.items()}

    def __len__(self) -> int:
        return self.length

    def add(self, numbers: Mapping[str, Tensor], probs: Mapping[str, Tensor], metrics: Mapping[str, Tensor]) -> None:
        """Add an epoch.

        Args:
            numbers: ``elbo``, ``kl`` and ``gap`` of the epoch in nats, and ``tempered_num_data``; scalars or
                ``(replicate,)``.
            probs: The guide's probabilities of each axis.
            metrics: The validation metrics, with the same names in every epoch.
        """
        self.validation = self.validation or {name: self._column(*self.rows) for name in metrics}
        for columns, values in (
            (self.losses, numbers),
            (self.probs, probs),
            (self.validation, metrics),
        ):
            for name, value in values.items():
                if self.length == len(columns[name]):
                    columns[name] = torch.cat([columns[name], torch.empty_like(columns[name])])
                columns[name][self.length] = value
        self.length += 1  # last, so that an interrupt leaves no incomplete epoch

    def history(self, best: BestState, stopped: list[str], compile_seconds: float) -> History:
        """Return the record so far as a copy.

        Args:
            best: The best state of each replicate.
            stopped: Why each replicate stopped.
            compile_seconds: Seconds that compiling took.
        """
        fields = self._fields(best, compile_seconds)
        for name in OVER_EPOCHS:
            fields[name] = fields[name].clone()
        for name in ("probs", "validation"):
            fields[name] = {key: values.clone() for key, values in fields[name].items()}
        return History(**fields, stopped=tuple(stopped) if self.batch_shape else stopped[0])

    def epoch(self, best: BestState, compile_seconds: float) -> EpochRecord:
        """Return the record so far for callbacks, as views that later epochs do not change.

        Args:
            best: The best state of each replicate.
            compile_seconds: Seconds that compiling took.
        """
        stopped = ("running",) * self.batch_shape.numel() if self.batch_shape else "running"
        return EpochRecord(**self._fields(best, compile_seconds), stopped=stopped)

    def latest(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the ELBO and the guide's probabilities of the last epoch."""
        last = self.length - 1
        return self.losses["elbo"][last], {axis: values[last] for axis, values in self.probs.items()}

    def _column(self, *shape: int) -> Tensor:
        return torch.empty(ROWS, *shape, dtype=self.dtype)

    def _fields(self, best: BestState, compile_seconds: float) -> dict[str, Any]:
        numbers = {name: self.losses[name][: self.length] for name in NUMBERS}
        epochs = tuple(best.epochs.tolist())
        return {
            **numbers,
            "expected_log_prob": numbers["elbo"] + numbers["kl"],
            "probs": {axis: values[: self.length] for axis, values in self.probs.items()},
            "validation": {name: values[: self.length] for name, values in self.validation.items()},
            "best_epoch": epochs if self.batch_shape else epochs[0],
            "compile_seconds": compile_seconds,
            "entries": self.entries,
        }


def _entries(axis: Axis) -> tuple[str, ...]:
    """Return what each probability of an axis is of, with sites site by site."""
    places = [f"[{site}]" for site in axis.plate.labels] if axis.has_sites and axis.plate is not None else [""]
    return tuple(f"{axis.name}{place}={label}" for place in places for label in axis.labels)
