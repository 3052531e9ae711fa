"""The command line: ``pyro-vds fit | evaluate | prune | plot | report | reweight | lesion``."""

import argparse
import itertools
import logging
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Never

import torch
from jsonargparse import ArgumentParser, Namespace

from pyro_vds.cli.commands import (
    DESCRIPTIONS,
    evaluate_command,
    lesion_command,
    plot_command,
    prune_command,
    report_command,
    reweight_command,
    run_parser,
)
from pyro_vds.cli.fit import fit_command, fit_parser
from pyro_vds.runs.settings import Settings

COMMANDS = {
    "fit": fit_command,
    "evaluate": evaluate_command,
    "prune": prune_command,
    "plot": plot_command,
    "report": report_command,
    "reweight": reweight_command,
    "lesion": lesion_command,
}


# Options that mean true without a value. With jsonargparse's ActionYesNo and an optional value, `evaluate --overwrite
# RUN` would take the folder as the value.
FLAGS = {"--overwrite"} | {f"--{field.name}" for field in fields(Settings) if field.type is bool}


BOOLEANS = ("true", "false", "yes", "no")


logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        argv: Arguments; ``None`` is the arguments of the process.
    """
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        COMMANDS[options.subcommand](options[options.subcommand])
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError, MemoryError) as error:
        logger.debug("The error in full:", exc_info=True)
        _stop(1, str(error), error)
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        remedy = "Reduce the width, max_depth or batch_size, or use another device."
        _stop(1, f"Expected the network to fit into memory, but it does not. {remedy} {error}", error)
    except KeyboardInterrupt as error:
        _stop(130, "Interrupted.", error)


def parse(argv: Sequence[str]) -> Namespace:
    """Return the parsed arguments: ``subcommand``, and its options under its name.

    Args:
        argv: The arguments, such as ``["fit", "spirals", "--max-depth", "5"]``.

    Raises:
        SystemExit: If the arguments are not a command and its options.
        ValueError: If the arguments of a prior are out of range.
    """
    parser = ArgumentParser(prog="pyro-vds", description="Learn the architecture of a neural network.")
    commands = parser.add_subcommands(required=True)
    commands.add_subcommand("fit", fit_parser())
    for name in DESCRIPTIONS:
        commands.add_subcommand(name, run_parser(name))
    return parser.instantiate(parser.parse_args(_spelled(list(argv))))


def _stop(code: int, message: str, error: BaseException) -> Never:
    """Exit with a message and the notes of an error, on one line."""
    lines = "\n".join([message, *getattr(error, "__notes__", [])]).splitlines()
    sys.stderr.write(f"pyro-vds: {' '.join(line.strip() for line in lines if line.strip())}\n")
    raise SystemExit(code)


def _spelled(argv: list[str]) -> list[str]:
    """Replace ``fit spirals`` by ``fit --data spirals``, dashes by underscores, and a flag by true.

    Configurations are moved to the front, so that options override them at any position.
    """
    if argv[:1] == ["fit"]:
        option = ["--data"] if len(argv) > 1 and not argv[1].startswith("-") else []
        argv = ["fit", *_configs_first([*option, *argv[1:]])]
    spelled = []
    for word, following in itertools.zip_longest(argv, argv[1:], fillvalue=""):
        name, equals, value = word.partition("=")
        name = name.replace("-", "_").replace("__", "--", 1) if name.startswith("--") else name
        spelled.append(name + equals + value)
        if name in FLAGS and not equals and following.lower() not in BOOLEANS:
            spelled.append("true")
    return spelled


def _configs_first(words: list[str]) -> list[str]:
    """Return the words with ``--config FILE`` at the front."""
    parser = argparse.ArgumentParser(prog="pyro-vds fit", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", action="append", default=[])
    configs, others = parser.parse_known_args(words)
    return [*(f"--config={path}" for path in configs.config), *others]
