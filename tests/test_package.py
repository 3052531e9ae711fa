"""The public names, the direction of imports, and importing without side effects."""

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

import pyro_vds as vds
from tests.api import SNAPSHOT

PACKAGE = Path(vds.__file__).parent


def test_few_modules_import_arviz():
    users = {f"{p.parent.name}/{p.stem}" for p in PACKAGE.glob("*/*.py") if "import arviz" in p.read_text()}
    assert users == {
        "diagnostics/comparison",
        "diagnostics/files",
        "infer/datatree",
        "infer/site_tree",
        "plots/calibration",
    }


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))


def test_modules_stay_small():
    long = {p.name: n for p in PACKAGE.glob("**/*.py") if (n := p.read_text().count("\n")) > 250}
    assert not long


def test_bodies_stay_short():
    """Lines of a function without its docstring."""
    long = {}
    for path in PACKAGE.glob("**/*.py"):
        for node in functions(path):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno + 1 > 40:
                long[f"{path.name}:{node.name}"] = len(body)
    assert not long


def test_public_functions_have_few_parameters():
    """But for the estimators: scikit-learn copies and searches what stands in the signature of ``__init__``."""
    many = {}
    for path in set(PACKAGE.glob("**/*.py")) - {PACKAGE / "estimators" / "base.py"}:
        for node in functions(path):
            names = [a.arg for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")]
            if len(names) > 8 and not (node.name.startswith("_") and node.name != "__init__"):
                many[f"{path.name}:{node.name}"] = names
    assert not many


@pytest.mark.parametrize("word", ["depth", "width", "gate", "op"])
def test_only_the_makers_of_an_axis_know_its_name(word):
    """The names of axes stand in the networks that have them, and where settings and options speak of those."""
    makers = {"backbones", "datasets", "runs/settings", "runs/build", "cli/commands", "cli/options"}
    makers |= {"models/tabular"}  # which has no network that would name its axis
    makers |= {"metrics/calibration", "plots/calibration"}  # bins of equal width
    users = set()
    for path in PACKAGE.glob("*/*.py"):
        module = str(path.relative_to(PACKAGE).with_suffix(""))
        if not {module, path.parent.name} & makers:
            tree = ast.parse(path.read_text())
            texts = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            constants = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in texts)
            users |= {module for node in constants if node.value == word}
    assert not users


def test_all_is_sorted_and_complete():
    assert vds.__all__ == sorted(vds.__all__) == dir(vds)
    assert all(hasattr(vds, name) for name in vds.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        vds.nonsense  # noqa: B018


def test_version_is_that_of_the_installed_package():
    assert vds.__version__ == version("pyro-vds")


CORE = ("VDSModel", "ResidualMLP", "AutoCategorical", "fit", "enum_elbo", "exact_posterior", "predict_proba",
        "choose_depth", "prune", "priors", "likelihoods")  # fmt: skip
HEAVY = ("arviz", "arviz_stats", "xarray", "pandas", "matplotlib", "sklearn", "scipy", "torchvision", "jsonargparse",
         "jinja2", "psutil", "triton")  # fmt: skip


def test_what_is_heavy_is_imported_when_it_is_used():
    """Importing the package imports nothing, and training nothing heavy besides what torch and Pyro bring."""
    code = f"""
import json, sys
import pyro_vds as vds
alone = "torch" in sys.modules
import pyro
before = [name for name in {HEAVY} if name in sys.modules]
for name in {CORE}:
    getattr(vds, name)
print(json.dumps([alone, before, [name for name in {HEAVY} if name in sys.modules]]))
"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    alone, before, after = json.loads(output)
    assert not alone
    assert after == before
    assert "arviz" not in before


def test_modules_and_functions_of_one_name_do_not_hide_each_other():
    """The function is the public name, whichever is imported first."""
    code = """
import pyro_vds.infer.predict, pyro_vds.runs.execute, pyro_vds.pruning.prune, pyro_vds.calibration, pickle
import pyro_vds as vds
for function in (vds.predict, vds.runs.execute, vds.prune, vds.calibration.ece):
    assert pickle.loads(pickle.dumps(function)) is function
from pyro_vds.infer import predict
assert predict is vds.predict
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_and_signatures_are_the_recorded_ones():
    """Record a change that is meant with ``python -m tests.api``, and write it into CHANGELOG."""
    code = "from tests.api import snapshot; print(snapshot(), end='')"  # without the wrappers of the import hook
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert found == SNAPSHOT.read_text()


def test_public_modules_are_imported_by_their_public_names():
    modules = [name for name in vds.__all__ if isinstance(getattr(vds, name), ModuleType)]
    assert len(modules) >= 12
    for name in modules:
        assert importlib.import_module(f"pyro_vds.{name}") is getattr(vds, name)


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
