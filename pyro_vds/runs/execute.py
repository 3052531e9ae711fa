"""One run from its settings: train, evaluate, and write a run folder."""

import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from pyro_vds.datasets.dataset import DataSet
from pyro_vds.diagnostics.files import save_datatree
from pyro_vds.diagnostics.names import with_names
from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.datatree import to_datatree
from pyro_vds.infer.exact import ExactPosterior
from pyro_vds.models.checks import check_data
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.runs.build import build, train
from pyro_vds.runs.classes import with_class_names
from pyro_vds.runs.config import write_config
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.evaluate import draw
from pyro_vds.runs.files import (
    CONFIG,
    DATA,
    ENVIRONMENT,
    EPOCHS,
    HISTORY,
    METRICS,
    POSTERIOR,
    SUMMARY,
    check_free,
    environment,
    new_folder,
    write_json,
)
from pyro_vds.runs.folder import Run, save_weights
from pyro_vds.runs.metrics import collect_metrics
from pyro_vds.runs.settings import Settings
from pyro_vds.runs.site_metrics import DRAWS as DRAWS_OF_MANY
from pyro_vds.training.callbacks import Callback
from pyro_vds.training.history import History
from pyro_vds.training.loggers import CSVLogger
from pyro_vds.training.loop import NonFiniteLossError

DRAWS = 200

logger = logging.getLogger(__name__)


def execute(
    settings: Settings,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: bool = True,
    on_epoch: Callback | Sequence[Callback] | None = None,
) -> Run:
    """Train and evaluate a model with some settings, and write a run folder, as ``pyro-vds fit`` does.

    Settings and data are checked before anything is written, and the folder appears when it is complete. If training
    or evaluation fails, the files written so far stay in a folder beside it. ``history.csv`` in it has a line for each
    epoch while training runs: ``tail -f runs/spirals.partial-*/history.csv``.

    Args:
        settings: The settings; defaults of the data set are filled in.
        out: The run folder. ``None`` is ``runs/DATA``, or ``runs/DATA-2`` and so on if that exists.
        overwrite: Whether to replace an existing run folder.
        progress: Whether to show a progress bar.
        on_epoch: Functions that are called with the record after each epoch, such as a logger.

    Returns:
        The finished run, as :func:`pyro_vds.load_run` opens it from the folder.

    Raises:
        FileExistsError: If the folder exists and ``overwrite`` is false.
        ValueError: If a setting is out of range, or does not fit the data.

    Example::

        run = vds.runs.execute(vds.runs.Settings(data="digits", max_depth=4), "runs/small")
        print(run.summary)
    """
    settings = settings.resolved()
    path = _usual_folder(settings, overwrite=overwrite) if out is None else Path(out)
    check_free(path, overwrite=overwrite)
    logger.info("reading the data: %s", settings.data)
    data = load_data(settings)
    summary = DataSummary.of(data)
    model, guide = build(settings, summary)
    for part in (data.train, data.validation, data.test):
        if part is not None:
            check_data(model, *part)
    device = find_device(settings.device)
    with new_folder(path, overwrite=overwrite) as folder:
        write_config(folder / CONFIG, settings)
        write_json(folder / DATA, asdict(summary))
        write_json(folder / ENVIRONMENT, environment(device))
        logger.info("training on %s, at most %d epochs", device, settings.max_epochs)
        own = [on_epoch] if callable(on_epoch) else list(on_epoch or ())
        how: dict[str, Any] = {"device": device, "progress": progress, "on_epoch": [CSVLogger(folder / EPOCHS), *own]}
        history, seconds = _train_and_save(folder, settings, model, guide, data, how)
        logger.info("measuring: the posterior, and the test data")
        metrics, exact = measure_run(settings, model, guide, data)
        _keep_exact(folder, model, guide, exact)
        metrics["training"] = _training_metrics(history, seconds)
        run = Run(folder, settings, summary, model.eval(), guide.eval(), history, metrics)
        write_json(folder / METRICS, metrics)
        (folder / SUMMARY).write_text(run.summary + "\n")
        _write_posterior(folder, model, guide, data, exact)
        logger.info("drawing the figures")
        draw(run, data)
    return replace(run, folder=path)


def measure_run(
    settings: Settings, model: VDSModel, guide: Guide, data: DataSet
) -> tuple[dict[str, Any], ExactPosterior | None]:
    """Return the content of ``metrics.json`` for a trained model, except the record of training.

    Args:
        settings: The settings of the run.
        model: The trained model.
        guide: The guide of the model.
        data: The data set of the run.

    Returns:
        The metrics, and the exact posterior if there is one for all inputs and its table can be computed, otherwise
        ``None``.
    """
    rule = settings.resolved().rule
    assert rule is not None
    metrics, exact = collect_metrics(
        model,
        guide,
        data.train,
        data.test,
        rule=rule,
        threshold=settings.threshold,
        target_std=data.target_std,
        seed=settings.seed,
    )
    return with_class_names(metrics, data.class_names), exact


def find_device(name: str) -> torch.device:
    """Return a device of this machine.

    Args:
        name: Name of the device, or ``"auto"`` for a GPU if there is one, otherwise the CPU.

    Raises:
        ValueError: If this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        probe = torch.zeros(1, device=name)
        probe.cpu()  # the meta device has no data to copy
    except (RuntimeError, AssertionError) as error:
        cause = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"Expected --device auto, cpu or another device of this machine, got {name}. The cause: {cause}."
        ) from error
    return probe.device


def _usual_folder(settings: Settings, *, overwrite: bool) -> Path:
    """Return ``runs/DATA``, or the first of ``runs/DATA-2``, ``runs/DATA-3``, ... that does not exist."""
    usual = Path("runs") / settings.data
    candidates = (usual.with_name(f"{usual.name}-{number}") for number in itertools.count(2))
    return usual if overwrite else next(p for p in itertools.chain([usual], candidates) if not p.exists())


def _train_and_save(
    folder: Path, settings: Settings, model: VDSModel, guide: Guide, data: DataSet, how: dict[str, Any]
) -> tuple[History, float]:
    """Train, and write weights and history, also after a loss of NaN; return the seconds of training too."""
    started = time.perf_counter()
    try:
        history = train(settings, model, guide, data, **how)
    except NonFiniteLossError as error:
        save_weights(folder, model, guide)
        error.history.save(folder / HISTORY)
        raise
    seconds = time.perf_counter() - started
    save_weights(folder, model, guide)
    history.save(folder / HISTORY)
    return history, seconds


def _keep_exact(folder: Path, model: VDSModel, guide: Guide, exact: ExactPosterior | None) -> None:
    """Keep the exact posterior in the guide, and write the weights again with it, unless it is not finite."""
    if exact is not None and not exact.log_joint_probs.isnan().any():
        guide.keep_weights("exact", exact.log_joint_probs)
        save_weights(folder, model, guide)


def _training_metrics(history: History, seconds: float) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "compile_seconds": history.compile_seconds,
        "epochs": len(history),
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
    }


def _write_posterior(folder: Path, model: VDSModel, guide: Guide, data: DataSet, exact: ExactPosterior | None) -> None:
    """Write the DataTree if there is one posterior for all inputs."""
    if not model.space or model.by_input:
        return
    small = data.test[0].numel() < 1_000_000
    draws = DRAWS if exact is not None else DRAWS_OF_MANY  # which the network then runs, each on all test data
    tree = to_datatree(model, guide, *data.test, posterior=exact, draws=draws, constant_data=small)
    if data.target_mean is not None and data.target_std is not None:
        moments = {"target_mean": data.target_mean.tolist(), "target_std": data.target_std.tolist()}
        tree.attrs |= {"targets": "standardised: target_mean + target_std * obs is in the units of the data", **moments}
    save_datatree(_with_names(tree, data), folder / POSTERIOR)


def _with_names(tree: xr.DataTree, data: DataSet) -> xr.DataTree:
    """Return a tree whose classes and features have the names of a user's file, if it has them."""
    dims = {dim for group in tree.subtree for dim in group.dataset.sizes}
    names = {"class": data.class_names, "feature_0": data.feature_names}
    return with_names(tree, {dim: found for dim, found in names.items() if found and dim in dims})
