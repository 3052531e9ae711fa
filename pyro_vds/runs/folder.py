"""Run folders read back."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file

from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.categorical import Guide
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.runs.build import DataSummary, build
from pyro_vds.runs.files import CONFIG, DATA, HISTORY, METRICS, WEIGHTS, check_run_folder, read_json, reading
from pyro_vds.runs.settings import Settings
from pyro_vds.spaces.space import Architecture
from pyro_vds.training.history import History


def save_weights(folder: Path, model: VDSModel, guide: Guide) -> None:
    """Write the state of model and guide as safetensors."""
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    state |= {f"guide.{k}": v for k, v in guide.state_dict().items()}
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, folder / WEIGHTS)


@dataclass(frozen=True)
class Run:
    """A finished run, read back from its folder.

    Attributes:
        folder: Where it lies.
        settings: Its settings.
        data: What it knows of its data.
        model: The trained model.
        guide: The trained guide.
        history: The record of training.
        parameters: Number of parameters of the network.
        cut: The architecture that the run chose; empty for a plain network, and where each input has its own.
    """

    folder: Path
    settings: Settings
    data: DataSummary
    model: VDSModel
    guide: Guide
    history: History
    parameters: int
    cut: Architecture

    def load_data(self) -> DataSet:
        """Return the run's data set.

        Raises:
            ValueError: If the data are not those of the run any more.
        """
        data = self.settings.load_data()
        found = DataSummary.of(data)
        alike = all(
            torch.allclose(torch.tensor(now), torch.tensor(then), rtol=1e-4)
            for now, then in zip(found.moments(), self.data.moments(), strict=True)
            if len(now) == len(then)
        )
        names = ("input_shape", "outputs", "classes", "num_data")
        if not alike or any(getattr(found, name) != getattr(self.data, name) for name in names):
            raise ValueError(
                f"Expected the data that the run in {self.folder} was trained on, got others: {found} instead of "
                f"{self.data}. Restore them, or train again."
            )
        return data


def load_run(folder: Path, settings: Settings) -> Run:
    """Read a run folder.

    Args:
        folder: The folder.
        settings: The settings in its ``config.yaml``.

    Raises:
        FileNotFoundError: If a file of the folder is missing.
        ValueError: If a file is damaged, or does not fit the others.
    """
    check_run_folder(folder)
    with reading(folder, DATA):
        content: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in read_json(folder / DATA).items()
        }
        summary = DataSummary(**content)
    with reading(folder, f"{CONFIG} or {DATA}"):
        model, guide = build(replace(settings, pretrained=False), summary)
    with reading(folder, WEIGHTS):
        state = load_file(folder / WEIGHTS)
        model.load_state_dict({k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")})
        guide.load_state_dict({k.removeprefix("guide."): v for k, v in state.items() if k.startswith("guide.")})
    with reading(folder, HISTORY):
        history = History.load(folder / HISTORY)
    with reading(folder, METRICS):
        metrics = read_json(folder / METRICS)
        parameters = int(metrics["parameters"]["full"])
        axes = () if model.by_input else model.axes
        cut = cast(Architecture, {axis: metrics["posterior"]["chosen"][axis] for axis in axes})
        model.space.index(cut)
    return Run(folder, settings, summary, model.eval(), guide, history, parameters, cut)
