"""The runner: goes through the settings of a grid, and keeps the result of each in a file of its own."""

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
    """Run the settings that have no result yet; yields a line about each.

    A result is written in one step when its setting is finished, so that a run that is killed loses at most the
    setting that it was in, and a second start goes on from there. What another scan has measured of the very same
    setting is taken over.

    Args:
        grid: The settings.
        measure: What is measured of each.
        folder: Where the results are kept, beside the folders of other scans.
        resources: How settings are run.
        command: How this run was started, for the results.
        find_scan: Returns the scan whose results lie in a folder of a name beside this one, to take results over that
            it measures in the same way; nothing is taken over unless given.
    """
    trials = grid.trials()
    for number, trial in enumerate(trials, start=1):
        path = folder / f"{trial.key}.json"
        if path.exists():
            yield f"[{number}/{len(trials)}] {trial.key}: is there"
            continue
        head = {"varied": {name: _plain(value) for name, value in trial.varied.items()}}
        twin = None if find_scan is None else _twin(trial, measure, folder, find_scan)
        if twin is not None:
            taken = {"command": command, "taken_from": twin.parent.name}
            _write(path, json.loads(twin.read_text()) | head | taken)
            yield f"[{number}/{len(trials)}] {trial.key}: as in {twin.parent.name}"
            continue
        started = time.perf_counter()
        content = measure(trial.values, trial.repeats, resources)
        seconds = time.perf_counter() - started
        about = {"command": command, "seconds": seconds, "environment": environment(resources.device)}
        _write(path, rounded(head | content | about))
        yield f"[{number}/{len(trials)}] {trial.key}: {seconds:.1f} s"


def results(grid: Grid, folder: Path) -> list[dict[str, Any]]:
    """Return the results that are finished, in the order of the settings.

    Args:
        grid: The settings.
        folder: Where :func:`run` has kept the results.
    """
    paths = [folder / f"{trial.key}.json" for trial in grid.trials()]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def rounded(value: Any) -> Any:
    """Return a value for JSON, its numbers with six digits; ``None`` where a number is not finite.

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
    """Return the result of the same setting in another scan that measures the same."""
    for path in sorted(folder.parent.glob(f"*/*-{trial.digest}.json")):
        other = find_scan(path.parent.name)
        if other is not None and other.measure is measure:
            return path
    return None


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else repr(value)


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file in one step, without the line breaks that would be most of it."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
