"""Loggers: callbacks that write the record of each epoch where other tools read it.

All are handed to ``fit(on_epoch=...)``. They read the record, which is on the CPU anyway, and nothing else: training
takes no more synchronisation with them. TensorBoard, W&B and MLflow are extras: ``pip install pyro-vds[tensorboard]``.
"""

import csv
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

from pyro_vds.training.history import EpochRecord


class CSVLogger:
    """Writes a file with a line for each epoch, which can be read while training runs, and after a crash.

    Each line is appended in one step and the file closed again: ``tail -f history.csv`` shows training as it goes.
    Columns are those of :meth:`pyro_vds.History.rows`. The first epoch of a run replaces an older file.

    Args:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def __call__(self, record: EpochRecord) -> None:
        """Append the last epoch.

        Args:
            record: The record so far.
        """
        rows = record.rows(record.epoch)
        with self.path.open("a" if record.epoch else "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            if not record.epoch:
                writer.writeheader()
            writer.writerows(rows)


class Logger(AbstractContextManager, ABC):
    """A callback that sends the numbers of each epoch to a tool, as a context manager that closes it at the end.

    Names are ``elbo``, ``kl``, ``gap``, ``validation/log_prob``, ``q/depth/3``; with replicates ``replicate_0/elbo``.
    A number that is NaN, such as the gap of an architecture for each input, is left out.
    """

    def __call__(self, record: EpochRecord) -> None:
        """Log the last epoch.

        Args:
            record: The record so far.
        """
        self.log(_numbers(record), record.epoch)

    @abstractmethod
    def log(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Send numbers to the tool.

        Args:
            numbers: The numbers by name.
            epoch: The epoch, from 0.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish the tool's run."""

    def __exit__(self, *_: object) -> None:
        """Close the logger."""
        self.close()


class TensorBoardLogger(Logger):
    """Writes event files for TensorBoard.

    Example::

        with TensorBoardLogger("runs/tensorboard") as logger:
            vds.fit(model, guide, data.train, on_epoch=logger)

    Args:
        folder: Folder of the event files.

    Raises:
        ImportError: If TensorBoard is missing.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise _missing("tensorboard") from error
        self.writer = SummaryWriter(str(folder))

    def log(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Write numbers, so that TensorBoard shows them at once.

        Args:
            numbers: The numbers by name.
            epoch: The epoch, from 0.
        """
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, epoch)
        self.writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self.writer.close()


class WandbLogger(Logger):
    """Logs to a run of Weights & Biases.

    Args:
        options: Arguments of ``wandb.init``, such as ``project="depths"`` or ``mode="offline"``.

    Raises:
        ImportError: If W&B is missing.
    """

    def __init__(self, **options: Any) -> None:
        try:
            wandb = import_module("wandb")
        except ImportError as error:
            raise _missing("wandb") from error
        self.run = wandb.init(**options)

    def log(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Log numbers at the step ``epoch``.

        Args:
            numbers: The numbers by name.
            epoch: The epoch, from 0.
        """
        self.run.log(dict(numbers), step=epoch)

    def close(self) -> None:
        """Finish the run."""
        self.run.finish()


class MLflowLogger(Logger):
    """Logs to a new run of MLflow; an active run of yours is not touched.

    Args:
        experiment: Name of the experiment, made if there is none.
        tracking_uri: The server, or ``sqlite:///mlflow.db``; ``None`` is MLflow's own choice.

    Raises:
        ImportError: If MLflow is missing.
    """

    def __init__(self, experiment: str = "pyro_vds", tracking_uri: str | None = None) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise _missing("mlflow") from error
        self.client = MlflowClient(tracking_uri)
        found = self.client.get_experiment_by_name(experiment)
        number = self.client.create_experiment(experiment) if found is None else found.experiment_id
        self.run_id = self.client.create_run(number).info.run_id

    def log(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Log numbers at the step ``epoch``; other characters than MLflow takes become ``_``.

        Args:
            numbers: The numbers by name.
            epoch: The epoch, from 0.
        """
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        allowed = {re.sub(r"[^\w\-./ ]", "_", name): value for name, value in numbers.items()}
        self.client.log_batch(self.run_id, [Metric(name, value, now, epoch) for name, value in allowed.items()])

    def close(self) -> None:
        """Mark the run as finished."""
        self.client.set_terminated(self.run_id)


def _numbers(record: EpochRecord) -> dict[str, float]:
    """Return the finite or infinite numbers of the last epoch, by names with slashes."""
    found: dict[str, float] = {}
    for row in record.rows(record.epoch):
        prefix = f"replicate_{row['replicate']}/" if "replicate" in row else ""
        for name, value in row.items():
            if name not in ("epoch", "replicate") and value == value:
                found[prefix + _with_slashes(name)] = float(value)
    return found


def _with_slashes(name: str) -> str:
    """Return ``q/depth/3`` for ``q(depth=3)``, and ``validation/error`` for ``validation_error``."""
    if name.startswith("q("):
        return "q/" + re.sub(r"\[(.*)\]=|=", lambda m: f"/{m[1]}/" if m[1] else "/", name[2:-1], count=1)
    return name.replace("validation_", "validation/", 1)


def _missing(package: str) -> ImportError:
    return ImportError(f"Expected {package} to be installed, found none. Install it: pip install pyro-vds[{package}].")
