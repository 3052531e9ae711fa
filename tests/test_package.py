"""The public names, the direction of imports, and importing without side effects."""

import json
import subprocess
import sys
from pathlib import Path

import pyro_vds as vds
from tests.api import SNAPSHOT

PACKAGE = Path(vds.__file__).parent


def test_few_modules_import_arviz():
    users = {f"{p.parent.name}/{p.stem}" for p in PACKAGE.glob("*/*.py") if "import arviz" in p.read_text()}
    assert users == {"diagnostics/comparison", "diagnostics/files", "infer/datatree", "plots/calibration"}


def test_modules_stay_small():
    long = {p.name: n for p in PACKAGE.glob("**/*.py") if (n := p.read_text().count("\n")) > 350}
    assert not long


def test_all_is_sorted_and_complete():
    assert list(vds.__all__) == sorted(vds.__all__)
    assert all(hasattr(vds, name) for name in vds.__all__)


def test_public_names_and_signatures_are_the_recorded_ones():
    """Record a change that is meant with ``python -m tests.api``, and write it into CHANGELOG."""
    code = "from tests.api import snapshot; print(snapshot(), end='')"  # without the wrappers of the import hook
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert found == SNAPSHOT.read_text()


def test_importing_changes_nothing_global():
    code = """
import json, torch, pyro, matplotlib
def state():
    return [str(torch.get_default_dtype()), torch.get_num_threads(), str(torch.random.get_rng_state().sum()),
            str(pyro.settings.get()), str(sorted(matplotlib.rcParams.items(), key=str))]
before = state()
import pyro_vds
print(json.dumps([before, state()]))
"""
    before, after = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert before == after
