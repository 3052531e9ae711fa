"""Every cross reference in the docstrings of the package points to a name that exists."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pyro_vds as vds

ROOT = Path(vds.__file__).parent.parent
REFERENCE = re.compile(r":(?:func|class|meth|data|attr|mod):`([^`]+)`")
CLASS = re.compile(r"^class (\w+)", re.MULTILINE)


def references() -> Iterator[tuple[str, str]]:
    """Yield the module and the target of every reference."""
    for path in sorted(ROOT.glob("pyro_vds/**/*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        yield from ((module, target) for target in sorted(set(REFERENCE.findall(path.read_text()))))


def found(target: str) -> bool:
    """Return whether a dotted name is a module, or can be reached from one by attributes."""
    parts = target.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for i, name in enumerate(parts[end:], start=end):
            if name in getattr(value, "__dataclass_fields__", {}) or name in getattr(value, "__annotations__", {}):
                return i == len(parts) - 1
            value = getattr(value, name, None)
            if value is None:
                return False
        return True
    return False


@pytest.mark.parametrize(("module", "target"), list(references()))
def test_a_reference_points_to_a_name_that_exists(module, target):
    source = Path(str(importlib.import_module(module).__file__)).read_text()
    scopes = [module, *(f"{module}.{name}" for name in CLASS.findall(source))]
    assert found(target) or any(found(f"{scope}.{target}") for scope in scopes)


def test_a_name_that_does_not_exist_is_noticed():
    assert found("pyro_vds.History.to_dataset")
    assert found("pyro_vds.spaces.axis.Axis.labels")
    assert not found("pyro_vds.History.to_table")
    assert not found("pyro_vds.intervals.no_such_pit")
    assert not found("pyro_vds.no_such_module")
