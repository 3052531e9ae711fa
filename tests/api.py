"""The public names with their signatures: ``python -m tests.api`` writes them to ``tests/api.txt``."""

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pyro_vds as vds

SNAPSHOT = Path(__file__).with_name("api.txt")


def snapshot() -> str:
    """Return a line for each public function, class and method."""
    lines = [line for name in sorted(vds.__all__) for line in _described(name, getattr(vds, name))]
    return "\n".join(lines) + "\n"


def _described(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, ModuleType):
        for member in sorted(_members(value)):
            yield from _described(f"{name}.{member}", getattr(value, member))
    elif inspect.isclass(value):
        yield f"class {name}{_signature(value)}"
        for member, inner in sorted(_own(value).items()):
            if isinstance(inner, property | cached_property):
                yield f"{name}.{member}: property"
            elif inspect.isfunction(inner) or isinstance(inner, classmethod):
                yield f"{name}.{member}{_signature(getattr(value, member))}"
    elif callable(value):
        yield f"{name}{_signature(value)}"


def _members(module: ModuleType) -> list[str]:
    """Return the public names that a module makes, not those that it takes from elsewhere."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def _own(value: type) -> dict[str, Any]:
    """Return the public members of a class that the package defines, inherited ones too."""
    ours = [base for base in reversed(value.__mro__) if base.__module__.startswith("pyro_vds")]
    return {n: member for base in ours for n, member in vars(base).items() if not n.startswith("_")}


def _signature(value: Any) -> str:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    text = re.sub(r"(<[^>]*?)( at 0x[0-9a-f]+)?>", r"\1>", str(signature))
    # Where a name lives does not matter, only what it is called; a class that is imported late is quoted.
    text = re.sub(r"-> '((?:[A-Za-z_]\w*\.)+\w+)'", r"-> \1", text)
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", text)


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot())
