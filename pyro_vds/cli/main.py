"""The command line: ``pyro-vds fit | evaluate | prune | plot | report | reweight | lesion | completion``.

What takes seconds to import is imported when a command needs it.
"""

import difflib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Never

COMMANDS = {
    "fit": "Learn weights and architecture in one run, measure it, and write a run folder.",
    "evaluate": "Measure a run on its test data again.",
    "prune": "Write the pruned network as a torch.export (.pt2) or ONNX (.onnx) file.",
    "plot": "Draw the figures of a run again.",
    "report": "Write a run as one HTML page.",
    "reweight": "Compare the run's exact posterior with that under another prior, for the same weights.",
    "lesion": "Measure a run with blocks deleted and reordered on its test data.",
    "completion": "Print the script that completes commands and options in bash, zsh or tcsh.",
}
HELP = ("-h", "--help")

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        argv: Arguments; ``None`` is the arguments of the process.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        _run(words)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError, MemoryError) as error:
        logger.debug("The error in full:", exc_info=True)
        _stop(1, _worded(words, str(error)), error)
    except RuntimeError as error:
        import torch

        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        remedy = "Reduce --width, --max-depth or --batch-size, or use another device."
        _stop(1, f"Expected the network to fit into memory, but it does not. {remedy} {error}", error)
    except KeyboardInterrupt as error:
        _stop(130, "Interrupted.", error)


def _run(words: list[str]) -> None:
    """Run a command, or print a help or the version."""
    command, rest = (words[0], words[1:]) if words else ("", [])
    if command == "--version":
        from pyro_vds import __version__

        print(f"pyro-vds {__version__}")
    elif command in HELP:
        print(_overview())
    elif command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1)
        got = f"{command}. Did you mean {near[0]}?" if near else command or "none."
        _misused("pyro-vds", f"Expected a command, one of {', '.join(COMMANDS)}, got {got}")
    elif any(word in HELP for word in rest):
        from pyro_vds.cli.help import help_of

        print(help_of(command, COMMANDS[command], everything="all" in rest) if command != "completion" else _overview())
    elif command == "completion":
        _complete(rest)
    else:
        _call(command, parse(command, rest))


def parse(command: str, words: Sequence[str]) -> Any:
    """Return the options of a command as a namespace.

    Args:
        command: Name of the command.
        words: The words after it, such as ``["spirals", "--max-depth", "5"]``.

    Raises:
        SystemExit: If the words are not options of the command.
        ValueError: If the arguments of a prior are out of range.
    """
    from pyro_vds.cli import parsing

    try:
        return parsing.parse(command, words)
    except parsing.UsageError as error:
        _misused(f"pyro-vds {command}", str(error))


def _call(command: str, options: Any) -> None:
    from pyro_vds.cli.commands import CALLS

    with _told_on_stderr(quiet=options.quiet):
        CALLS[command](options)


def _complete(words: list[str]) -> None:
    from pyro_vds.cli.completion import SHELLS, completion_script

    if len(words) != 1 or words[0] not in SHELLS:
        got = " ".join(words) or "none"
        _misused("pyro-vds completion", f"Expected the name of a shell, one of {', '.join(SHELLS)}, got {got}.")
    print(completion_script(words[0], COMMANDS))


@contextmanager
def _told_on_stderr(*, quiet: bool) -> Iterator[None]:
    """Write on standard error what the package says it is doing; warnings only if it is to be quiet."""
    package = logging.getLogger("pyro_vds")
    handler, level = logging.StreamHandler(sys.stderr), package.level
    handler.setFormatter(logging.Formatter("%(message)s"))
    package.addHandler(handler)
    package.setLevel(logging.WARNING if quiet else min(logging.INFO, level or logging.INFO))
    try:
        yield
    finally:
        package.removeHandler(handler)
        package.setLevel(level)


def _overview() -> str:
    rows = [f"  {name:12}{description}" for name, description in COMMANDS.items()]
    usage = ["usage: pyro-vds COMMAND [options]", "", "Learn the architecture of a neural network.", ""]
    end = ["", "pyro-vds COMMAND --help shows the options of a command; pyro-vds --version the version."]
    return "\n".join([*usage, *rows, *end])


def _worded(words: list[str], message: str) -> str:
    """Return the message of an error with settings as the options that ``fit`` has for them."""
    if words[:1] != ["fit"]:
        return message
    from pyro_vds.cli.options import with_options

    return with_options(message)


def _misused(program: str, message: str) -> Never:
    sys.stderr.write(f"{program}: {message}\n")
    raise SystemExit(2)


def _stop(code: int, message: str, error: BaseException) -> Never:
    """Exit with a message and the notes of an error, on one line."""
    lines = "\n".join([message, *getattr(error, "__notes__", [])]).splitlines()
    sys.stderr.write(f"pyro-vds: {' '.join(line.strip() for line in lines if line.strip())}\n")
    raise SystemExit(code)
