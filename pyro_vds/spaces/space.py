"""The space of architectures: its axes in order, and what happens to them when a network is cut."""

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pyro_vds.spaces.axis import DATA, Axis, Plate

Architecture = dict[str, Hashable]
"""A label for each axis, or for some of them: ``{"depth": 3, "width": 16}``."""

LIMIT = 65_536
"""The largest number of architectures whose table is computed."""


class Space(Mapping[str, Axis]):
    """Named axes, in the order of the leading dimensions of a network's outputs.

    A *cut* gives a label for some axes. A nested axis keeps the entries up to the label, since one pass computes
    them all, and the labelled entry takes over the probability of the entries above it (paper, section 2). Any other
    axis keeps only the labelled entry, which takes over all of the probability.

    Spaces are equal if their axes are, in the same order: tables of probabilities are laid out by it.

    Args:
        axes: The axes; empty for a network with a single architecture.

    Raises:
        TypeError: If an argument is not an axis.
        ValueError: If two axes or plates have the same name.
    """

    def __init__(self, axes: Iterable[Axis] = ()) -> None:
        axes = list(axes)
        if not all(isinstance(axis, Axis) for axis in axes):
            raise TypeError(f"Expected a list of axes, such as [pyro_vds.Axis('depth', (0, 1, 2))], got {axes}.")
        self._axes = {axis.name: axis for axis in axes}
        plates = [axis.plate.name for axis in axes if axis.plate is not None and axis.has_sites]
        names = [axis.name for axis in axes] + plates
        if len(set(names)) != len(names):
            raise ValueError(f"Expected axes of different names, and plates of others, got {names}.")

    def __getitem__(self, name: str) -> Axis:
        return self._axes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._axes)

    def __len__(self) -> int:
        return len(self._axes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and list(self.values()) == list(other.values())

    def __hash__(self) -> int:
        return hash(tuple(self.values()))

    def __repr__(self) -> str:
        return f"Space({list(self.values())})"

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of entries of each axis in a table; of an axis with sites, that of all their combinations."""
        return tuple(axis.entries for axis in self.values())

    @property
    def coords(self) -> dict[str, tuple[Hashable, ...]]:
        """The labels of each axis, those of one site if it has sites."""
        return {name: axis.labels for name, axis in self.items()}

    @property
    def count(self) -> int:
        """The number of architectures."""
        return math.prod(self.sizes)

    @property
    def plates(self) -> set[Plate]:
        """The plates of the axes."""
        return {axis.plate for axis in self.values() if axis.plate is not None}

    def in_plate(self, plate: Plate | None) -> "Space":
        """Return the same axes in a plate; axes with sites keep theirs.

        Args:
            plate: :data:`pyro_vds.DATA` for a choice for each input, ``None`` for one choice for all inputs.
        """
        return Space(axis if axis.has_sites else replace(axis, plate=plate) for axis in self.values())

    def architectures(self) -> Iterator[Architecture]:
        """Yield every architecture; the last axis varies fastest.

        Raises:
            ValueError: If there are more than 65,536.
        """
        self.require_table("to list", "Draw some with guide.sample.")
        return (self.architecture(flat) for flat in range(self.count))

    def architecture(self, flat: int) -> Architecture:
        """Return the architecture at a position in the order of :meth:`architectures`.

        Args:
            flat: The position.
        """
        architecture = {}
        for name, axis in list(self.items())[::-1]:
            flat, position = divmod(flat, axis.entries)
            architecture[name] = axis.label(position)
        return dict(reversed(architecture.items()))

    @property
    def read_out(self) -> "Space":
        """The axes whose entries the network computes in one pass."""
        return Space(axis for axis in self.values() if axis.read_out)

    @property
    def with_sites(self) -> "Space":
        """The axes with a choice at each site of a plate, such as the edges of a graph."""
        return Space(axis for axis in self.values() if axis.has_sites)

    def require_table(self, purpose: str, remedy: str) -> None:
        """Raise unless there are few enough architectures to compute all of them.

        Args:
            purpose: What they are needed for, such as ``"for an exact sum"``.
            remedy: What to do instead, as a sentence.

        Raises:
            ValueError: If there are more than 65,536 architectures.
        """
        if self.count > LIMIT:
            raise ValueError(f"Expected at most {LIMIT:,} architectures {purpose}, got {counted(self.count)}. {remedy}")

    def index(self, cut: Mapping[str, Hashable]) -> dict[str, int]:
        """Return the position of each label of a cut; an axis whose label is ``None`` is left out.

        Args:
            cut: A label for each axis that is cut.

        Raises:
            TypeError: If a label has the wrong type.
            ValueError: If there is no such axis, or it has no such label.
        """
        positions: dict[str, int] = {}
        for name, label in cut.items():
            if label is None:
                continue
            if name not in self:
                raise ValueError(f"Expected a model with an axis {name!r} to cut, got axes {list(self)}.")
            positions[name] = self[name].index(label)
        return positions

    def kept(self, cut: Mapping[str, Hashable]) -> slice | Tensor:
        """Return which of the flattened architectures a cut keeps, in the order of :meth:`fold`.

        Args:
            cut: A label for each axis that is cut.
        """
        index = self.index(cut)
        if not index:
            return slice(None)
        first = list(self)[:1]
        if list(index) == first and self[first[0]].nested:
            return slice((index[first[0]] + 1) * math.prod(self.sizes[1:]))
        numbers = torch.arange(self.count).reshape(self.sizes)
        for name, entry in index.items():
            first = 0 if self[name].nested else entry
            numbers = numbers.narrow(list(self).index(name), first, entry + 1 - first)
        return numbers.flatten()

    def fold(self, log_q: Float[Tensor, "..."], cut: Mapping[str, Hashable]) -> Float[Tensor, "..."]:
        """Move the probability of the architectures that a cut removes to the architectures that it keeps.

        Args:
            log_q: Log probabilities over the product of the axes, ``(*sizes, ...)``, nats.
            cut: A label for each axis that is cut.

        Returns:
            Log probabilities of the architectures that it keeps: a nested axis cut to entry ``k`` keeps ``k + 1``
            entries, any other axis that is cut keeps one.
        """
        for name, index in self.index(cut).items():
            dim = list(self).index(name)
            if self[name].nested:
                below, above = log_q.split([index, log_q.shape[dim] - index], dim)
                log_q = torch.cat([below, above.logsumexp(dim, keepdim=True)], dim)
            else:
                log_q = log_q.logsumexp(dim, keepdim=True)
        return log_q

    def check_stops(self, stops: Tensor) -> None:
        """Raise unless stops of inputs are entries of a single nested axis in the plate of data.

        Args:
            stops: The entry at which each input stops.

        Raises:
            TypeError: If they are not whole numbers.
            ValueError: If the axes are others, or an entry is out of range.
        """
        axes = list(self.values())
        if len(axes) != 1 or not axes[0].nested or axes[0].plate != DATA:
            raise ValueError(f"Expected a model with one nested axis and plate=DATA, to stop at; got {self}.")
        if stops.dtype == torch.bool or stops.is_floating_point() or stops.is_complex() or stops.ndim != 1:
            raise TypeError(f"Expected a vector of whole numbers as stops, got {stops.dtype}, {tuple(stops.shape)}.")
        if len(stops) and not (int(stops.min()) >= 0 and int(stops.max()) < len(axes[0])):
            raise ValueError(f"Expected stops in 0..{len(axes[0]) - 1}, got {int(stops.min())}..{int(stops.max())}.")

    def stop(
        self, log_q: Float[Tensor, "entries batch"], stops: Int[Tensor, " batch"]
    ) -> Float[Tensor, "entries batch"]:
        """Move the probability above each input's stop to the stop, along a single nested axis.

        Args:
            log_q: Log probability of each entry for each input, nats.
            stops: The entry at which each input stops, in ``0..len(axis) - 1``.

        Returns:
            Log probabilities of all entries, minus infinity above the stops.
        """
        entries = torch.arange(len(log_q), device=log_q.device)[:, None]
        below = entries < stops
        above = log_q.masked_fill(below, -torch.inf).logsumexp(0)
        return log_q.where(below, above.where(entries == stops, -torch.inf))


def counted(number: int) -> str:
    """Return a number in words that stay short: ``"1,024"``, ``"3.5e13"``."""
    return f"{number:,}" if number < 10**9 else f"{number:.1e}".replace("e+", "e")
