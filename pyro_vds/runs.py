"""Run folders: everything that one run was and found, written whole or not at all."""

import json
import math
import os
import platform
import secrets
import shutil
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from pyro_vds.adaptive import AutoPerInput
from pyro_vds.choice import Cut, chosen_indices
from pyro_vds.guides import AutoCategorical, AutoConditionalCategorical, AutoJointCategorical, Guide
from pyro_vds.history import History
from pyro_vds.likelihoods import Classification, Gaussian
from pyro_vds.model import VDSModel
from pyro_vds.normalisation import Standardise
from pyro_vds.randomness import isolated_rng
from pyro_vds.settings import Settings
from pyro_vds.splits import DataSet
from pyro_vds.training import fit, recalibrate_batch_norm
from pyro_vds.width import WithWidths

GUIDES = {
    "independent": AutoCategorical,
    "conditional": AutoConditionalCategorical,
    "joint": AutoJointCategorical,
}
PACKAGES = ("pyro-vds", "torch", "torchvision", "pyro-ppl", "arviz", "numpy")
CONFIG, DATA, METRICS, ENVIRONMENT = "config.yaml", "data.json", "metrics.json", "environment.json"
WEIGHTS, HISTORY, POSTERIOR, FIGURES = "weights.safetensors", "history.safetensors", "posterior.nc", "figures"
SUMMARY = "summary.txt"
HIDDEN = 32


@dataclass(frozen=True)
class DataSummary:
    """What a run needs to know of its data to build its network again.

    Attributes:
        input_shape: Shape of one input.
        outputs: Number of outputs of the network.
        classes: Number of classes; ``None`` for regression.
        num_data: Number of training points.
        mean: What was subtracted from each channel or feature.
        std: What it was divided by then.
        target_mean: What was subtracted from each column of regression targets; ``None`` for classes.
        target_std: What it was divided by then. A prediction ``m`` of the network is
            ``target_mean + target_std * m`` in the units of the data.
    """

    input_shape: tuple[int, ...]
    outputs: int
    classes: int | None
    num_data: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    target_mean: tuple[float, ...] | None
    target_std: tuple[float, ...] | None

    def moments(self) -> list[tuple[float, ...]]:
        """Return the means and standard deviations."""
        return [self.mean, self.std, self.target_mean or (), self.target_std or ()]

    @classmethod
    def of(cls, data: DataSet) -> "DataSummary":
        """Summarise a data set."""
        x, y = data.train
        outputs = data.classes or (1 if y.ndim == 1 else y.shape[1])
        return cls(
            input_shape=tuple(x.shape[1:]),
            outputs=outputs,
            classes=data.classes,
            num_data=len(x),
            mean=tuple(data.mean.tolist()),
            std=tuple(data.std.tolist()),
            target_mean=None if data.target_mean is None else tuple(data.target_mean.tolist()),
            target_std=None if data.target_std is None else tuple(data.target_std.tolist()),
        )


def build(settings: Settings, data: DataSummary) -> tuple[VDSModel, Guide]:
    """Return the untrained model and guide of some settings and data."""
    likelihood = Classification() if data.classes else Gaussian(learn_scale=True)
    backbone = settings.build_backbone(data.input_shape, data.outputs)
    if settings.pixels == "uint8":
        backbone.stem = nn.Sequential(Standardise(torch.tensor(data.mean), torch.tensor(data.std)), backbone.stem)
    network = WithWidths(backbone, settings.widths) if settings.widths else backbone
    priors = {"depth": settings.prior, "width": settings.width_prior}
    model = VDSModel(
        network,
        priors={axis: priors[axis] for axis in network.axes},
        likelihood=likelihood,
        num_data=data.num_data,
        learn_prior=settings.learn_prior,
        per_input=settings.guide == "per_input",
    )
    if settings.guide == "per_input":
        return model, _guide_of_inputs(settings, data, model)
    return model, GUIDES[settings.guide](model)


def _guide_of_inputs(settings: Settings, data: DataSummary, model: VDSModel) -> AutoPerInput:
    """Return the guide that predicts a depth from each input: one hidden layer, small beside the network."""
    prepare: list[nn.Module] = [nn.Flatten()]
    if settings.pixels == "uint8":
        prepare.insert(0, Standardise(torch.tensor(data.mean), torch.tensor(data.std)))
    with isolated_rng(seed=settings.seed):
        layers = [nn.Linear(math.prod(data.input_shape), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, model.sizes[0])]
    return AutoPerInput(model, nn.Sequential(*prepare, *layers))


def train(
    settings: Settings,
    model: VDSModel,
    guide: Guide,
    data: DataSet,
    *,
    device: torch.device | None = None,
    progress: bool = True,
) -> History:
    """Train a model as some resolved settings say.

    Args:
        settings: Settings with the data set's defaults filled in.
        model: The model that :func:`build` returned.
        guide: Its guide.
        data: The data.
        device: Where to train; the model's device unless given.
        progress: Whether to show a progress bar.
    """
    names = (
        "max_epochs",
        "batch_size",
        "lr",
        "guide_lr",
        "momentum",
        "patience",
        "seed",
        "weight_decay",
        "milestones",
        "gamma",
        "compile",
        "precision",
        "channels_last",
    )
    how: dict[str, Any] = {name: getattr(settings, name) for name in names}
    history = fit(model, guide, data.train, validation=data.validation, device=device, progress=progress, **how)
    if settings.recalibrate:
        recalibrate_batch_norm(model, data.train, batch_size=how["batch_size"], seed=settings.seed)
    return history


def environment(device: torch.device) -> dict[str, Any]:
    """Return what a run ran on: package versions and machine."""
    return {
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """Return the name of the CPU, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.machine())


@contextmanager
def new_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a folder beside ``path`` to write to; it becomes ``path`` when all went well.

    Its name is its own, ``<path>.partial-<8 digits>``, so that runs into the same path do not meet. When
    something fails, what was written stays there.

    Args:
        path: Where the folder is to be.
        overwrite: Whether an existing folder is replaced.

    Raises:
        FileExistsError: If the path exists, at the start or at the end, and is not to be replaced, or is not
            a run folder.
    """
    _check_replaceable(path, overwrite=overwrite)
    partial = _beside(path, "partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        # Another run may have taken the path meanwhile.
        _check_replaceable(path, overwrite=overwrite)
        if path.exists():
            replaced = _beside(path, "replaced")
            path.rename(replaced)
            partial.rename(path)
            shutil.rmtree(replaced)
        else:
            partial.rename(path)
    except BaseException as error:
        if partial.exists():
            error.add_note(f"What was written until then is in {partial}.")
        raise


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.name}.{kind}-{secrets.token_hex(4)}")


def _check_replaceable(path: Path, *, overwrite: bool) -> None:
    check_free(path, overwrite=overwrite)
    if path.exists() and not (path / CONFIG).is_file():
        raise FileExistsError(f"Expected a run folder to replace, but {path} is none. Choose another path with --out.")


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise ``FileExistsError`` if a path exists and is not to be replaced."""
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"Expected a new path, but {path} exists. Choose another one with --out, or replace it with --overwrite."
        )


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a path to write a file to; it replaces ``path`` in one step when all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file in one step."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


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
    cut: Cut

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
        axes = () if model.per_input else model.axes
        cut = cast(Cut, {axis: int(metrics["posterior"]["chosen"][axis]) for axis in axes})
        chosen_indices(model, **cut)
    return Run(folder, settings, summary, model.eval(), guide, history, parameters, cut)


@contextmanager
def reading(folder: Path, name: str) -> Iterator[None]:
    """Turn what a damaged file of a run causes into an error that names the file.

    Args:
        folder: The run folder.
        name: The file in it.

    Raises:
        ValueError: If the block fails because of what it reads.
    """
    try:
        yield
    except (
        ArgumentError, SafetensorError, OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError
    ) as error:  # fmt: skip
        problem = "is missing" if isinstance(error, FileNotFoundError) else "is damaged or does not fit the others"
        cause = f"no entry {error}" if isinstance(error, KeyError) else error
        remedy = (
            "Correct it, or train again." if CONFIG in name else f"Train again: pyro-vds fit --config {folder / CONFIG}"
        )
        raise ValueError(
            f"Expected an intact run folder at {folder}, but {name} {problem}: {cause}. {remedy}"
        ) from error


def check_run_folder(folder: Path) -> None:
    """Raise ``FileNotFoundError`` unless a folder has the files of a run."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"Expected a run folder at {folder}, found none. Make one with: pyro-vds fit --out {folder}"
        )
    missing = [name for name in (CONFIG, DATA, METRICS, WEIGHTS, HISTORY) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"Expected the files of a run in {folder}, but {', '.join(missing)} are missing. Give a folder that "
            "pyro-vds fit has finished."
        )


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file."""
    return json.loads(path.read_text())
