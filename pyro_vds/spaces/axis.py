"""An axis: one latent choice about the network itself, such as its depth or its width."""

from collections.abc import Hashable
from dataclasses import dataclass
from numbers import Integral

RESERVED = ("data", "obs", "replicate")


@dataclass(frozen=True)
class Plate:
    """Where the choices of an axis lie, if there is more than one.

    Args:
        name: Name of the Pyro plate.
        size: Number of its members; ``None`` where the data say it.
    """

    name: str
    size: int | None = None


DATA = Plate("data")
"""The plate of data: each input has a choice of its own."""


@dataclass(frozen=True)
class Axis:
    """The entries that an architecture latent can take.

    Args:
        name: Name of the Pyro site; also the key of its prior and of its probabilities, and the xarray dimension.
        labels: What the entries stand for, in order: depths, widths, names of operations.
        plate: ``None`` where one choice holds for all; :data:`DATA` where each input has its own.
        read_out: Whether the network returns the outputs of every entry at once, along a leading dimension.
        nested: Whether an entry contains those below it, as a depth does: a network cut to entry ``k`` still computes
            the entries ``0..k``.

    Raises:
        ValueError: If the name cannot be that of a site, or there are no labels or a label twice.
    """

    name: str
    labels: tuple[Hashable, ...]
    plate: Plate | None = None
    read_out: bool = True
    nested: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if not self.name.isidentifier() or self.name in RESERVED:
            raise ValueError(
                f"Expected a name of an axis that is an identifier and none of {', '.join(RESERVED)}, which are other "
                f"sites of the model; got {self.name!r}."
            )
        if not self.labels or len(set(self.labels)) != len(self.labels):
            raise ValueError(f"Expected different labels for axis {self.name!r}, at least one, got {self.labels}.")

    def __len__(self) -> int:
        return len(self.labels)

    def index(self, label: Hashable) -> int:
        """Return the position of a label.

        Args:
            label: A depth, a width, the name of an operation.

        Raises:
            TypeError: If the labels are whole numbers and this is not one.
            ValueError: If the axis has no such label.
        """
        if all(_is_whole(one) for one in self.labels) and not _is_whole(label):
            raise TypeError(f"Expected {self.name} as an int, got {label!r}.")
        found = [i for i, one in enumerate(self.labels) if one == label and isinstance(one, bool) == _is_bool(label)]
        if not found:
            raise ValueError(f"Expected a {self.name} in {self._range()}, got {label!r}.")
        return found[0]

    def _range(self) -> str:
        counted = len(self) > 1 and [repr(label) for label in self.labels] == [str(i) for i in range(len(self))]
        return f"0..{self.labels[-1]}" if counted else str(list(self.labels))


def _is_bool(label: Hashable) -> bool:
    return isinstance(label, bool)


def _is_whole(label: Hashable) -> bool:
    return isinstance(label, Integral) and not isinstance(label, bool)
