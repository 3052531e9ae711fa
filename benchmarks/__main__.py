"""Measure, print a table and write a JSON file: ``python -m benchmarks [--device cpu] [--tiny] [--out FILE]``."""

import argparse
import time
from pathlib import Path

import torch

from benchmarks.measure import Comparison, peak_memory, training_step
from benchmarks.prediction import prediction
from pyro_vds.runs import environment, write_json


def main() -> None:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tiny", action="store_true", help="a form of seconds that only shows that it runs")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/DEVICE.json")
    options = parser.parse_args()
    device = torch.device(options.device)
    started = time.perf_counter()
    comparisons: list[Comparison] = [
        training_step(device, tiny=options.tiny),
        peak_memory(device, tiny=options.tiny),
        prediction(device, tiny=options.tiny),
    ]
    for comparison in comparisons:
        print(comparison)
    out = options.out or Path(__file__).parent / "results" / f"{options.device}.json"
    command = f"python -m benchmarks --device {options.device}{' --tiny' if options.tiny else ''}"
    content = {"command": command, "seconds": time.perf_counter() - started, "environment": environment(device)}
    write_json(out, content | {c.name: c.as_json() for c in comparisons})


if __name__ == "__main__":
    main()
