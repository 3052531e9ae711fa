"""Settings in a YAML file, in the words that ``pyro-vds fit --config`` reads."""

import re
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from pyro_vds.runs.settings import Settings
from pyro_vds.training.optim import spelled

CLASS_PATH = r"\b(?!\d)\w+(?:\.(?!\d)\w+)+"
# Settings that are texts of any kind.
TEXTS = {field.name for field in fields(Settings) if field.type in (str, str | None)}


def add_settings(parser: ArgumentParser) -> None:
    """Let a parser take every setting, and ``--config`` for a file of them.

    Args:
        parser: A parser, which may have other arguments too.
    """
    parser.add_argument("--config", action="config", help="A YAML file with settings, such as a run's config.yaml.")
    parser.add_class_arguments(Settings)


def settings_from(words: Namespace) -> Settings:
    """Return the settings among what a parser of :func:`add_settings` has read and instantiated.

    Args:
        words: What it read.

    Raises:
        ValueError: If a setting is out of range.
    """
    return Settings(**{field.name: words[field.name] for field in fields(Settings)})


def write_config(path: Path, settings: Settings) -> None:
    """Write settings to a YAML file, and make sure that they can be read back.

    Args:
        path: The file.
        settings: The settings.
    """
    given = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    given |= {name: spelled(given[name]) for name in ("optimizer", "scheduler")}
    words = {name: _words(value) for name, value in given.items() if value is not None}
    path.write_text(yaml.safe_dump(words, sort_keys=False))
    read_config(path)


def read_config(path: Path) -> Settings:
    """Return the settings of a YAML file; those that it does not name have their defaults.

    Nothing in the file is executed, and no module is imported for it.

    Args:
        path: The file.

    Raises:
        ArgumentError: If it has words that are not settings.
        ValueError: If a setting is out of range, or a class is of a module that is not imported.
        YAMLError: If it is not YAML.
    """
    content = yaml.safe_load(path.read_text())
    if isinstance(content, dict):
        _check_imported([value for name, value in content.items() if name not in TEXTS])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Settings)
    return settings_from(parser.instantiate(parser.parse_path(str(path))))


def _check_imported(value: Any) -> None:
    """Refuse classes of modules that are not imported: jsonargparse would import them, and so execute their code."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_imported(part)
    elif isinstance(value, str):
        for path in re.findall(CLASS_PATH, value):
            module = path.rpartition(".")[0]
            if module not in sys.modules:
                raise ValueError(f"Expected the name of a class that is imported, got {path}. Import {module} first.")


def _words(value: Any) -> Any:
    """Return a value in the words of YAML; a prior as the name of its class and its arguments."""
    if is_dataclass(value):
        arguments = {field.name: _words(getattr(value, field.name)) for field in fields(value)}
        return {"class_path": type(value).__name__, "init_args": arguments}
    return [_words(part) for part in value] if isinstance(value, tuple) else value
