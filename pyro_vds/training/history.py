"""The record of a training run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

if TYPE_CHECKING:
    import pandas
    import xarray

OVER_EPOCHS = ("elbo", "expected_log_prob", "kl", "gap", "tempered_num_data")


@dataclass(frozen=True)
class History:
    """The record of each epoch of a run, as tensors on the CPU; with replicates one column for each.

    Attributes:
        elbo: Full-data ELBO, mean over the epoch's batches, nats.
        expected_log_prob: ``sum_n sum_i q_i log p(y_n | x_n, d=i)``, nats; ``elbo`` plus ``kl``.
        kl: ``KL(q || prior)``, nats.
        gap: Tightness of the bound: the log evidence for the epoch's mean log likelihood of each architecture, minus
            ``elbo``, nats. An estimate, since weights and batch norm change within an epoch; exact is
            ``exact_posterior(model, data).gap(guide)``. NaN where each input has its own architecture.
        tempered_num_data: The number of points that the posterior counts after an epoch's last step: ``N``, and fewer
            while a guide in closed form is annealed.
        probs: The guide's probabilities of each axis, ``(epochs, size)``.
        validation: Values of each validation metric; empty without validation data. ``"log_prob"`` is the mean
            log predictive density in nats per point, ``"error"`` the fraction misclassified.
        best_epoch: Epoch (from 0) whose state the model has; -1 is the initial state.
        stopped: Why training ended: ``"max_epochs"``, ``"patience"``, ``"interrupted"``, ``"non_finite"``, ``"error"``,
            or the reason given by a callback.
        compile_seconds: Seconds that compiling the training step took; 0 without compilation.
        entries: What each probability of an axis is of, ``depth=3`` or ``gate[0->1]=True``; with sites site by site.
    """

    elbo: Float[Tensor, "epochs *replicate"]
    expected_log_prob: Float[Tensor, "epochs *replicate"]
    kl: Float[Tensor, "epochs *replicate"]
    gap: Float[Tensor, "epochs *replicate"]
    tempered_num_data: Float[Tensor, "epochs *replicate"]
    probs: Mapping[str, Float[Tensor, "epochs *replicate_and_sites size"]]
    validation: Mapping[str, Float[Tensor, "epochs *replicate"]]
    best_epoch: int | tuple[int, ...]
    stopped: str | tuple[str, ...]
    compile_seconds: float = 0.0
    entries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.elbo)

    def replicate(self, index: int) -> "History":
        """Return the record of one replicate.

        Args:
            index: Number of the replicate.

        Raises:
            ValueError: If the run had no replicates.
        """
        if not (isinstance(self.best_epoch, tuple) and isinstance(self.stopped, tuple)):
            raise ValueError("Expected the history of a model with replicates, got the history of a single model.")
        return History(
            elbo=self.elbo[:, index],
            expected_log_prob=self.expected_log_prob[:, index],
            kl=self.kl[:, index],
            gap=self.gap[:, index],
            tempered_num_data=self.tempered_num_data[:, index],
            probs={axis: values[:, index] for axis, values in self.probs.items()},
            validation={metric: values[:, index] for metric, values in self.validation.items()},
            best_epoch=self.best_epoch[index],
            stopped=self.stopped[index],
            compile_seconds=self.compile_seconds,
            entries=self.entries,
        )

    def rows(self, start: int = 0) -> list[dict[str, int | float]]:
        """Return the numbers of each epoch by name, and with replicates of each epoch and ``replicate``.

        Args:
            start: The first epoch.

        Returns:
            ``epoch``, which counts from 0, ``elbo``, ``expected_log_prob``, ``kl`` and ``gap`` in nats,
            ``tempered_num_data``, the validation metrics, such as ``validation_log_prob``, and the probabilities of the
            guide, such as ``q(depth=3)``.
        """
        several = isinstance(self.best_epoch, tuple)
        columns = {name: getattr(self, name) for name in OVER_EPOCHS}
        columns |= {f"validation_{metric}": values for metric, values in self.validation.items()}
        for axis, probs in self.probs.items():
            names = [f"q({entry})" for entry in self.entries[axis]]
            columns |= dict(zip(names, probs.flatten(1 + several).movedim(-1, 0), strict=True))
        values = torch.stack([column[start:].double() for column in columns.values()], -1)
        if not several:
            return [
                {"epoch": start + i} | dict(zip(columns, row, strict=True)) for i, row in enumerate(values.tolist())
            ]
        return [
            {"epoch": start + i, "replicate": r} | dict(zip(columns, row, strict=True))
            for i, rows in enumerate(values.tolist())
            for r, row in enumerate(rows)
        ]

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return the record as a table with a row for each epoch, with replicates for each epoch and replicate.

        The index is ``epoch``, with replicates ``(epoch, replicate)``; columns are those of :meth:`rows`.
        """
        index = ["epoch", "replicate"] if isinstance(self.best_epoch, tuple) else ["epoch"]
        import pandas as pd

        return pd.DataFrame(self.rows()).set_index(index)

    def to_dataset(self) -> "xarray.Dataset":
        """Return the record as an ``xarray.Dataset`` over ``epoch``, which counts from 0.

        Returns:
            ``elbo``, ``expected_log_prob``, ``kl`` and ``gap`` in nats; ``tempered_num_data``; the probabilities of
            each axis, such as ``q_depth``, for an axis with sites over its sites too; the validation metrics, such as
            ``validation_log_prob``; ``best_epoch``, ``stopped`` and ``compile_seconds``. With replicates, all but
            ``compile_seconds`` have a dimension ``chain``.
        """
        import xarray as xr

        chain = ("chain",) if isinstance(self.best_epoch, tuple) else ()
        over_epochs = {name: getattr(self, name) for name in OVER_EPOCHS}
        over_epochs |= {f"validation_{metric}": values for metric, values in self.validation.items()}
        variables = {name: (("epoch", *chain), values.numpy()) for name, values in over_epochs.items()}
        for axis, values in self.probs.items():
            sites = (f"{axis}_site",) if values.ndim == len(chain) + 3 else ()
            variables[f"q_{axis}"] = (("epoch", *chain, *sites, axis), values.numpy())
        variables |= {name: (chain, np.array(getattr(self, name))) for name in ("best_epoch", "stopped")}
        variables["compile_seconds"] = ((), np.array(self.compile_seconds))
        return xr.Dataset(variables, {"epoch": np.arange(len(self))}, {"units": "nats"})

    def save(self, path: Path) -> None:
        """Write the record as a safetensors file."""
        tensors = {name: getattr(self, name) for name in OVER_EPOCHS}
        tensors |= {f"probs.{axis}": values for axis, values in self.probs.items()}
        tensors |= {f"validation.{metric}": values for metric, values in self.validation.items()}
        scalars = {name: getattr(self, name) for name in ("best_epoch", "stopped", "compile_seconds")}
        scalars["entries"] = dict(self.entries)
        metadata = {name: json.dumps(value) for name, value in scalars.items()}
        save_file({name: t.contiguous() for name, t in tensors.items()}, path, metadata)

    @classmethod
    def load(cls, path: Path) -> "History":
        """Read a record from a file written by :meth:`save`."""
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        groups: dict[str, dict[str, Tensor]] = {"probs": {}, "validation": {}}
        for name in [n for n in tensors if "." in n]:
            group, key = name.split(".", 1)
            groups[group][key] = tensors.pop(name)
        return cls(
            **{name: tensors[name] for name in OVER_EPOCHS},
            probs=groups["probs"],
            validation=groups["validation"],
            **{name: _plain(json.loads(metadata[name])) for name in ("best_epoch", "stopped", "compile_seconds")},
            entries={axis: tuple(names) for axis, names in json.loads(metadata["entries"]).items()},
        )


@dataclass(frozen=True)
class EpochRecord(History):
    """The record so far, with which ``fit`` calls ``on_epoch`` after each epoch.

    It is the :class:`History` of the epochs so far: ``record.elbo[-1]`` is the ELBO of the last epoch, and
    ``record.probs["depth"][-1]`` the guide's probabilities. ``stopped`` is ``"running"``.
    """

    @property
    def epoch(self) -> int:
        """The number of the last epoch, from 0."""
        return len(self) - 1

    @property
    def metrics(self) -> dict[str, float | list[float]]:
        """``elbo``, ``kl`` and ``gap`` of the last epoch in nats, and its validation metrics; lists with replicates."""
        values = {"elbo": self.elbo, "kl": self.kl, "gap": self.gap} | dict(self.validation)
        return {name: value[-1].tolist() for name, value in values.items()}


def _plain(value: Any) -> Any:
    """Return the lists of JSON as tuples."""
    return tuple(value) if isinstance(value, list) else value
