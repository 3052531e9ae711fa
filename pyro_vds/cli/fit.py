"""``pyro-vds fit``: train, evaluate, and write a run folder."""

from pathlib import Path
from typing import get_args

from jsonargparse import ArgumentParser, Namespace

from pyro_vds.runs.config import add_settings, settings_from
from pyro_vds.runs.execute import execute
from pyro_vds.runs.settings import DataName


def fit_parser() -> ArgumentParser:
    """Return the parser of ``fit``: every setting, and the run folder."""
    parser = ArgumentParser(
        allow_abbrev=False,  # an abbreviated --config would not be moved to the front
        description=(
            "Learn weights and architecture in one run: pyro-vds fit {" + ",".join(get_args(DataName)) + "} [options]"
        ),
    )
    add_settings(parser)
    parser.add_argument(
        "--out",
        type=Path | None,
        help="The run folder. Default: runs/DATA; if that exists, runs/DATA-2 and so on unless --overwrite.",
    )
    parser.add_argument("--overwrite", type=bool, default=False, help="Replace an existing run folder.")
    parser.add_argument("--progress", type=bool, default=True, help="Show a progress bar.")
    return parser


def fit_command(options: Namespace) -> None:
    """Run ``pyro-vds fit``.

    Args:
        options: The settings, and ``out``, ``overwrite`` and ``progress``.
    """
    run = execute(settings_from(options), options.out, overwrite=options.overwrite, progress=options.progress)
    print(run.summary)
    print(f"\ntrained in {run.metrics['training']['seconds']:.0f} s; figures and files: {run.folder}")
