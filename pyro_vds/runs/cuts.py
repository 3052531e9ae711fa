"""Conversion of architectures between text, values from JSON, and labels."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any


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


def as_labels(axes: Mapping[str, Sequence[Hashable]], cut: Mapping[str, Any]) -> dict[str, Hashable]:
    """Return the labels for values that are labels or the text of labels.

    Args:
        axes: The labels of each axis of a model, ``model.coords``.
        cut: A value for some of the axes.

    Raises:
        ValueError: If there is no such axis, or the axis has no such label.
    """
    for axis in cut:
        if axis not in axes:
            raise ValueError(f"Expected a model with an axis {axis!r} to cut, got axes {list(axes)}.")
    return {axis: _label(axis, tuple(axes[axis]), value) for axis, value in cut.items()}


def cut_text(cut: Mapping[str, Hashable]) -> str:
    """Return an architecture as text, such as ``depth 3, width 16``."""
    return ", ".join(f"{axis} {label}" for axis, label in cut.items())


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
    if isinstance(label, int | float) and not isinstance(label, bool):
        try:
            return float(text) == label
        except ValueError:
            return False
    return text == str(label)
