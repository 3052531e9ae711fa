"""Settings as a YAML file, which ``pyro-vds fit --config`` reads."""

import re
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from jsonargparse import ArgumentParser, Namespace

from pyro_vds.runs.settings import Settings
from pyro_vds.training.optim import spelled

CLASS_PATH = r"\b(?!\d)\w+(?:\.(?!\d)\w+)+"
# Settings that can be any text.
TEXTS = {field.name for field in fields(Settings) if str in (field.type, *get_args(field.type))}


def add_settings(parser: ArgumentParser) -> None:
    """Add an option for every setting to a parser, and ``--config`` for a file of settings.

    Args:
        parser: A parser, which may have other arguments too.
    """
    parser.add_argument("--config", action="config", help="A YAML file with settings, such as a run's config.yaml.")
    parser.add_class_arguments(Settings)


def settings_from(words: Namespace) -> Settings:
    """Return the settings from the result of a parser with :func:`add_settings`.

    Args:
        words: The parsed and instantiated arguments, which may contain others too.

    Raises:
        ValueError: If a setting is out of range.
    """
    return Settings(**{field.name: words[field.name] for field in fields(Settings)})


def write_config(path: Path, settings: Settings) -> None:
    """Write settings to a YAML file, and check that they can be read back.

    Args:
        path: The file.
        settings: The settings.
    """
    path.write_text(yaml.safe_dump(settings_words(settings), sort_keys=False))
    read_config(path)


def settings_words(settings: Settings) -> dict[str, Any]:
    """Return settings as words and numbers, as YAML and JSON take them.

    Args:
        settings: The settings.
    """
    given = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    given |= {name: spelled(given[name]) for name in ("optimizer", "scheduler")}
    return {name: in_yaml(value) for name, value in given.items() if value is not None}


def in_yaml(value: Any) -> Any:
    """Return a setting for YAML or JSON; a prior as the name and the arguments of its class.

    Args:
        value: The value of a setting.
    """
    if is_dataclass(value):
        arguments = {field.name: in_yaml(getattr(value, field.name)) for field in fields(value)}
        return {"class_path": type(value).__name__, "init_args": arguments}
    return [in_yaml(part) for part in value] if isinstance(value, tuple) else value


def read_config(path: Path) -> Settings:
    """Return the settings of a YAML file; missing settings have their defaults.

    Reading executes no code of the file and imports no module.

    Args:
        path: The file.

    Raises:
        ArgumentError: If the file has keys that are not settings.
        ValueError: If a setting is out of range, or the module of a class is not imported.
        YAMLError: If the file is not YAML.
    """
    content = yaml.safe_load(path.read_text())
    if isinstance(content, dict):
        _check_imported([value for name, value in content.items() if name not in TEXTS])
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Settings)
    return settings_from(parser.instantiate(parser.parse_path(str(path))))


def _check_imported(value: Any) -> None:
    """Raise for classes of modules that are not imported, since jsonargparse would import and thus execute them."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            _check_imported(part)
    elif isinstance(value, str):
        for path in re.findall(CLASS_PATH, value):
            module = path.rpartition(".")[0]
            if module not in sys.modules:
                raise ValueError(f"Expected a class of an imported module, got {path}. Import {module} first.")
