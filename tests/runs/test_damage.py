"""Damaged run folders are reported in one line that names the file, by every command that reads it."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pyro_vds.cli import main as cli
from pyro_vds.runs import figures
from tests.commands import fails

pytestmark = pytest.mark.usefixtures("float32")


@pytest.mark.parametrize("command", ["evaluate", "prune", "plot", "report"])
def test_missing_run_folder_is_reported(capsys, tmp_path, command):
    code, message = fails(capsys, command, tmp_path / "none")
    assert code == 1
    assert f"Expected a run folder at {tmp_path / 'none'}, found none" in message


def reported(capsys, run: Path, command: str, name: str) -> str:
    """Return the one line that a command says of a damaged file."""
    code, message = fails(capsys, command, run)
    assert code == 1
    assert message.startswith(f"pyro-vds: Expected an intact run folder at {run}, but {name} is ")
    assert message.count("\n") == 1
    return message


@pytest.mark.parametrize("command", ["evaluate", "prune", "plot", "report"])
def test_damaged_weights_are_reported(capsys, run, command):
    (run / "weights.safetensors").write_bytes(b"junk")
    reported(capsys, run, command, "weights.safetensors")


@pytest.mark.parametrize("command", ["evaluate", "prune", "plot", "report"])
def test_metrics_without_an_entry_are_reported(capsys, run, command):
    (run / "metrics.json").write_text("{}")
    message = reported(capsys, run, command, "metrics.json")
    assert message.endswith(f"no entry 'parameters'. Train again: pyro-vds fit --config {run / 'config.yaml'}\n")


@pytest.mark.parametrize("command", ["evaluate", "prune", "plot", "report"])
@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"data: spirals\nmax_deepness: 3\n", "max_deepness"),
        (b"data: [spirals\n : :", "flow sequence"),
        (b"data: cifar\n", "cifar"),
        (b"prior:\n  class_path: Poisson\n  init_args: {rate: -1}\n", "Expected a positive, finite rate"),
        (b"weight_decay: -1\n", "Expected a finite weight_decay"),
        (b"- 3\n", "- 3"),
        (b"\xff\xfe\x00", "utf-8"),
    ],
)
def test_damaged_config_is_reported(capsys, run, command, content, cause):
    (run / "config.yaml").write_bytes(content)
    message = reported(capsys, run, command, "config.yaml")
    assert cause in message
    assert message.endswith("Correct it, or train again.\n")


def test_damaged_posterior_is_reported(capsys, run, tmp_path):
    path = run / "posterior.nc"
    path.write_bytes(path.read_bytes()[:2000])
    assert "posterior.nc is damaged" in reported(capsys, run, "plot", "posterior.nc")
    path.write_bytes(b"junk")
    assert "posterior.nc is damaged" in reported(capsys, run, "plot", "posterior.nc")
    xr.Dataset({"x": 1}).to_netcdf(path, engine="h5netcdf")
    assert "no entry" in reported(capsys, run, "plot", "posterior.nc")
    path.unlink()
    message = reported(capsys, run, "plot", "posterior.nc")
    assert "posterior.nc is missing" in message
    assert message.endswith(f"Train again: pyro-vds fit --config {run / 'config.yaml'}\n")


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        (figures.DRAWN, "log_q is of [5] architectures, the network has [3]"),
        (figures.DRAWN[1:], "no entry 'Could not find node at log_q'"),
    ],
)
def test_posterior_of_another_network_is_reported(capsys, run, names, cause):
    exact = xr.Dataset({name: ("depth", np.zeros(5)) for name in names})
    xr.DataTree.from_dict({"architecture": exact}).to_netcdf(run / "posterior.nc", engine="h5netcdf")
    assert cause in reported(capsys, run, "plot", "posterior.nc")


def test_incomplete_run_folder_is_reported(capsys, run):
    (run / "history.safetensors").unlink()
    code, message = fails(capsys, "evaluate", run)
    assert code == 1
    assert "but history.safetensors is missing" in message


def test_other_data_than_those_of_the_run_are_refused(capsys, tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = np.arange(40) % 2
    np.savez(tmp_path / "data.npz", x=x, y=y)
    cli.main([*map(str, ["fit", "npz", "--data-path", tmp_path / "data.npz", "--max-epochs", 2, "--max-depth", 1]),
          "--progress=false", "--out", str(tmp_path / "run")])  # fmt: skip
    np.savez(tmp_path / "data.npz", x=100 * x, y=y)
    for command in ("evaluate", "plot"):
        code, message = fails(capsys, command, tmp_path / "run")
        assert code == 1
        assert "Expected the data that the run in" in message
