"""The help of the commands: the usual options on a screen, and all of them in groups."""

import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import replace

from pyro_vds.cli.kinds import short
from pyro_vds.cli.options import USUAL, Option, data_names, groups_of_fit, options_of

NARROW, WIDE = 80, 100
INDENT = 30

DESCRIPTIONS = {
    "prune": (
        "Normalise the inputs of the written network, and the targets of a regression, by the numbers in its metadata "
        "and in data.json (not pixels of type uint8)."
    ),
    "report": "The page is RUN/report.html unless --out is given.",
    "lesion": "It writes RUN/lesions.nc and RUN/figures/lesions.png.",
}
"""What the help says of a command besides its description."""


def help_of(command: str, description: str, *, everything: bool) -> str:
    """Return the help of a command.

    Args:
        command: Name of the command.
        description: What it does, a sentence.
        everything: Whether to show all options of ``fit`` with all that there is to say, or the usual ones in brief.
    """
    text = " ".join([description, DESCRIPTIONS.get(command, "")]).strip()
    options = options_of(command)
    if command != "fit":
        usage = f"usage: pyro-vds {command} RUN [options]"
        return "\n".join([usage, "", *_wrapped(text), "", *_lines(options.values())])
    head = ["usage: pyro-vds fit DATA [options]", "", *_wrapped(text)]
    if everything:
        groups = groups_of_fit().items()
        parts = [["", f"{title}:", *_lines([options[name] for name in names])] for title, names in groups]
        return "\n".join([*head, *(line for part in parts for line in part)])
    sets = _wrapped(f"DATA is one of {', '.join(data_names())}.")
    usual = [replace(options[name], help=brief, default=False) for name, brief in USUAL.items()]
    end = "All options in groups, and all that there is to say of them: pyro-vds fit --help all"
    return "\n".join([*head, *sets, "", *_lines(usual), "", end])


def _width() -> int:
    return min(max(shutil.get_terminal_size().columns, NARROW), WIDE)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _width(), break_on_hyphens=False)


def _lines(options: Iterable[Option]) -> list[str]:
    return [line for option in options for line in _described(option)]


def _described(option: Option) -> list[str]:
    """Return the lines of an option: its flag and type, and beside or below it what it means."""
    head = f"  {option.flag}" if option.is_flag else f"  {option.flag} {short(option.kind)}"
    body = textwrap.wrap(option.help + _default(option), _width() - INDENT, break_on_hyphens=False)
    if len(head) < INDENT - 1:
        return [f"{head:{INDENT}}{body[0]}", *(" " * INDENT + line for line in body[1:])]
    return [head, *(" " * INDENT + line for line in body)]


def _default(option: Option) -> str:
    if option.required or option.default in (None, False, ()) or "Default" in option.help:
        return ""
    words = str(option.default).lower() if option.kind is bool else option.default
    return f" Default: {words}."
