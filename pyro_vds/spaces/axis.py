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
    """A Pyro plate in which an axis has many independent choices.

    Args:
        name: Name of the Pyro plate.
        size: Size of the plate; ``None`` if the data determine it.
    """

    name: str
    size: int | None = None


DATA = Plate("data")
"""The plate of the data: each input has its own choice."""


@dataclass(frozen=True)
class Axis:
    """The entries that an architecture latent can take.

    Args:
        name: Name of the Pyro site; also the key of its prior and of its probabilities, and the xarray dimension.
        labels: The labels of the entries, in order: depths, widths, names of operations. An array becomes numbers.
        plate: ``None`` for one choice for all inputs; :data:`DATA` for a choice for each input.
        read_out: Whether the network returns the outputs of every entry at once, along a leading dimension.
        nested: Whether an entry contains all entries below it, as a depth does: a network cut to entry ``k`` still
            computes the entries ``0..k``.

    Raises:
        TypeError: If the name is not text, or the labels are not several hashable values.
        ValueError: If the name cannot be the name of a site or is taken, there are no labels, or a label occurs twice.
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

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, label: Hashable) -> int:
        """Return the position of a label.

        Args:
            label: A depth, a width, the name of an operation.

        Raises:
            TypeError: If all labels are whole numbers and ``label`` is not.
            ValueError: If the axis has no such label.
        """
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
