"""The command line: ``pyro-vds fit | evaluate | prune | plot | report | reweight``."""

import itertools
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch
from jsonargparse import ArgumentParser

from pyro_vds.cli.commands import evaluate_command, plot_command, prune_command, report_command, reweight_command
from pyro_vds.cli.fit import fit_command
from pyro_vds.priors.base import Prior
from pyro_vds.priors.families import Uniform
from pyro_vds.pruning.rules import Rule
from pyro_vds.runs.settings import DataName, Settings

DESCRIPTIONS = {
    "evaluate": "Measure a run on its test data again.",
    "prune": (
        "Write the pruned network as a torch.export (.pt2) or ONNX (.onnx) file. Its inputs, and the targets of a "
        "regression, are normalised as data.json says (pixels of type uint8 are taken as they are)."
    ),
    "plot": "Draw the figures of a run again.",
    "report": "Write a run as one HTML page with everything in it, RUN/report.html unless --out is given.",
    "reweight": "Compare the exact posterior under another prior with the run's, for the weights as they are.",
}


FLAGS = ("--overwrite", "--recalibrate", "--compile", "--channels-last", "--learn-prior", "--pretrained", "--frozen")


BOOLEANS = ("true", "false", "yes", "no")


logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        argv: Arguments; those of the process unless given.
    """
    parser, fit_parser = _parser()
    try:
        arguments = parser.parse_args(_spelled(list(sys.argv[1:] if argv is None else argv)))
        options = parser.instantiate(arguments)[arguments.subcommand]
        COMMANDS[arguments.subcommand](options, fit_parser)
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError, MemoryError) as error:
        logger.debug("The error in full:", exc_info=True)
        parser.exit(1, f"pyro-vds: {_one_line(str(error), error)}\n")
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        remedy = "Reduce the width, max_depth or batch_size, or use another device."
        parser.exit(1, f"pyro-vds: {_one_line(f'Expected the network to fit the memory. {remedy} {error}', error)}\n")
    except KeyboardInterrupt as error:
        parser.exit(130, f"pyro-vds: {_one_line('Interrupted.', error)}\n")


def _one_line(message: str, error: BaseException) -> str:
    """Return a message and the notes of an error, without the line breaks of other libraries."""
    lines = "\n".join([message, *getattr(error, "__notes__", [])]).splitlines()
    return " ".join(line.strip() for line in lines if line.strip())


def _parser() -> tuple[ArgumentParser, ArgumentParser]:
    """Return the parser, and the one of ``fit``, which also reads and writes configurations."""
    parser = ArgumentParser(prog="pyro-vds", description="Learn the depth of a residual network.")
    commands = parser.add_subcommands(required=True)
    fit_parser = ArgumentParser(
        allow_abbrev=False,  # an abbreviated --config would not be moved to the front
        description="Learn weights and depth in one run: pyro-vds fit {" + ",".join(get_args(DataName)) + "} [options]",
    )
    fit_parser.add_argument("--config", action="config", help="A YAML file with settings, such as a run's config.yaml.")
    fit_parser.add_class_arguments(Settings)
    fit_parser.add_argument(
        "--out",
        type=Path | None,
        help="The run folder. Default: runs/DATA; if that exists, runs/DATA-2 and so on unless --overwrite.",
    )
    fit_parser.add_argument("--overwrite", type=bool, default=False, help="Replace an existing run folder.")
    fit_parser.add_argument("--progress", type=bool, default=True, help="Show a progress bar.")
    commands.add_subcommand("fit", fit_parser)
    for name, text in DESCRIPTIONS.items():
        commands.add_subcommand(name, _run_parser(name, text))
    return parser, fit_parser


def _run_parser(name: str, description: str) -> ArgumentParser:
    """Return the parser of a command on a finished run."""
    command = ArgumentParser(description=description)
    command.add_argument("run", type=Path, help="A run folder.")
    if name != "report":
        command.add_argument("--data_root", type=str | None, help="Where the data are, if not where they were.")
    if name == "reweight":
        command.add_argument("--prior", type=Prior, required=True, help="The other prior over depth.")
        command.add_argument("--width_prior", type=Prior, default=Uniform(), help="With widths: that over widths.")
    if name in ("evaluate", "prune"):
        command.add_argument("--depth", type=int | None, help="The depth to prune to; the rule's unless given.")
        command.add_argument("--width", type=int | None, help="With widths: the one to prune to.")
        command.add_argument("--rule", type=Rule | None, help="The rule that chooses it; the run's unless given.")
    if name != "plot":
        command.add_argument("--out", type=Path | None, help="A file to write to.")
        command.add_argument("--overwrite", type=bool, default=False, help="Replace an existing file.")
    return command


def _spelled(argv: list[str]) -> list[str]:
    """Let ``fit spirals`` stand for ``fit --data spirals``, dashes for underscores, and a flag for true.

    Configurations come first, so that options win wherever they stand.
    """
    if argv[:1] == ["fit"]:
        named = ["--data"] if len(argv) > 1 and not argv[1].startswith("-") else []
        argv = ["fit", *_configs_first([*named, *argv[1:]])]
    spelled = []
    for word, following in itertools.zip_longest(argv, argv[1:], fillvalue=""):
        name, equals, value = word.partition("=")
        spelled.append(name.replace("-", "_").replace("__", "--", 1) + equals + value if name[:2] == "--" else word)
        if name in FLAGS and not equals and following.lower() not in BOOLEANS:
            spelled.append("true")
    return spelled


def _configs_first(words: list[str]) -> list[str]:
    """Return the words with ``--config FILE`` and ``--config=FILE`` at the front."""
    configs, others = [], []
    remaining = iter(words)
    for word in remaining:
        if word == "--config":
            configs += [word, *itertools.islice(remaining, 1)]
        else:
            (configs if word.startswith("--config=") else others).append(word)
    return configs + others


COMMANDS = {
    "fit": fit_command,
    "evaluate": evaluate_command,
    "prune": prune_command,
    "plot": plot_command,
    "report": report_command,
    "reweight": reweight_command,
}
