"""Scans: the settings of a sweep, and the names of their results."""

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
    """The machine and the options of a run, which are not part of its settings.

    Attributes:
        device: The device to train on.
        data_root: Folder of the image data sets.
        compile: Whether training steps are compiled.
    """

    device: torch.device
    data_root: str = "data"
    compile: bool = False


# Maps the values of a trial, its number of repeats and the resources to a result for JSON.
Measure = Callable[[Mapping[str, Any], int, Resources], dict[str, Any]]


@dataclass(frozen=True)
class Trial:
    """One setting of a scan, with its repeats.

    Attributes:
        varied: The settings that the scan varies.
        values: All settings that differ from the defaults of :class:`pyro_vds.runs.Settings`.
        repeats: Number of runs, with consecutive seeds.
    """

    varied: Mapping[str, Any]
    values: Mapping[str, Any]
    repeats: int

    @property
    def digest(self) -> str:
        """A hash of all settings and the number of repeats."""
        everything = json.dumps([dict(self.values), self.repeats], sort_keys=True, default=repr)
        return hashlib.sha256(everything.encode()).hexdigest()[:8]

    @property
    def key(self) -> str:
        """The name of the result: the varied settings, for readers, and the digest, which is unique."""
        varied = ",".join(f"{name}={value}" for name, value in self.varied.items())
        return f"{re.sub(r'[^A-Za-z0-9_.,=]+', '-', varied).strip('-')}-{self.digest}"


@dataclass(frozen=True)
class Grid:
    """The settings of one form of an experiment.

    Attributes:
        points: The varied settings; see :func:`product`.
        base: The settings that all points share.
        repeats: Number of runs of each point, with consecutive seeds.
        compile: Whether the training step is compiled. This is faster for thousands of steps or on an accelerator,
            but slower for convolutions on a CPU.
    """

    points: Sequence[Mapping[str, Any]]
    base: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 1
    compile: bool = False

    def trials(self) -> list[Trial]:
        """Return the trials in order."""
        return [Trial(point, {**self.base, **point}, self.repeats) for point in self.points]

    def on(self, names: Sequence[str]) -> "Grid":
        """Return the same grid on other data sets.

        Args:
            names: Names of the data sets.

        Raises:
            ValueError: If the grid does not vary the data set.
        """
        if not all("data" in point for point in self.points):
            raise ValueError("Expected an experiment over data sets for --data, got an experiment on spirals.")
        others: list[dict[str, Any]] = []
        for point in self.points:
            other = {name: value for name, value in point.items() if name != "data"}
            others += [] if other in others else [other]
        return replace(self, points=product({"data": names}, others))


@dataclass(frozen=True)
class Scan:
    """An experiment: its settings in each form, and its measure.

    Attributes:
        measure: Maps the values of a trial, its number of repeats and the resources to its result.
        paper: The full form, with the sizes of the paper.
        tiny: A form that takes seconds and only shows that the experiment runs.
        cpu: A reduced form for a machine without accelerator; ``None`` if the full form is small enough.
    """

    measure: Measure
    paper: Grid
    tiny: Grid
    cpu: Grid | None = None

    def grid(self, form: Form) -> Grid:
        """Return the settings of a form."""
        return {"paper": self.paper, "tiny": self.tiny, "cpu": self.cpu or self.paper}[form]


def product(*factors: Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return all combinations of the values of each name and of listed cases.

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
