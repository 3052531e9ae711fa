"""The public names, the direction of imports, and importing without side effects."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pyro_vds as vds
from tests.api import SNAPSHOT

PACKAGE = Path(vds.__file__).parent
# Each line may import from the lines above it, not from its own or those below.
LAYERS = [
    ["typing", "randomness", "expectation", "freezing", "canvas"],
    [
        "prior",
        "likelihoods",
        "nested",
        "normalisation",
        "batches",
        "calibration",
        "splits",
        "history",
        "diagnostics",
        "intervals",
    ],
    [
        "hierarchical",
        "learnt_priors",
        "backbones",
        "images",
        "npz",
        "tables",
        "replicated",
        "resampling",
        "temperature",
        "corruptions",
    ],
    ["priors", "datasets", "width"],
    ["model"],
    ["guides", "choice", "precision", "validation", "adapted"],
    ["adaptive", "costs", "elbo", "unstack", "vision"],
    ["memory", "predictive", "networks"],
    ["steps", "uncertainty", "moments"],
    ["loop", "bands"],
    ["training", "pruning", "posterior", "comparison"],
    ["plots", "settings", "gap"],
    ["runs", "evaluation", "summary", "diagnostic_plots"],
    ["page", "sensitivity", "run_figures"],
    ["fit_command", "run_commands"],
    ["cli"],
]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "pyro_vds":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyro_vds."):
            found.add((node.module or "").split(".")[1])
    return found


def test_every_module_has_a_layer():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert modules == {name for layer in LAYERS for name in layer}


def test_imports_go_one_way():
    above: set[str] = set()
    for layer in LAYERS:
        for name in layer:
            wrong = imports(PACKAGE / f"{name}.py") - above
            assert not wrong, f"{name} imports {wrong} from its own layer or below"
        above |= set(layer)


def test_few_modules_import_arviz():
    users = {p.stem for p in PACKAGE.glob("*.py") if "import arviz" in p.read_text()}
    assert users == {"posterior", "comparison", "diagnostic_plots"}


def test_modules_stay_small():
    long = {p.name: n for p in PACKAGE.glob("*.py") if (n := p.read_text().count("\n")) > 400}
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
