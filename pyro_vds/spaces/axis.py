"""An axis: one latent choice about the network itself, such as its depth or its width."""

from collections.abc import Hashable
from dataclasses import dataclass
from numbers import Integral

RESERVED = ("data", "obs", "replicate")


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
        labels: The labels of the entries, in order: depths, widths, names of operations.
        plate: ``None`` for one choice for all inputs; :data:`DATA` for a choice for each input.
        read_out: Whether the network returns the outputs of every entry at once, along a leading dimension.
        nested: Whether an entry contains all entries below it, as a depth does: a network cut to entry ``k`` still
            computes the entries ``0..k``.

    Raises:
        ValueError: If the name cannot be the name of a site, there are no labels, or a label occurs twice.
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
                "Expected the name of an axis as an identifier other than the names of the model's other sites "
                f"({', '.join(RESERVED)}), got {self.name!r}."
            )
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
        if all(_is_whole(own) for own in self.labels) and not _is_whole(label):
            raise TypeError(f"Expected {self.name} as an int, got {label!r}.")
        matches = [i for i, own in enumerate(self.labels) if own == label and isinstance(own, bool) == _is_bool(label)]
        if not matches:
            raise ValueError(f"Expected a {self.name} in {self._range()}, got {label!r}.")
        return matches[0]

    def _range(self) -> str:
        counted = len(self) > 1 and [repr(label) for label in self.labels] == [str(i) for i in range(len(self))]
        return f"0..{self.labels[-1]}" if counted else str(list(self.labels))


def _is_bool(label: Hashable) -> bool:
    return isinstance(label, bool)


def _is_whole(label: Hashable) -> bool:
    return isinstance(label, Integral) and not isinstance(label, bool)
