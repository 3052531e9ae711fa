"""Conversion of architectures between text, values from JSON, and labels."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from pyro_vds.spaces.axis import Axis

BETWEEN_SITES = "/"


def parse_cut(text: str) -> dict[str, str]:
    """Return the text of each label in an option such as ``depth=3,width=16``, by axis.

    Args:
        text: Names and labels.

    Raises:
        ValueError: If a part is not a name and a label, or a name occurs twice.
    """
    pairs = [tuple(word.strip() for word in part.partition("=")) for part in text.split(",")]
    cut = {axis: label for axis, _, label in pairs}
    if len(cut) < len(pairs) or not all(all(pair) for pair in pairs):
        raise ValueError(f"Expected different axes with labels, such as depth=3,width=16, got {text!r}.")
    return cut


def as_labels(axes: Mapping[str, Axis], cut: Mapping[str, Any]) -> dict[str, Hashable]:
    """Return the labels for values that are labels or the text of labels.

    Args:
        axes: The axes of a model, ``model.space``.
        cut: A value for some of the axes. For an axis with sites a list with a value for each, or the text that
            :func:`cut_text` writes: ``1101`` for gates, ``none/skip/none`` for names.

    Raises:
        ValueError: If there is no such axis, the axis has no such label, or another number of sites.
    """
    for axis in cut:
        if axis not in axes:
            raise ValueError(f"Expected a model with an axis {axis!r} to cut, got axes {list(axes)}.")
    return {name: _labels(axes[name], value) for name, value in cut.items()}


def cut_text(cut: Mapping[str, Hashable]) -> str:
    """Return an architecture as text, such as ``depth 3, width 16``, ``gate 1101`` or ``op none/skip/none``."""
    return ", ".join(f"{axis} {label_text(label)}" for axis, label in cut.items())


def label_text(label: Any) -> str:
    """Return a label as text; the labels of all sites as one word, with 1 and 0 for gates.

    Args:
        label: A label, or a list with the label of each site.
    """
    if not isinstance(label, tuple | list):
        return str(label)
    if all(isinstance(part, bool) for part in label):
        return "".join("1" if part else "0" for part in label)
    return BETWEEN_SITES.join(map(str, label))


def _labels(axis: Axis, value: Any) -> Hashable:
    """Return the label of an axis, with sites a tuple with that of each."""
    if not axis.has_sites:
        return _label(axis.name, axis.labels, value)
    parts = value
    if isinstance(value, str):
        parts = value.split(BETWEEN_SITES) if BETWEEN_SITES in value else list(value)
    if not isinstance(parts, Sequence) or len(parts) != axis.sites:
        gates = axis.labels == (False, True)
        example = "1" * axis.sites if gates else BETWEEN_SITES.join([str(axis.labels[0])] * axis.sites)
        raise ValueError(f"Expected a {axis.name} for each of {axis.sites} sites, such as {example}, got {value}.")
    return tuple(_label(axis.name, axis.labels, part) for part in parts)


def _label(axis: str, labels: tuple[Hashable, ...], value: Any) -> Hashable:
    """Return the label of an axis for a value."""
    for label in labels:
        if value == label or _same_text(str(value), label):
            return label
    count = len(labels)
    known = f"0..{count - 1}" if labels == tuple(range(count)) else str(list(labels))
    raise ValueError(f"Expected a {axis} in {known}, got {value}.")


def _same_text(text: str, label: Hashable) -> bool:
    """Return whether a text is that of a label; numbers are compared as numbers, so that 0.50 is 0.5."""
    if isinstance(label, bool):
        return text in (str(label), str(int(label)))
    if isinstance(label, int | float):
        try:
            return float(text) == label
        except ValueError:
            return False
    return text == str(label)
