"""Shared fixtures: shapes are checked at run time, numbers are float64, and nothing global may change."""

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
from jaxtyping import config, install_import_hook

mpl.use("Agg")
install_import_hook("pyro_vds", "typecheck.checker")

import matplotlib.pyplot as plt  # noqa: E402
import pyro  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from pyro_vds.cli import main as cli  # noqa: E402
from tests.commands import SPIRALS  # noqa: E402

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    """Numbers are compared in double precision."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(autouse=True)
def nothing_global_changes(float64: None) -> Iterator[None]:
    """No call of the package leaves a setting of torch, Pyro or matplotlib changed, or a parameter in the store."""

    def settings() -> tuple:
        return (
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.get_num_threads(),
            pyro.settings.get(),
            dict(mpl.rcParams),
            list(pyro.get_param_store().keys()),
        )

    before = settings()
    yield
    after = settings()
    pyro.clear_param_store()
    plt.close("all")
    assert after == before


@pytest.fixture
def as_a_user() -> Iterator[None]:
    """Bad arguments meet the package's own checks, not the shape checks of the tests."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture
def shared_data() -> Path:
    """Real data, where this machine has them."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the data sets in {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture
def float32(nothing_global_changes: None) -> Iterator[None]:
    """The command line computes in single precision, and data from files are in it."""
    torch.set_default_dtype(torch.float32)
    yield
    torch.set_default_dtype(torch.float64)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of spirals, and what it printed; read-only for the tests."""
    out, text = tmp_path_factory.mktemp("cli") / "run", io.StringIO()
    with contextlib.redirect_stdout(text):
        cli.main([*SPIRALS, "--max-epochs", "20", "--rule", "expected", "--out", str(out)])
    return out, text.getvalue()


@pytest.fixture
def run(finished: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that run, to be changed."""
    return Path(shutil.copytree(finished[0], tmp_path / "run"))
