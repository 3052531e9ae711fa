"""The scans of the experiments by name, and their results."""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyro_vds import sweeps
from pyro_vds.sweeps.grid import Form, Scan

RESULTS = Path(__file__).resolve().parents[1] / "results"


def find_scan(name: str) -> Scan | None:
    """Return the scan of an experiment; ``None`` if there is no such experiment, or it is no scan.

    Args:
        name: Name of the experiment.
    """
    module = f"experiments.{name}"
    return getattr(importlib.import_module(module), "SCAN", None) if importlib.util.find_spec(module) else None


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
    return sweeps.results(grid, folder / name)
