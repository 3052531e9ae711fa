"""The command line run in process, for tests: short commands, and what they print and write."""

import json
from pathlib import Path

import pytest
import yaml

from pyro_vds.cli import main as cli

SPIRALS = ["fit", "spirals", "--num-points", "200", "--max-depth", "2", "--progress", "false"]
BRIEF = [*SPIRALS, "--max-epochs", "1", "--num-points", "40", "--width", "4"]
FIGURES = {"functions.png", "history.png", "posterior.png", "reliability.png"}
FILES = {
    "config.yaml",
    "data.json",
    "environment.json",
    "figures",
    "history.csv",
    "history.safetensors",
    "metrics.json",
    "posterior.nc",
    "summary.txt",
    "weights.safetensors",
}


def fails(capsys, *words: object) -> tuple[int, str]:
    """Run a command that must fail; return its exit code and its message, without what it was doing before."""
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(word) for word in words])
    assert isinstance(stopped.value.code, int)
    told = capsys.readouterr().err
    return stopped.value.code, told[max(told.find("pyro-vds"), 0) :]


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def read_config(folder: Path) -> dict:
    return yaml.safe_load((folder / "config.yaml").read_text())


def table(text: str) -> dict[str, list[float]]:
    """Return the rows of the test table of a summary."""
    rows = [
        line.replace("%", "").split() for line in text.splitlines() if line.startswith(("full", "pruned ", "stacked "))
    ]
    return {row[0]: [float(word) for word in row[1:5]] for row in rows if row[1] != "to"}


def expected_table(metrics: dict) -> dict[str, list[float]]:
    percent = {"error": 100, "ece": 100}
    return {
        case: [pytest.approx(v * percent.get(n, 1), abs=10 ** -(2 if n in percent else 4)) for n, v in values.items()]
        for case, values in metrics["test"].items()
    }
