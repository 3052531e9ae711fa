"""From the words of a command to its options, with an error of a line for words that are none."""

import json
import re
from argparse import ArgumentError
from collections import deque
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from pyro_vds.cli.kinds import arguments, class_of, closest, in_words, names, takes_none
from pyro_vds.cli.options import Option, dashed, options_of
from pyro_vds.priors.base import Prior
from pyro_vds.priors.families import parse as parse_prior
from pyro_vds.runs.config import add_settings, in_yaml
from pyro_vds.runs.settings import Settings

BOOLEANS = ("true", "false", "yes", "no")


class UsageError(Exception):
    """The words are not options of the command."""


def parse(command: str, words: Sequence[str]) -> Namespace:
    """Return the options of a command.

    Args:
        command: Name of the command.
        words: The words after it, such as ``["spirals", "--max-depth", "5"]``.

    Raises:
        UsageError: If the words are not options of the command.
        ValueError: If the arguments of a prior are out of range.
    """
    options = options_of(command)
    words = list(words)
    if command == "fit" and words and not words[0].startswith("-"):
        words = ["--data", *words]
    words = _spelled(words, command, options)
    parser = _parser(command, options)
    try:
        found = parser.parse_args(words)
    except ArgumentError as error:
        _explain(_told(error), command, options, words)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"Expected a YAML file of settings at {_files(words)[-1]}, got one that is no text."
        ) from error
    for option in options.values():
        if found.get(option.name) is None and option.default is not None and not takes_none(option.kind):
            _refuse(option.flag, option.kind, "null")
    return parser.instantiate(found)


def _parser(command: str, options: dict[str, Option]) -> ArgumentParser:
    parser = ArgumentParser(prog=f"pyro-vds {command}", exit_on_error=False, allow_abbrev=False)
    if command == "fit":
        add_settings(parser)
    else:
        parser.add_argument("run", type=Path)
    have = {"config", *(field.name for field in fields(Settings))} if command == "fit" else {}
    for option in options.values():
        if option.name not in have:
            how = {"required": True} if option.required else {"default": option.default}
            parser.add_argument(f"--{option.name}", type=option.kind, **how)
    return parser


def _spelled(words: list[str], command: str, options: dict[str, Option]) -> list[str]:
    """Return the words with each option as ``--its_name=value``, and configurations first.

    So options override configurations at any position, and ``--overwrite RUN`` does not take the folder as its value.
    """
    spelled, rest = [], deque(words)
    while rest:
        word = rest.popleft()
        spelled.append(_spell(word, rest, command, options) if word.startswith("--") else word)
    for option in options.values():
        if option.required and not any(word.startswith(f"--{option.name}=") for word in spelled):
            raise UsageError(f"Expected {option.flag} as {in_words(option.kind)}, got none.")
    if command != "fit" and all(word.startswith("-") for word in spelled):
        raise UsageError(f"Expected a run folder, got none. Write pyro-vds {command} RUN, such as runs/spirals.")
    return sorted(spelled, key=lambda word: not word.startswith("--config="))


def _spell(word: str, rest: deque[str], command: str, options: dict[str, Option]) -> str:
    """Return one option with its value, which may be the first of the words after it."""
    written, equals, value = word.partition("=")
    name = written.removeprefix("--").replace("-", "_")
    option = options.get(name.partition(".")[0])
    if option is None:
        near = closest(dashed(name), [known.flag for known in options.values()])
        raise UsageError(f"Expected an option of pyro-vds {command}, got {written}.{near}")
    if option.kind is bool and not equals:
        value = rest.popleft() if rest and rest[0].lower() in BOOLEANS else "true"
    elif not equals:
        if not rest or rest[0].startswith("--"):
            raise UsageError(f"Expected {written} as {in_words(option.kind)}, got nothing after it.")
        value = rest.popleft()
    if option.kind is Prior and name == option.name and not value.startswith("{"):
        if "(" in value:  # as it is printed, Geometric(decay=0.85)
            value = json.dumps(in_yaml(parse_prior(value)))
        elif class_of(Prior, value) is None:  # jsonargparse would import its module
            _refuse(option.flag, option.kind, value)
    return f"--{name}={value}"


def _files(words: list[str]) -> list[str]:
    """Return the configurations among spelled words."""
    return [word.partition("=")[2] for word in words if word.startswith("--config=")]


def _told(error: ArgumentError) -> str:
    return "\n".join(line.strip() for line in (error.message or str(error)).splitlines())


def _explain(text: str, command: str, options: dict[str, Option], words: list[str]) -> NoReturn:
    """Raise what a message of jsonargparse means for these options."""
    files = _files(words)
    if "File does not exist" in text or "No such file" in text:
        raise UsageError(f"Expected a file of settings at {files[-1]}, found none.")
    if text.startswith("Problems parsing config"):
        cause = " ".join(text.split(": ", 1)[1].split())
        raise UsageError(f"Expected a YAML file of settings at {files[-1]}, got one with an error: {cause}.")
    if text.startswith("Unexpected config"):
        raise UsageError(f"Expected a YAML file of settings at {files[-1]}, such as max_depth: 5, got none in it.")
    if found := re.match(r"Option '([\w.-]+)' is not accepted", text):
        known = [name for name in options if name not in ("config", "out", "overwrite", "progress", "quiet")]
        place = f" in {files[-1]}" if files else ""
        raise UsageError(f"Expected settings{place}, got {found[1]}.{closest(found[1], known)}")
    if found := re.match(r"unrecognized arguments: (.*)", text):
        extra = found[1].split()[0]
        raise UsageError(f"Expected nothing more than options after pyro-vds {command} {_first(command)}, got {extra}.")
    found = re.match(r'Parser key "(\w+)":?', text)
    if found is None or found[1] not in options:
        raise UsageError(" ".join(text.split()))
    option = options[found[1]]
    if "class_path" in text:
        _explain_class(text, option, words)
    _refuse(option.flag, option.kind, _value(text, option.name, words))


def _explain_class(text: str, option: Option, words: list[str]) -> None:
    """Raise what is wrong with the arguments of a class, such as those of a prior, if that is what is wrong."""
    found = re.search(r"class_path[ =]'([\w.]+)'", text)
    cls = None if found is None else class_of(option.kind, found[1])
    if cls is None:
        return
    its = arguments(cls)
    if missing := re.search(r"arguments are required: (.*)", text):
        flags = ", ".join(f"{option.flag}.{dashed(name)[2:]}" for name in missing[1].split(", "))
        raise UsageError(f"Expected {flags} with {option.flag} {cls.__name__}, got none.")
    if unknown := re.search(r"Option '(\w+)' is not accepted", text):
        flags = [f"{option.flag}.{dashed(name)[2:]}" for name in its]
        takes = f"{'one of ' if len(flags) > 1 else ''}{', '.join(flags) or 'no argument'}"
        near = closest(unknown[1], list(its), f"{option.flag}.").replace("_", "-")
        raise UsageError(f"Expected {takes} with {option.flag} {cls.__name__}, got {option.flag}.{unknown[1]}.{near}")
    for inner in re.findall(r'Parser key "(\w+)"', text)[1:]:
        if inner in its:
            value = _value(text.partition(f'Parser key "{inner}"')[2], f"{option.name}.{inner}", words)
            _refuse(f"{option.flag}.{dashed(inner)[2:]}", its[inner], value)


def _refuse(flag: str, kind: Any, value: str) -> NoReturn:
    raise UsageError(f"Expected {flag} as {in_words(kind)}, got {value}.{closest(value, names(kind))}")


def _value(text: str, name: str, words: list[str]) -> str:
    """Return the value that an option was given: that on the command line, or the one in a message."""
    values = [word.partition("=")[2] for word in words if word.startswith(f"--{name}=")]
    return (values[-1] or "nothing") if values else _given(text) or "another value"


def _given(text: str) -> str | None:
    found = re.search(
        r"(?:Given value|Got value|import path string|import path format): (.*?)(?:\. Got value|$)", text, re.M
    )
    return None if found is None else found[1]


def _first(command: str) -> str:
    return "DATA" if command == "fit" else "RUN"
