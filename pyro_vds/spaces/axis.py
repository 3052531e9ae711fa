"""An axis: one latent choice about the network itself, such as its depth or its width."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from keyword import iskeyword
from numbers import Integral
from typing import Any

import numpy as np
from torch import Tensor, nn

SITES = ("data", "obs", "replicate")
# A cut is a keyword beside these parameters of predictions; a DataTree has dimensions and variables of these names.
PARAMETERS = ("self", "model", "guide", "x", "y", "ensemble", "batch_size", "weights", "disagreement")
IN_A_TREE = ("chain", "draw", "obs_id", "epoch", "log_q", "log_prior", "log_exact_posterior", "log_likelihood")
RESERVED = (*SITES, *PARAMETERS, *IN_A_TREE)


@dataclass(frozen=True)
class Plate:
    """A Pyro plate in which an axis has a choice at each of many sites, such as the edges of a graph.

    Args:
        name: Name of the Pyro plate, also the xarray dimension of its sites.
        size: Number of sites; ``None`` if the data determine it.
        labels: A label for each site, such as ``"0->1"``; ``()`` counts them from 0.

    Raises:
        ValueError: If the name is taken, the size is not positive, or there are labels of another number, or one twice.
    """

    name: str
    size: int | None = None
    labels: tuple[Hashable, ...] = ()

    def __post_init__(self) -> None:
        if self.size is None:
            return
        if self.name in (*SITES, "architecture", *IN_A_TREE):
            raise ValueError(
                f"Expected a name of a plate other than the plates of the model and the names in a DataTree, got "
                f"{self.name!r}. Take another name, such as {self.name + '_'!r}."
            )
        if self.size < 1:
            raise ValueError(f"Expected a plate {self.name!r} of at least one site, got {self.size}.")
        labels = tuple(self.labels) or tuple(range(self.size))
        if len(set(labels)) != self.size or len(labels) != self.size:
            raise ValueError(f"Expected {self.size} different labels for plate {self.name!r}, got {labels}.")
        object.__setattr__(self, "labels", labels)


DATA = Plate("data")
"""The plate of the data: each input has its own choice."""


@dataclass(frozen=True)
class Axis:
    """The entries that an architecture latent can take.

    Args:
        name: Name of the Pyro site; also the key of its prior and of its probabilities, and the xarray dimension.
        labels: The labels of the entries, in order: depths, widths, names of operations. An array becomes numbers.
        plate: ``None`` for one choice for all inputs; :data:`DATA` for a choice for each input; a plate with a size for
            a choice at each of its sites.
        read_out: Whether the network computes the outputs of every entry in one pass. ``False`` for an axis with
            sites, whose network runs the architectures that it is given, with ``at``.
        nested: Whether an entry contains all entries below it, as a depth does: a network cut to entry ``k`` still
            computes the entries ``0..k``.

    Raises:
        TypeError: If the name is not text, or the labels are not several hashable values.
        ValueError: If the name cannot be the name of a site or is taken, there are no labels, a label occurs twice, or
            an axis with sites is nested or read out.
    """

    name: str
    labels: tuple[Hashable, ...]
    plate: Plate | None = None
    read_out: bool = True
    nested: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)
        object.__setattr__(self, "labels", _checked_labels(self.name, self.labels))
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"Expected one or more different labels for axis {self.name!r}, got {self.labels}.")
        if self.has_sites and (self.nested or self.read_out):
            raise ValueError(f"Expected read_out=False and nested=False for axis {self.name!r} with sites, got {self}.")

    @property
    def has_sites(self) -> bool:
        """Whether there is a choice at each site of a plate, such as the edges of a graph."""
        return self.plate is not None and self.plate.size is not None

    @property
    def sites(self) -> int:
        """The number of choices, 1 without sites."""
        return 1 if self.plate is None or self.plate.size is None else self.plate.size

    @property
    def entries(self) -> int:
        """The number of entries of a table over the axis, ``len(axis) ** sites``."""
        return len(self) ** self.sites

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, label: Any) -> int:
        """Return the position of a label; with sites, that of a label for each site in a table over all of them.

        Args:
            label: A depth, a width, the name of an operation; with sites, a sequence of labels, the last site varies
                fastest.

        Raises:
            TypeError: If all labels are whole numbers and ``label`` is not, or no sequence for an axis with sites.
            ValueError: If the axis has no such label, or another number of sites.
        """
        if not self.has_sites:
            return self._entry(label)
        position = 0
        for entry in self.choices(label):
            position = position * len(self) + entry
        return position

    def choices(self, labels: Any) -> list[int]:
        """Return the position of the label of each site.

        Args:
            labels: A label for each site, in order.

        Raises:
            TypeError: If they are no sequence.
            ValueError: If their number is another one, or a label is unknown.
        """
        labels = labels.tolist() if isinstance(labels, Tensor | np.ndarray) else labels
        if isinstance(labels, str) or not isinstance(labels, Iterable):
            raise TypeError(f"Expected a {self.name} for each of {self.sites} sites, got {labels!r}.")
        labels = list(labels)
        if len(labels) != self.sites:
            raise ValueError(f"Expected a {self.name} for each of {self.sites} sites, got {len(labels)}: {labels}.")
        if all(map(_is_bool, self.labels)) and all(label in (0, 1) for label in labels):
            labels = [bool(label) for label in labels]  # gates are 0 and 1 in a DataTree
        return [self._entry(label) for label in labels]

    def label(self, position: int) -> Hashable:
        """Return the label at a position of the table; with sites, a tuple with the label of each.

        Args:
            position: The position, in ``0..entries - 1``.
        """
        if not self.has_sites:
            return self.labels[position]
        digits = [position // len(self) ** power % len(self) for power in reversed(range(self.sites))]
        return tuple(self.labels[digit] for digit in digits)

    def _entry(self, label: Hashable) -> int:
        """Return the position of a label of one site."""
        label = _plain(label)
        if all(_is_whole(own) for own in self.labels) and not _is_whole(label):
            raise TypeError(f"Expected {self.name} as an int, got {label!r}.")
        matches = [i for i, own in enumerate(self.labels) if own == label and isinstance(own, bool) == _is_bool(label)]
        if not matches:
            raise ValueError(f"Expected a {self.name} in {self._range()}, got {label!r}.")
        return matches[0]

    def _range(self) -> str:
        counted = len(self) > 1 and [repr(label) for label in self.labels] == [str(i) for i in range(len(self))]
        return f"0..{self.labels[-1]}" if counted else str(list(self.labels))


def _check_name(name: str) -> None:
    """Raise unless an axis can have a name."""
    if not isinstance(name, str):
        raise TypeError(f"Expected the name of an axis as a str, got {name!r}.")
    if not name.isidentifier() or iskeyword(name) or name in RESERVED:
        raise ValueError(
            f"Expected a name of an axis that is an identifier and none of {', '.join(RESERVED)}, which are sites of "
            f"the model, parameters of predictions and variables of a DataTree; got {name!r}."
        )
    if hasattr(nn.ParameterDict, name) or name == "training":
        raise ValueError(
            "Expected a name of an axis other than the attributes of torch.nn.ParameterDict, which holds the logits of "
            f"a guide; got {name!r}. Take another name, such as {name + '_'!r}."
        )


def _checked_labels(name: str, labels: Any) -> tuple[Hashable, ...]:
    """Return labels as a tuple, numbers of NumPy and torch as numbers of Python."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise TypeError(f"Expected the labels of axis {name!r} as a tuple, got {labels!r}.")
    found = tuple(_plain(label) for label in labels)
    if not all(isinstance(label, Hashable) for label in found):
        raise TypeError(f"Expected hashable labels for axis {name!r}, got {found}.")
    return found


def _plain(label: Any) -> Any:
    """Return a number of NumPy or torch as one of Python, and anything else as it is."""
    scalar = isinstance(label, np.generic) or (isinstance(label, Tensor) and label.ndim == 0)
    return label.item() if scalar else label


def _is_bool(label: Hashable) -> bool:
    return isinstance(label, bool)


def _is_whole(label: Hashable) -> bool:
    return isinstance(label, Integral) and not isinstance(label, bool)
