"""Run an experiment and write its result: ``python -m experiments NAME [--tiny] [--data-root DIR] [--out DIR]``."""

import argparse
import importlib
import json
import pkgutil
import time
from pathlib import Path

import torch

import experiments
from pyro_vds.runs import environment, write_json


def main() -> None:
    """Run the named experiment."""
    names = [module.name for module in pkgutil.iter_modules(experiments.__path__) if not module.name.startswith("_")]
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("name", choices=names)
    parser.add_argument("--tiny", action="store_true", help="a form of seconds that only shows that it runs")
    parser.add_argument("--data-root", default="data", help="folder of the image data sets")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="folder of the result")
    options = parser.parse_args()
    started = time.perf_counter()
    result = importlib.import_module(f"experiments.{options.name}").run(tiny=options.tiny, data_root=options.data_root)
    command = f"python -m experiments {options.name}{' --tiny' if options.tiny else ''}"
    result |= {"command": command, "seconds": time.perf_counter() - started}
    result["environment"] = environment(torch.device("cpu"))
    write_json(options.out / f"{options.name}.json", result)
    print(json.dumps({k: v for k, v in result.items() if k != "runs"}, indent=2))


if __name__ == "__main__":
    main()
