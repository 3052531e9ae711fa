"""Run an experiment and keep its results: ``python -m experiments NAME [options]``.

A scan keeps the result of each setting in a file of its own, ``OUT/NAME/KEY.json``; started again, it does what is
missing.
"""

import argparse
import importlib
import json
import pkgutil
import shlex
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import experiments
from experiments.engine.results import RESULTS, find_scan
from pyro_vds import sweeps
from pyro_vds.runs.files import environment, write_json
from pyro_vds.sweeps.grid import Form


def main() -> None:
    """Run the named experiment."""
    options = _parser().parse_args()
    module = importlib.import_module(f"experiments.{options.name}")
    command = shlex.join(["python", "-m", "experiments", *sys.argv[1:]])
    if hasattr(module, "SCAN"):
        _run_scan(module, options, command)
    else:
        _run_single(module, options, command)


def _parser() -> argparse.ArgumentParser:
    names = [m.name for m in pkgutil.iter_modules(experiments.__path__) if not m.ispkg and not m.name.startswith("_")]
    parser = argparse.ArgumentParser(
        prog="python -m experiments", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=names)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--tiny", action="store_true", help="a form of seconds that only shows that it runs")
    form.add_argument("--cpu", action="store_true", help="a reduced form for a machine without accelerator")
    parser.add_argument("--data-root", default="data", help="folder of the image data sets")
    parser.add_argument("--data", nargs="+", default=(), help="go through these data sets instead, such as svhn")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where scans train")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="default: as the scan says")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    return parser


def _run_scan(module: ModuleType, options: argparse.Namespace, command: str) -> None:
    """Run the settings of a scan that are missing."""
    form: Form = "tiny" if options.tiny else "cpu" if options.cpu else "paper"
    grid = module.SCAN.grid(form)
    grid = grid.on(options.data) if options.data else grid
    compile = grid.compile if options.compile is None else options.compile
    resources = sweeps.Resources(torch.device(options.device), options.data_root, compile)
    how: dict[str, Any] = {"command": command, "find_scan": find_scan}
    for line in sweeps.run(grid, module.SCAN.measure, options.out / options.name, resources, **how):
        print(line, flush=True)


def _run_single(module: ModuleType, options: argparse.Namespace, command: str) -> None:
    """Run an experiment whose result is one file, on the CPU."""
    started = time.perf_counter()
    result = module.run(tiny=options.tiny, data_root=options.data_root)
    result |= {"command": command, "seconds": time.perf_counter() - started}
    result["environment"] = environment(torch.device("cpu"))
    write_json(options.out / f"{options.name}.json", result)
    print(json.dumps({k: v for k, v in result.items() if k != "runs"}, indent=2))


if __name__ == "__main__":
    main()
