"""Costs of architectures."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from pyro_vds.ops.compat import without_fused_layers
from pyro_vds.ops.inputs import as_inputs, first_points, moved, points, tensors
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.tensors import dtype_of
from pyro_vds.spaces.backbone import Backbone
from pyro_vds.spaces.typing import Inputs, InputsLike

_ATEN = torch.ops.aten

# Operations on parameters that take a few steps for each number of their result, as elementwise ones do.
_CHEAP = {
    _ATEN.embedding, _ATEN._embedding_bag, _ATEN._embedding_bag_forward_only, _ATEN.native_layer_norm,
    _ATEN.native_group_norm, _ATEN.native_batch_norm, _ATEN._native_batch_norm_legit, _ATEN.cudnn_batch_norm,
    _ATEN._native_batch_norm_legit_no_training, _ATEN.miopen_batch_norm, _ATEN._batch_norm_no_update,
    _ATEN._batch_norm_with_update, _ATEN._fused_rms_norm, _ATEN._prelu_kernel, _ATEN._weight_norm_interface,
    _ATEN.clone, _ATEN._to_copy, _ATEN.copy, _ATEN.copy_, _ATEN.cat, _ATEN.stack, _ATEN.repeat, _ATEN.roll, _ATEN.flip,
    _ATEN.index, _ATEN.index_select, _ATEN.gather, _ATEN.detach, _ATEN._reshape_alias, _ATEN._unsafe_view, _ATEN._conj,
    _ATEN.constant_pad_nd, _ATEN.upsample_bilinear2d, _ATEN.upsample_bicubic2d, _ATEN.upsample_nearest2d,
    _ATEN._upsample_bilinear2d_aa, _ATEN._upsample_bicubic2d_aa, _ATEN._softmax, _ATEN._log_softmax,
    _ATEN._thnn_fused_lstm_cell, _ATEN._thnn_fused_gru_cell, _ATEN.linalg_vector_norm, _ATEN.empty_like,
    _ATEN.zeros_like, _ATEN.ones_like, _ATEN.isfinite, _ATEN.unbind,
}  # fmt: skip
_LIGHT = {torch.Tag.pointwise, torch.Tag.reduction}


def multiply_adds(backbone: Backbone, x: InputsLike) -> Int[Tensor, "*axes"]:
    """Count the multiply-adds of each architecture for one input.

    Counts are of matrix products and convolutions of the network that :func:`pyro_vds.prune` would return, which
    includes the read-outs of lower entries of nested axes. Attention and recurrent layers are counted as the products
    that they are made of, also where torch runs them as one fused kernel. Elementwise operations, normalisations and
    embeddings, which take a few steps for each number, count nothing.

    Args:
        backbone: A network that can be cut, see :class:`pyro_vds.Backbone`.
        x: At least one input, ``(batch, ...)``; several as a tuple or a dict.

    Returns:
        Multiply-adds over the product of the axes, shape ``sizes``.

    Raises:
        TypeError: If ``backbone`` is not a backbone.
        ValueError: If there is no input, there are replicates, or there are too many architectures to list.

    Warns:
        RuntimeWarning: If an operation of another kind takes a parameter; it names the module, whose cost is missing.
    """
    if not isinstance(backbone, Backbone):
        raise TypeError(f"Expected a backbone with a space and a method restrict(), got {type(backbone).__name__}.")
    network = cast(nn.Module, backbone)
    inputs = as_inputs(x, dtype_of(network))
    if not points(inputs):
        raise ValueError("Expected at least one input to count the multiply-adds of, got none.")
    if getattr(backbone, "batch_shape", ()):
        raise ValueError("Expected one network, got replicates, which cost the same each. Pass backbone.copy(0).")
    one = moved(first_points(inputs, 1), next(network.parameters(), tensors(inputs)[0]).device)
    counts = [count(backbone.restrict(**architecture), one) for architecture in backbone.space.architectures()]
    return torch.tensor(counts).reshape(backbone.space.sizes)


def count(network: nn.Module, x: Inputs) -> int:
    """Count the multiply-adds of matrix products and convolutions of any module for some inputs.

    Args:
        network: The module.
        x: Inputs on the device of the module.

    Warns:
        RuntimeWarning: If an operation of another kind takes a parameter; it names the module, whose cost is missing.
    """
    with ExitStack() as contexts:
        for context in (eval_mode(network), torch.no_grad(), without_fused_layers()):
            contexts.enter_context(context)
        # The outer mode sees the operations that the counter leaves.
        uncounted = contexts.enter_context(_Uncounted(network))
        counter = contexts.enter_context(FlopCounterMode(display=False, custom_mapping=_PRODUCTS))
        contexts.enter_context(uncounted.names())
        network(x)
    if uncounted.found:
        found = ", ".join(f"{operation} in module {name}" for operation, name in sorted(uncounted.found))
        warnings.warn(
            f"Expected parameters in matrix products, convolutions and elementwise operations only, got also {found}, "
            "which the multiply-adds leave out.",
            RuntimeWarning,
            stacklevel=2,
        )
    return counter.get_total_flops() // 2  # a multiply-add counts as two operations


class _Uncounted(TorchDispatchMode):
    """Notes which operations take a parameter of a network without being counted or cheap, and in which module.

    Args:
        network: The network.
    """

    supports_higher_order_operators = True

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.running = ["itself"]
        self.found: set[tuple[str, str]] = set()
        self.parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        packet = getattr(func, "_overloadpacket", func)
        counted = packet in flop_registry or packet in _PRODUCTS or packet in _CHEAP
        light = getattr(func, "is_view", False) or _LIGHT & set(getattr(func, "tags", ()))
        if not counted and not light:
            taken = tree_leaves((args, kwargs))
            if any(isinstance(t, Tensor) and t.untyped_storage().data_ptr() in self.parameters for t in taken):
                self.found.add((str(packet), self.running[-1]))
        return func(*args, **(kwargs or {}))

    @contextmanager
    def names(self) -> Iterator[None]:
        """Keep the name of the module that runs."""
        handles = []
        for name, module in self.network.named_modules():
            handles.append(module.register_forward_pre_hook(lambda *_, n=name: self.running.append(n or "itself")))
            handles.append(module.register_forward_hook(lambda *_: self.running.pop() and None))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _matrix_vector(*shapes: Any, **_: Any) -> int:
    """Count a product of a matrix and a vector, the last two shapes."""
    return 2 * prod([s for s in shapes if isinstance(s, torch.Size | tuple | list)][-2])


def _dot(one: Any, *_: Any, **__: Any) -> int:
    return 2 * prod(one)


def _bilinear(one: Any, weight: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    """Count ``sum_ij x_i w_kij y_j`` for each point and output, as one product of all the numbers for each."""
    return 2 * prod(out_shape) * weight[-1] * weight[-2]


# What torch's counter leaves out.
_PRODUCTS = {
    _ATEN.mv: _matrix_vector,
    _ATEN.addmv: _matrix_vector,
    _ATEN.dot: _dot,
    _ATEN.vdot: _dot,
    _ATEN._trilinear: _bilinear,
}
