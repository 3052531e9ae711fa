"""An extension of griffe: the roles of Sphinx in docstrings become links of mkdocs."""

import re
from pathlib import Path
from pkgutil import resolve_name
from types import FunctionType, ModuleType
from typing import Any

import griffe

import pyro_vds as vds

ROLE = re.compile(r":(?:func|class|meth|attr|data|mod|exc|obj):`([\w.]+)`")
REFERENCE = Path(__file__).parents[1] / "reference"


def described(name: str) -> dict[str, object]:
    """Return what a line ``::: name`` of a page describes: the members of a package, by where each is defined.

    A package may load its names late, and a function may have the name of its module; griffe finds an object where it
    is defined.
    """
    found = resolve_name(name)
    if not isinstance(found, ModuleType):
        return {name: found}
    members = {member: getattr(found, member) for member in getattr(found, "__all__", vars(found))}
    return {
        f"{value.__module__}.{value.__qualname__}"
        if isinstance(value, type | FunctionType) and value.__module__.startswith("pyro_vds")
        else f"{name}.{member}": value
        for member, value in members.items()
        if not isinstance(value, ModuleType | str)
    }


def documented() -> dict[int, str]:
    """Return where each object is described on the pages of the reference, by its identity."""
    found: dict[int, str] = {}
    for page in sorted(REFERENCE.glob("*.md")):
        for name in re.findall(r"^::: (\S+)", page.read_text(), re.M):
            found[id(resolve_name(name))] = name
            found |= {id(value): path for path, value in described(name).items()}
    return found


def named(name: str) -> object:
    """Return the object with a dotted name; of a module and its function of the same name, the function."""
    found = resolve_name(name)
    return getattr(found, name.rpartition(".")[2], found) if isinstance(found, ModuleType) else found


class Roles(griffe.Extension):
    """Rewrites docstrings before they are parsed."""

    def __init__(self) -> None:
        super().__init__()
        self.documented = documented()
        if absent := [name for name in vds.__all__ if id(getattr(vds, name)) not in self.documented]:
            raise ValueError(f"Expected every public name on a page of docs/reference, found none of {absent}.")

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Turn ``:func:`pyro_vds.fit``` into a link to the page that describes it, and ``::`` into ``:``."""
        if obj.docstring is None:
            return
        scopes = ["", f"{obj.path}.", f"{obj.parent.path}." if obj.parent else "", f"{obj.module.path}."]
        text = ROLE.sub(lambda match: self._link(match[1], scopes), obj.docstring.value)
        obj.docstring.value = text.replace("::\n\n", ":\n\n")

    def _link(self, name: str, scopes: list[str]) -> str:
        """Return a link to an object, by the first scope in which its name means something."""
        for scope in scopes:
            head, tail = scope + name, ""
            while head:
                try:
                    path = self.documented.get(id(named(head)))
                    named(scope + name)
                except (ImportError, AttributeError, ValueError):
                    path = None
                if path:
                    return f"[`{name}`][{path}{tail}]"
                head, _, last = head.rpartition(".")
                tail = f".{last}{tail}"
        return f"`{name}`"
