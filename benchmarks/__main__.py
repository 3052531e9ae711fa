"""Measure, print tables and write a JSON file: ``python -m benchmarks [--device cpu] [--tiny] [--out FILE]``."""

import argparse
import time
from pathlib import Path

import torch

from benchmarks.graphs import graphs
from benchmarks.measure import Comparison
from benchmarks.memory import peak_memory
from benchmarks.prediction import prediction
from benchmarks.probe import probe
from benchmarks.scaling import scaling
from benchmarks.startup import startup
from benchmarks.steps import images, spirals
from pyro_vds.runs.files import environment, write_json


def main() -> None:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tiny", action="store_true", help="a form of seconds that only shows that it runs")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/DEVICE.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    started = time.perf_counter()
    comparisons: list[Comparison] = []

    def keep(*found: Comparison) -> None:
        comparisons.extend(found)
        for comparison in found:
            print(comparison, flush=True)

    for depth in (2,) if options.tiny else (20, 50, 100):
        keep(spirals(depth, device, tiny=options.tiny))
    keep(images(device, tiny=options.tiny))
    keep(peak_memory(device, tiny=options.tiny))
    keep(prediction(device, tiny=options.tiny))
    keep(probe(device, tiny=options.tiny))
    keep(*scaling(device, tiny=options.tiny))
    keep(*graphs(device, tiny=options.tiny))
    keep(startup(tiny=options.tiny))
    out = options.out or Path(__file__).parent / "results" / f"{options.device}.json"
    command = f"python -m benchmarks --device {options.device}{' --tiny' if options.tiny else ''}"
    content = {"command": command, "seconds": time.perf_counter() - started, "environment": environment(device)}
    write_json(out, content | {c.name: c.as_json() for c in comparisons})


if __name__ == "__main__":
    main()
