"""The runner, which runs the trials of a grid and writes the result of each to its own file."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pyro_vds.runs.files import atomic, environment
from pyro_vds.sweeps.grid import Grid, Measure, Resources, Scan, Trial


def run(
    grid: Grid,
    measure: Measure,
    folder: Path,
    resources: Resources,
    *,
    command: str = "",
    find_scan: Callable[[str], Scan | None] | None = None,
) -> Iterator[str]:
    """Run the trials that have no result yet, and yield a line about each.

    A result is written in one step when its trial is finished. A killed sweep therefore loses at most one trial, and
    a second start continues with it. Results of the same trial in another scan with the same measure are copied.

    Args:
        grid: The settings.
        measure: The measure of each trial.
        folder: Folder of the results, beside the folders of other scans.
        resources: The machine and the options of the runs.
        command: The command that started the sweep, for the results.
        find_scan: Returns the scan of a folder name, to copy its results; ``None`` copies nothing.
    """
    trials = grid.trials()
    for number, trial in enumerate(trials, start=1):
        path = folder / f"{trial.key}.json"
        if path.exists():
            yield f"[{number}/{len(trials)}] {trial.key}: exists"
            continue
        head = {"varied": {name: _plain(value) for name, value in trial.varied.items()}}
        twin = None if find_scan is None else _twin(trial, measure, folder, find_scan)
        if twin is not None:
            taken = {"command": command, "taken_from": twin.parent.name}
            _write(path, json.loads(twin.read_text()) | head | taken)
            yield f"[{number}/{len(trials)}] {trial.key}: copied from {twin.parent.name}"
            continue
        started = time.perf_counter()
        content = measure(trial.values, trial.repeats, resources)
        seconds = time.perf_counter() - started
        about = {"command": command, "seconds": seconds, "environment": environment(resources.device)}
        _write(path, rounded(head | content | about))
        yield f"[{number}/{len(trials)}] {trial.key}: {seconds:.1f} s"


def results(grid: Grid, folder: Path) -> list[dict[str, Any]]:
    """Return the finished results, in the order of the trials.

    Args:
        grid: The settings.
        folder: The folder of :func:`run`.
    """
    paths = [folder / f"{trial.key}.json" for trial in grid.trials()]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def rounded(value: Any) -> Any:
    """Return a value for JSON, with numbers of six digits, and ``None`` for numbers that are not finite.

    Args:
        value: Numbers and texts, in dictionaries, lists and tuples.
    """
    if isinstance(value, Mapping):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _twin(trial: Trial, measure: Measure, folder: Path, find_scan: Callable[[str], Scan | None]) -> Path | None:
    """Return the result of the same trial in another scan with the same measure."""
    for path in sorted(folder.parent.glob(f"*/*-{trial.digest}.json")):
        other = find_scan(path.parent.name)
        if other is not None and other.measure is measure:
            return path
    return None


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else repr(value)


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a compact JSON file in one step."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
