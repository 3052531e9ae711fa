"""The files of a run folder, each written completely or not at all."""

import json
import os
import platform
import secrets
import shutil
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from yaml import YAMLError

PACKAGES = ("pyro-vds", "torch", "torchvision", "pyro-ppl", "arviz", "numpy")


CONFIG, DATA, METRICS, ENVIRONMENT = "config.yaml", "data.json", "metrics.json", "environment.json"


WEIGHTS, HISTORY, POSTERIOR, FIGURES = "weights.safetensors", "history.safetensors", "posterior.nc", "figures"


SUMMARY, EPOCHS = "summary.txt", "history.csv"


# Errors when reading damaged files, besides the errors of other packages.
DAMAGE = (OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError)


def environment(device: torch.device) -> dict[str, Any]:
    """Return the package versions and the machine of a run."""
    return {
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """Return the name of the CPU, or its kind if the name is unknown."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), platform.machine())


@contextmanager
def new_folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield a folder beside ``path`` to write to, and rename it to ``path`` after success.

    Its name is unique, ``<path>.partial-<8 digits>``, so that two runs can have the same path. After an error the
    files stay in it.

    Args:
        path: The final path of the folder.
        overwrite: Whether to replace an existing folder.

    Raises:
        FileExistsError: If the path exists, at the start or at the end, and ``overwrite`` is false or it is not a run
            folder.
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
            error.add_note(f"The files written before the error are in {partial}.")
        raise


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.name}.{kind}-{secrets.token_hex(4)}")


def _check_replaceable(path: Path, *, overwrite: bool) -> None:
    check_free(path, overwrite=overwrite)
    if path.exists() and not (path / CONFIG).is_file():
        raise FileExistsError(
            f"Expected a run folder to replace, but {path} is not a run folder. Choose another path with --out."
        )


def check_free(path: Path, *, overwrite: bool) -> None:
    """Raise ``FileExistsError`` if a path exists and ``overwrite`` is false."""
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"Expected a new path, but {path} exists. Choose another one with --out, or replace it with --overwrite."
        )


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write a file to, and rename it to ``path`` in one step after success."""
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


@contextmanager
def reading(folder: Path, name: str) -> Iterator[None]:
    """Turn the errors of a damaged file of a run into an error that names the file.

    Args:
        folder: The run folder.
        name: Name of the file.

    Raises:
        ValueError: If the file is missing, damaged, or does not fit the other files.
    """
    try:
        yield
    except (*DAMAGE, ArgumentError, SafetensorError, YAMLError) as error:
        problem = "is missing" if isinstance(error, FileNotFoundError) else "is damaged or does not fit the others"
        cause = f"no entry {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
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
        verb = "is" if len(missing) == 1 else "are"
        raise FileNotFoundError(
            f"Expected the files of a run in {folder}, but {', '.join(missing)} {verb} missing. Give the folder of a "
            "finished pyro-vds fit."
        )


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file."""
    return json.loads(path.read_text())
