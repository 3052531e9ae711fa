"""A finished run, opened from its folder."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import xarray as xr
from safetensors.torch import load_file, save_file

from pyro_vds.datasets.dataset import DataSet
from pyro_vds.diagnostics.files import load_datatree
from pyro_vds.guides.categorical import Guide
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.runs.agreement import note_on_guide
from pyro_vds.runs.build import build
from pyro_vds.runs.config import read_config
from pyro_vds.runs.cuts import as_labels
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.files import CONFIG, DATA, HISTORY, METRICS, POSTERIOR, WEIGHTS, check_run_folder, read_json, reading
from pyro_vds.runs.settings import Settings
from pyro_vds.runs.site_text import plural
from pyro_vds.runs.summary import summary_text, training_line
from pyro_vds.training.history import History


@dataclass(frozen=True)
class Run:
    """A finished run, from :func:`pyro_vds.runs.execute`, or from :func:`pyro_vds.load_run` and a folder.

    Attributes:
        folder: The run folder.
        settings: The settings.
        data_summary: The summary of the data.
        model: The trained model, in eval mode.
        guide: The trained guide.
        history: The record of training.
        metrics: The content of ``metrics.json``.
    """

    folder: Path
    settings: Settings
    data_summary: DataSummary
    model: VDSModel
    guide: Guide
    history: History
    metrics: dict[str, Any]

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return int(self.metrics["parameters"]["full"])

    @property
    def cut(self) -> dict[str, Hashable]:
        """The label of each axis that the run chose; empty if :attr:`has_posterior` is false."""
        if not self.has_posterior:
            return {}
        return as_labels(
            self.model.space, {axis: self.metrics["posterior"]["chosen"][axis] for axis in self.model.axes}
        )

    @property
    def has_posterior(self) -> bool:
        """Whether there is one posterior for all inputs; false for a plain network or a posterior for each input."""
        return bool(self.model.space) and not self.model.by_input

    @property
    def note(self) -> str:
        """A sentence if guide and exact posterior disagree, with what to do; empty if they agree, or none is known."""
        return note_on_guide(self.metrics["posterior"], self.settings) if self.has_posterior else ""

    @property
    def summary(self) -> str:
        """The results of the run as a short text."""
        head = f"{self.settings.data}: {plural(len(self.history), 'epoch')} ({self.history.stopped})"
        nested = any(axis.nested for axis in self.model.space.values())
        how = f": {training_line(self.settings, blocks=nested)}" if self.model.axes else ""
        return "\n".join([head, f"preset {self.settings.preset}{how}", "", summary_text(self.metrics, note=self.note)])

    @cached_property
    def data(self) -> DataSet:
        """The data set, loaded at the first access.

        Raises:
            ValueError: If the data have changed since the run.
        """
        data = load_data(self.settings)
        if not DataSummary.of(data).agrees_with(self.data_summary):
            raise ValueError(
                f"Expected the data that the run in {self.folder} was trained on, {self.data_summary}, got others: "
                f"{DataSummary.of(data)}. Restore the data, or train again."
            )
        return data

    @cached_property
    def datatree(self) -> xr.DataTree:
        """The posterior as an ``xarray.DataTree`` for ArviZ, read at the first access.

        Raises:
            ValueError: If the run has no posterior, or its file is missing or damaged.
        """
        self.check_posterior()
        with reading(self.folder, POSTERIOR):
            return load_datatree(self.folder / POSTERIOR)

    def check_posterior(self) -> None:
        """Raise ``ValueError`` unless there is one posterior for all inputs."""
        if not self.has_posterior:
            kind = f"a {self.model.axes[0]} for each input" if self.model.axes else "a plain network"
            raise ValueError(f"Expected a run with one posterior for all inputs, but {self.folder} holds {kind}.")


def save_weights(folder: Path, model: VDSModel, guide: Guide) -> None:
    """Write the state of model and guide as safetensors."""
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    state |= {f"guide.{k}": v for k, v in guide.state_dict().items()}
    # Copies, since the file takes no tensor twice, and a network may have a layer at several places.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
    save_file(copies, folder / WEIGHTS)


def load_run(path: str | Path, *, data_root: str | Path | None = None) -> Run:
    """Open the folder of a finished run.

    Reading executes no code of the folder: settings are YAML, tensors safetensors, the rest JSON and NetCDF.

    Args:
        path: The folder, such as ``"runs/spirals"``.
        data_root: The folder of the data, if they have moved.

    Raises:
        FileNotFoundError: If the folder or one of its files is missing.
        ValueError: If a file is damaged, or does not fit the other files.

    Example::

        run = vds.load_run("runs/spirals")
        probs = vds.predict_proba(run.model, run.guide, run.data.test[0])
    """
    folder = Path(path)
    check_run_folder(folder)
    with reading(folder, CONFIG):
        settings = read_config(folder / CONFIG)
    with reading(folder, DATA):
        summary = DataSummary.from_json(read_json(folder / DATA))
    with reading(folder, f"{CONFIG} or {DATA}"):
        model, guide = build(replace(settings, pretrained=False), summary)
    with reading(folder, WEIGHTS):
        _load_weights(folder, model, guide)
    with reading(folder, HISTORY):
        history = History.load(folder / HISTORY)
    if data_root is not None:
        settings = replace(settings, data_root=str(data_root))
    with reading(folder, METRICS):
        run = Run(folder, settings, summary, model.eval(), guide.eval(), history, read_json(folder / METRICS))
        _check_metrics(run)
    return run


def _load_weights(folder: Path, model: VDSModel, guide: Guide) -> None:
    """Read the state of model and guide."""
    state = load_file(folder / WEIGHTS)
    for name, module in (("model.", model), ("guide.", guide)):
        module.load_state_dict({k.removeprefix(name): v for k, v in state.items() if k.startswith(name)})


def _check_metrics(run: Run) -> tuple[int, Mapping[str, Hashable]]:
    """Read the metrics that a run needs, so that errors are raised when it is opened."""
    return run.parameters, run.cut
