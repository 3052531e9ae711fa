"""The runner: goes through the settings of a scan, and keeps the result of each in a file of its own."""

import importlib
import importlib.util
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.engine.measures import rounded
from experiments.engine.scan import Form, Grid, Scan, Trial
from experiments.engine.training import Resources
from pyro_vds.runs.files import atomic, environment

RESULTS = Path(__file__).resolve().parents[1] / "results"


def run_scan(scan: Scan, grid: Grid, folder: Path, resources: Resources, command: str) -> Iterator[str]:
    """Run the settings that have no result yet; yields a line about each.

    A result is written in one step when its setting is finished, so that a run that is killed loses at most the
    setting that it was in, and a second start goes on from there. What another experiment has measured of the very
    same setting is taken over.

    Args:
        scan: What is measured.
        grid: The settings.
        folder: Where the results are kept, beside those of other experiments.
        resources: How settings are run.
        command: How this run was started, for the results.
    """
    trials = grid.trials()
    for number, trial in enumerate(trials, start=1):
        path = folder / f"{trial.key}.json"
        if path.exists():
            yield f"[{number}/{len(trials)}] {trial.key}: is there"
            continue
        head = {"varied": {name: _plain(value) for name, value in trial.varied.items()}}
        twin = _twin(scan, trial, folder)
        if twin is not None:
            taken = {"command": command, "taken_from": twin.parent.name}
            _write(path, json.loads(twin.read_text()) | head | taken)
            yield f"[{number}/{len(trials)}] {trial.key}: as in {twin.parent.name}"
            continue
        started = time.perf_counter()
        content = scan.measure(trial.values, trial.repeats, resources)
        seconds = time.perf_counter() - started
        about = {"command": command, "seconds": seconds, "environment": environment(resources.device)}
        _write(path, rounded(head | content | about))
        yield f"[{number}/{len(trials)}] {trial.key}: {seconds:.1f} s"


def results(name: str, form: Form = "paper", folder: Path = RESULTS, data: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the results of an experiment that are finished, in the order of its settings.

    Args:
        name: Name of the experiment.
        form: Which of its forms.
        folder: The folder of all results.
        data: The data sets, where they are not those of the form.
    """
    scan: Scan = importlib.import_module(f"experiments.{name}").SCAN
    grid = scan.grid(form).on(data) if data else scan.grid(form)
    paths = [folder / name / f"{trial.key}.json" for trial in grid.trials()]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def _twin(scan: Scan, trial: Trial, folder: Path) -> Path | None:
    """Return the result of the same setting in another experiment that measures the same."""
    for path in sorted(folder.parent.glob(f"*/*-{trial.digest}.json")):
        name = f"experiments.{path.parent.name}"
        module = importlib.import_module(name) if importlib.util.find_spec(name) else None
        other = getattr(module, "SCAN", None)
        if other is not None and other.measure is scan.measure:
            return path
    return None


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float | str) else repr(value)


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file in one step, without the line breaks that would be most of it."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
