"""Measure, print tables and write a JSON file: ``python -m benchmarks [NAME...] [--device cpu] [--tiny] [--out FILE]``.

Without names all benchmarks run. With names the others keep what the file says of them: each has the command, the
environment and the seconds of its own run, and its ratios are to a baseline of that run.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
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

BENCHMARKS: dict[str, Callable[[torch.device, bool], Iterable[Comparison]]] = {
    "spirals": lambda device, tiny: (spirals(depth, device, tiny=tiny) for depth in ((2,) if tiny else (20, 50, 100))),
    "images": lambda device, tiny: [images(device, tiny=tiny)],
    "memory": lambda device, tiny: [peak_memory(device, tiny=tiny)],
    "prediction": lambda device, tiny: [prediction(device, tiny=tiny)],
    "probe": lambda device, tiny: [probe(device, tiny=tiny)],
    "scaling": lambda device, tiny: scaling(device, tiny=tiny),
    "graphs": lambda device, tiny: graphs(device, tiny=tiny),
    "startup": lambda _, tiny: [startup(tiny=tiny)],
}


def main() -> None:
    """Run the benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all unless given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tiny", action="store_true", help="a form of seconds that only shows that it runs")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/DEVICE.json")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"Expected names of {', '.join(BENCHMARKS)}, got {', '.join(unknown)}.")
    device = torch.device(options.device)
    out = options.out or Path(__file__).parent / "results" / f"{options.device}.json"
    content = json.loads(out.read_text()) if options.names and out.exists() else {}
    for name in options.names or BENCHMARKS:
        command = f"python -m benchmarks {name} --device {options.device}{' --tiny' if options.tiny else ''}"
        started = time.perf_counter()
        for comparison in BENCHMARKS[name](device, options.tiny):
            print(comparison, flush=True)
            made = {"command": command, "seconds": time.perf_counter() - started, "environment": environment(device)}
            content[comparison.name] = comparison.as_json() | made
    write_json(out, content)


if __name__ == "__main__":
    main()
