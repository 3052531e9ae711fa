"""All uses of private attributes of torch and Pyro, in one place.

Each function says why it needs one; ``tests/ops/test_compat.py`` says what would break without it.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

import pyro
import torch
from pyro.infer import TraceEnum_ELBO
from pyro.poutine import Trace
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor, nn
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch.distributions import Distribution
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from pyro_vds.ops.tensors import at_least_float32

BatchNorm = _BatchNorm
"""What the batch norms of all dimensions have in common, which torch names for itself only."""


def hold(owner: nn.Module, name: str, child: nn.Module) -> None:
    """Make a module the child of a ``PyroModule``, without telling Pyro.

    An attribute would enter Pyro's global store of parameters, where two models would share them by name.
    """
    owner._modules[name] = child


def held(owner: nn.Module, name: str) -> Any:
    """Return a child of :func:`hold`; looking it up as an attribute would enter its parameters into the store."""
    return owner._modules[name]


def enumerated_traces(elbo: TraceEnum_ELBO, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
    """Return the traces of model and guide, with the guide's sites enumerated in parallel.

    Pyro hands them out only to the losses that derive from its own.
    """
    (traces,) = elbo._get_traces(model, guide, args, kwargs)
    return traces


def collects_parameters() -> bool:
    """Return whether a handler collects parameters for Pyro's global store, as ``pyro.infer.SVI`` does.

    Pyro has no public way to ask which handlers are active.
    """
    return any(getattr(handler, "param_only", False) for handler in _PYRO_STACK)


def is_enumerated(value: Tensor) -> bool:
    """Return whether Pyro made a value by enumerating the support of a ``Categorical``.

    Pyro marks it with an attribute of its own; looking at the values instead would wait for the device.
    """
    return hasattr(value, "_pyro_categorical_support")


class StaysFloat32(nn.Module):
    """A module whose own parameters and buffers have 32 bit or more, also after ``.half()`` or ``.bfloat16()``.

    Everything that changes the dtype of a module goes through this one method, which torch keeps to itself. Children
    change as usual.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "StaysFloat32":
        def kept(tensor: Tensor) -> Tensor:
            changed = fn(tensor)
            narrowed = changed.is_floating_point() and at_least_float32(changed) is not changed
            return at_least_float32(tensor).to(changed.device) if narrowed else changed

        for child in self.children() if recurse else ():
            child._apply(fn)
        super()._apply(kept, recurse=False)
        return self


class ParametersInFloat32(StaysFloat32, nn.ParameterDict):
    """Parameters by name that have 32 bit or more."""


@contextmanager
def checks_of_distributions() -> Iterator[None]:
    """Restore the argument checks of ``torch.distributions`` afterwards: the compiler turns them off for good.

    The current setting can only be read from a private attribute of the class.
    """
    validate = Distribution._validate_args
    try:
        yield
    finally:
        Distribution.set_default_validate_args(validate)


class _Unchecked:
    """How many blocks run without checks of arguments, and the settings to return to."""

    lock = Lock()
    blocks = 0
    settings = ExitStack()


@contextmanager
def without_checks_of_arguments() -> Iterator[None]:
    """Run without the argument checks of Pyro and ``torch.distributions``, which look at values.

    The settings are global: of several threads the first one turns the checks off, and the last one on again. The
    compiler traces without these checks anyway, and cannot follow a change of the setting.
    """
    if torch.compiler.is_dynamo_compiling():
        yield
        return
    with _Unchecked.lock:
        if not _Unchecked.blocks:
            _Unchecked.settings.enter_context(pyro.validation_enabled(False))
        _Unchecked.blocks += 1
    try:
        yield
    finally:
        with _Unchecked.lock:
            _Unchecked.blocks -= 1
            if not _Unchecked.blocks:
                _Unchecked.settings.close()


def fix_address(tensor: Tensor) -> None:
    """Tell the compiler that a tensor stays where it is, so that a CUDA graph need not copy it in."""
    torch._dynamo.mark_static_address(tensor)


def copy_tensors(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Copy many tensors at once, by a few kernels."""
    torch._foreach_copy_(targets, sources)


def in_place_changes(tensor: Tensor) -> int:
    """Return how often a tensor was changed in place; this shows whether a module overwrites its input.

    It is 0 where torch does not count: while it compiles or exports, and for tensors made in inference mode. Of a
    tensor under ``vmap`` it is the count of the tensor behind it, as ``vmap`` keeps none.
    """
    if torch.compiler.is_compiling() or tensor.is_inference():
        return 0
    while is_functorch_wrapped_tensor(tensor):
        tensor = get_unwrapped(tensor)
    return tensor._version


def is_compiled(module: nn.Module) -> bool:
    """Return whether a module is what ``torch.compile`` returns; its class can only be imported with the compiler."""
    return "_orig_mod" in module._modules


@contextmanager
def without_fused_attention() -> Iterator[None]:
    """Run attention as the products that it is made of, since ``vmap`` runs fused kernels copy by copy, and warns.

    The setting of the fast path is global, and not documented.
    """
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def without_fused_layers() -> Iterator[None]:
    """Run attention and recurrent layers as the products that they are made of, which can be counted.

    The settings are global. Torch's own context managers also set what nobody asked for, and warn about it.
    """
    cudnn: Any = torch.backends.cudnn
    mkldnn: Any = torch.backends.mkldnn
    enabled = cudnn.enabled, mkldnn.enabled
    cudnn.enabled = mkldnn.enabled = False
    try:
        with without_fused_attention():
            yield
    finally:
        cudnn.enabled, mkldnn.enabled = enabled


def input_hooks(module: nn.Module) -> dict[int, Any]:
    """Return the hooks that run before a module's forward pass, by the id of their handle."""
    return module._forward_pre_hooks


def with_children(module: nn.Module, children: Mapping[str, nn.Module | None], *, own: bool = True) -> Any:
    """Return a module of the same class that shares everything with another but some children.

    ``copy.copy`` would also share the tables in which torch keeps children and hooks, so that a change of one module
    would be a change of the other.

    Args:
        module: The module; it is not changed.
        children: The new children by their names; ``None`` leaves one out.
        own: Whether it has the parameters and buffers that belong to the module itself, not to a child.
    """
    other = copy.copy(module)
    other.__dict__.update({name: copy.copy(table) for name, table in vars(module).items() if isinstance(table, dict)})
    for name, child in children.items():
        other._modules[name] = child
        if child is None:
            del other._modules[name]
    if not own:
        other._parameters.clear()
        other._buffers.clear()
    return other
