"""Completion of the commands and options in a shell, by shtab."""

import argparse
from pathlib import Path
from typing import Any

from pyro_vds.cli.kinds import names, short, variants
from pyro_vds.cli.options import OF_RUNS, Option, data_names, options_of

SHELLS = ("bash", "zsh", "tcsh")


def completion_script(shell: str, commands: dict[str, str]) -> str:
    """Return the script that teaches a shell the commands and their options.

    Args:
        shell: ``"bash"``, ``"zsh"`` or ``"tcsh"``.
        commands: What each command does.

    Raises:
        ImportError: If shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise ImportError("Expected shtab for completion, found none. Install pyro-vds[completion].") from error
    parser = argparse.ArgumentParser(prog="pyro-vds")
    parser.add_argument("--version", action="store_true")
    parts = parser.add_subparsers()
    for command, description in commands.items():
        part = parts.add_parser(command, help=description)
        if command == "completion":
            part.add_argument("shell", choices=SHELLS)
            continue
        first: Any = part.add_argument("run") if command in OF_RUNS else part.add_argument("data", choices=data_names())
        if command in OF_RUNS:
            first.complete = shtab.DIRECTORY
        for option in options_of(command).values():
            _add(part, option, shtab.FILE)
    return shtab.complete(parser, shell=shell)


def _add(part: argparse.ArgumentParser, option: Option, file: Any) -> None:
    if option.is_flag:
        part.add_argument(option.flag, action="store_true")
        return
    action: Any = part.add_argument(option.flag, choices=names(option.kind) or None, metavar=short(option.kind))
    if Path in variants(option.kind) or option.name.startswith("data_"):
        action.complete = file
