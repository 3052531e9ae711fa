"""An extension of griffe: the roles of Sphinx in docstrings become links of mkdocs."""

import re
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType
from typing import Any

import griffe

ROLE = re.compile(r":(?:func|class|meth|attr|data|mod|exc|obj):`([\w.]+)`")
REFERENCE = Path(__file__).parents[1] / "reference"


def documented() -> dict[int, str]:
    """Return where each object is described on the pages of the reference, by its identity.

    A function whose module has its name, such as ``fit``, has a line of its own there: griffe takes the name for the
    module.
    """
    names = [n for page in sorted(REFERENCE.glob("*.md")) for n in re.findall(r"^::: (\S+)", page.read_text(), re.M)]
    found: dict[int, str] = {}
    for name in names:
        described = resolve_name(name)
        found[id(described)] = name
        if isinstance(described, ModuleType):
            members = getattr(described, "__all__", vars(described))
            found |= {id(getattr(described, member)): f"{name}.{member}" for member in members}
    return found | {id(resolve_name(name)): name for name in names}


def named(name: str) -> object:
    """Return the object with a dotted name; of a module and its function of the same name, the function."""
    found = resolve_name(name)
    return getattr(found, name.rpartition(".")[2], found) if isinstance(found, ModuleType) else found


class Roles(griffe.Extension):
    """Rewrites docstrings before they are parsed."""

    def __init__(self) -> None:
        super().__init__()
        self.documented = documented()

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
