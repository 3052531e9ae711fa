"""Parameters in Pyro's global store, where ``pyro.infer.SVI`` looks for them."""

from collections import Counter
from weakref import WeakKeyDictionary

import pyro
from pyro.params.param_store import param_with_module_name
from torch import nn

from pyro_vds.ops.compat import collects_parameters

_NAMES: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
_COUNTS: Counter[str] = Counter()


def name_in_store(module: nn.Module) -> str:
    """Return the name of a module in Pyro's store, such as ``VDSModel_0``, the same as long as the module lives.

    The numbers count the modules of a class in the order in which they are asked for, and none is given twice: a copy
    of a module has a name of its own.

    Args:
        module: Any module.
    """
    if module not in _NAMES:
        kind = type(module).__name__
        _NAMES[module] = f"{kind}_{_COUNTS[kind]}"
        _COUNTS[kind] += 1
    return _NAMES[module]


def registers_parameters(module: nn.Module) -> bool:
    """Enter the parameters of a module that learn into Pyro's store, if a handler such as ``SVI`` collects them.

    The store then holds the very tensors of the module, so that a step of ``pyro.optim`` changes the module in place.
    Without such a handler the store stays as it is.

    Args:
        module: The module that runs.

    Returns:
        Whether a handler collects parameters.

    Raises:
        RuntimeError: If the store has other tensors under these names, or would keep a copy.
    """
    if not collects_parameters():
        return False
    store, name = pyro.get_param_store(), name_in_store(module)
    known = dict(store.named_parameters())
    learning = {
        param_with_module_name(name, key): parameter
        for key, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    for full, parameter in learning.items():
        if known.get(full, parameter) is not parameter:
            raise RuntimeError(
                f"Expected the parameters of {name} in Pyro's store, got another tensor as {full!r}: one that was "
                f"loaded, or that the module had before. Take those of the store with pyro.module({name!r}, module, "
                "update_module_params=True), or drop them with pyro.clear_param_store()."
            )
        if not parameter.is_contiguous():  # of such a tensor the store keeps a copy
            raise RuntimeError(
                f"Expected contiguous parameters for pyro.infer.SVI, got {full!r} with strides {parameter.stride()}. "
                "Use module.to(memory_format=torch.contiguous_format)."
            )
    for full, parameter in learning.items():
        pyro.param(full, parameter)
    return True
