"""The types of options in words, and the names that each can have."""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from inspect import isabstract, isclass, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from torch import optim
from torch.optim import lr_scheduler

from pyro_vds.priors.base import Prior
from pyro_vds.priors.families import PRIORS

WORDS: dict[Any, tuple[str, str]] = {
    bool: ("true | false", "true or false"),
    int: ("INT", "a whole number"),
    float: ("NUMBER", "a number"),
    str: ("TEXT", "a text"),
    Path: ("PATH", "a path"),
}
ENTRIES = {
    int: ("[INT, ...]", "a list of whole numbers, such as [4, 8]"),
    float: ("[NUMBER, ...]", "a list of numbers"),
}
LISTED = ("[WORD, ...]", "a list of words, such as [none, skip_connect]")


def variants(kind: Any) -> list[Any]:
    """Return the types of a union without ``None``, or the type itself.

    Args:
        kind: A type.
    """
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return [part for part in parts if part is not NoneType]


def takes_none(kind: Any) -> bool:
    """Return whether an option of a type may be left unset."""
    return NoneType in get_args(kind)


def short(kind: Any) -> str:
    """Return a type as the help shows it, such as ``95 | argmax | expected``.

    Args:
        kind: The type of an option.
    """
    return " | ".join(_short(part) for part in variants(kind))


def in_words(kind: Any) -> str:
    """Return what a value must be, such as ``a whole number`` or ``one of ema, swa``.

    Args:
        kind: The type of an option.
    """
    known = names(kind)
    if known:
        others = any(_class(part) in (optim.Optimizer, lr_scheduler.LRScheduler) for part in variants(kind))
        return f"one of {', '.join(known)}{', or the path of another class' if others else ''}"
    parts = variants(kind)
    return " or ".join(_of_values(part)[1] for part in [part for part in parts if part in WORDS] or parts)


def names(kind: Any) -> list[str]:
    """Return the names that a value can have, empty for numbers and texts.

    Args:
        kind: The type of an option.
    """
    found = []
    for part in variants(kind):
        cls = _class(part)
        if get_origin(part) is Literal:
            found += [str(value) for value in get_args(part)]
        elif cls is not None:
            found += list(classes(cls))
    return found


def classes(base: type) -> dict[str, type]:
    """Return the classes by which an option can be filled: the priors, or the optimisers or schedules of torch.

    Args:
        base: The class of the option's values.
    """
    if base is Prior:
        return dict(PRIORS)
    home = lr_scheduler if issubclass(base, lr_scheduler.LRScheduler) else optim
    found = {name: value for name, value in vars(home).items() if isclass(value) and not name.startswith("_")}
    return {n: value for n, value in sorted(found.items()) if issubclass(value, base) and value is not base} or {
        base.__name__: base
    }


def arguments(cls: type) -> dict[str, Any]:
    """Return the arguments of a class with their types.

    Args:
        cls: A prior, an optimiser or a schedule.
    """
    if is_dataclass(cls):
        hints = get_type_hints(cls)
        return {field.name: hints[field.name] for field in fields(cls)}
    made_for_us = ("params", "optimizer")
    return {name: p.annotation for name, p in signature(cls).parameters.items() if name not in made_for_us}


def class_of(kind: Any, name: str) -> type | None:
    """Return the class of a name, possibly with its modules, among those that an option can be filled by.

    Args:
        kind: The type of the option.
        name: Such as ``Poisson`` or ``torch.optim.AdamW``.
    """
    known: dict[str, type] = {}
    for part in variants(kind):
        base = _class(part)
        known |= {} if base is None else classes(base)
    return known.get(name.rpartition(".")[2])


def closest(word: str, known: Sequence[str], sign: str = "") -> str:
    """Return `` Did you mean ...?`` with the closest known word, or nothing.

    Args:
        word: What was written.
        known: The words there are.
        sign: What to write before the word, such as ``--``.
    """
    folded = {name.casefold(): name for name in known}
    near = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    near = near or [name for name in folded if len(word) > 2 and name.startswith(word.casefold())][:1]
    return f" Did you mean {sign}{folded[near[0]]}?" if near else ""


def _short(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    cls = _class(kind)
    return _of_values(kind)[0] if cls is None else cls.__name__.removeprefix("LR").upper()


def _of_values(kind: Any) -> tuple[str, str]:
    """Return the words for a type without names."""
    if get_origin(kind) in (tuple, Sequence):
        return ENTRIES.get(get_args(kind)[0], LISTED)
    return WORDS.get(kind, ("VALUE", f"a {getattr(kind, '__name__', kind)}"))


def _class(kind: Any) -> type | None:
    """Return the class of the values of an option that is filled by the name of a class, otherwise ``None``."""
    if get_origin(kind) in (Callable, get_origin(Callable[[Any], Any])):
        return get_args(kind)[-1]
    return kind if isclass(kind) and get_origin(kind) is None and (isabstract(kind) or is_dataclass(kind)) else None
