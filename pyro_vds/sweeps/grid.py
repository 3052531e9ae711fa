"""Scans as data: the settings that a sweep goes through, and the name under which the result of each is kept."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

Form = Literal["tiny", "cpu", "paper"]


@dataclass(frozen=True)
class Resources:
    """How settings are run, which does not change what they are.

    Attributes:
        device: Where to train.
        data_root: Folder of the image data sets.
        compile: Whether training steps are compiled.
    """

    device: torch.device
    data_root: str = "data"
    compile: bool = False


# Maps the values of a setting, its number of repeats and the machine to what is measured, which JSON can hold.
Measure = Callable[[Mapping[str, Any], int, Resources], dict[str, Any]]


@dataclass(frozen=True)
class Trial:
    """One setting of a scan, with its repeats.

    Attributes:
        varied: What the scan varies.
        values: Everything that differs from the defaults of :class:`pyro_vds.runs.Settings`.
        repeats: How often it is run, with consecutive seeds.
    """

    varied: Mapping[str, Any]
    values: Mapping[str, Any]
    repeats: int

    @property
    def digest(self) -> str:
        """Tells all settings, and the number of repeats, apart."""
        everything = json.dumps([dict(self.values), self.repeats], sort_keys=True, default=repr)
        return hashlib.sha256(everything.encode()).hexdigest()[:8]

    @property
    def key(self) -> str:
        """The name of its result: what is varied, to read, and the digest, to tell forms apart."""
        varied = ",".join(f"{name}={value}" for name, value in self.varied.items())
        return f"{re.sub(r'[^A-Za-z0-9_.,=]+', '-', varied).strip('-')}-{self.digest}"


@dataclass(frozen=True)
class Grid:
    """The settings of one form of an experiment.

    Attributes:
        points: What is varied; see :func:`product`.
        base: What all settings share.
        repeats: Runs of each setting, with consecutive seeds.
        compile: Whether the training step is compiled. It pays where a setting has thousands of steps or an
            accelerator; convolutions on a CPU are faster without.
    """

    points: Sequence[Mapping[str, Any]]
    base: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 1
    compile: bool = False

    def trials(self) -> list[Trial]:
        """Return the settings in order."""
        return [Trial(point, {**self.base, **point}, self.repeats) for point in self.points]

    def on(self, names: Sequence[str]) -> "Grid":
        """Return the same grid on other data sets.

        Args:
            names: Names of the data sets.

        Raises:
            ValueError: If the grid is not about data sets.
        """
        if not all("data" in point for point in self.points):
            raise ValueError("Expected an experiment that goes through data sets for --data, got one of spirals.")
        others: list[dict[str, Any]] = []
        for point in self.points:
            other = {name: value for name, value in point.items() if name != "data"}
            others += [] if other in others else [other]
        return replace(self, points=product({"data": names}, others))


@dataclass(frozen=True)
class Scan:
    """An experiment: its settings in each form, and what is measured of each.

    Attributes:
        measure: Maps the values of a setting, its number of repeats and the machine to its result.
        paper: The full sizes, those of a paper.
        tiny: A form of seconds that only shows that it runs.
        cpu: A reduced form for a machine without accelerator; ``None`` where the full sizes suit one.
    """

    measure: Measure
    paper: Grid
    tiny: Grid
    cpu: Grid | None = None

    def grid(self, form: Form) -> Grid:
        """Return the settings of a form."""
        return {"paper": self.paper, "tiny": self.tiny, "cpu": self.cpu or self.paper}[form]


def product(*factors: Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return all combinations: of the values of each name, and of cases that are listed as they are.

    Args:
        factors: Values by name, ``{"max_depth": range(5)}``, or cases, ``[{"readout": "last"}, ...]``.
    """
    lists: list[list[dict[str, Any]]] = []
    for factor in factors:
        if isinstance(factor, Mapping):
            lists += [[{name: value} for value in values] for name, values in factor.items()]
        else:
            lists.append([dict(case) for case in factor])
    return [{k: v for part in parts for k, v in part.items()} for parts in itertools.product(*lists)]
