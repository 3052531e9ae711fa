"""Independent copies of modules."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn


def copied[Module: nn.Module](module: Module, replaced: Mapping[int, Any] | None = None) -> Module:
    """Return an independent copy of a module, also of one that holds tensors which it has computed.

    ``copy.deepcopy`` refuses tensors with a history. Modules keep such tensors as attributes: the hooks of
    ``torch.nn.utils.weight_norm`` and ``spectral_norm`` the weight of the last pass, others their last activations. The
    copy has their values, without the history; a hook replaces them in the next pass.

    Args:
        module: The module; it is not changed.
        replaced: What takes the place of objects in the copy, by their ``id``.
    """
    computed = {
        id(tensor): tensor.detach().clone()
        for child in module.modules()
        for tensor in _tensors(vars(child))
        if not tensor.is_leaf
    }
    return copy.deepcopy(module, computed | dict(replaced or {}))


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in a container, and in the containers in it."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple | set):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _tensors(entry)
