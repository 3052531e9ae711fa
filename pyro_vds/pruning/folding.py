"""Batch norms folded into the layers before them, for networks that only predict."""

from collections import Counter
from typing import cast

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from pyro_vds.backbones.normalisation import ReadoutBatchNorm
from pyro_vds.ops.compat import BatchNorm
from pyro_vds.ops.freezing import only_frozen_by_hooks

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d

# The dimensions of a batch that each layer makes.
_DIMENSIONS: dict[type[nn.Module], int] = {nn.Linear: 2, nn.Conv1d: 3, nn.Conv2d: 4, nn.Conv3d: 5}
_KNOWN = ("torch.nn.", "pyro_vds.")  # these call their children whole
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, ReadoutBatchNorm)


class Folded(nn.Module):
    """What a batch norm leaves behind that is folded into the layer before it: its inputs pass unchanged.

    Args:
        dimensions: The number of dimensions of a batch that the layer was folded for. A batch norm takes the second one
            as channels, a linear layer the last.
    """

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions

    def forward(self, input: Tensor) -> Tensor:
        """Return the input.

        Raises:
            ValueError: If it has another number of dimensions.
        """
        if input.ndim != self.dimensions:
            raise ValueError(
                f"Expected activations of {self.dimensions} dimensions behind a layer that a batch norm was folded "
                f"into, got shape {tuple(input.shape)}. Prune with fold_batch_norm=False."
            )
        return input


def fold_batch_norms[Module: nn.Module](network: Module) -> Module:
    """Fold batch norms into the linear layers and convolutions before them, in place.

    ``W' = s W`` and ``b' = s (b - mean) + shift`` with ``s = scale / sqrt(var + eps)`` for each channel (Jacob et al.
    2018, arXiv 1712.05877, section 3.2): the same numbers up to rounding, and less work. A batch norm is folded where
    it is the only one that reads the output of a layer, which ``torch.fx`` finds out for each module. Left as they are:
    batch norms in front of their layer, as in pre-activation blocks; those with statistics for each depth, as in the
    head; shared and parametrised layers, or those with hooks; and what is in modules that ``torch.fx`` cannot follow.

    Args:
        network: A network in eval mode that is not trained any more: without batch norm its training would differ.

    Returns:
        The network; a new one if it has replicates.
    """
    each_copy = getattr(network, "each_copy", None)
    if callable(each_copy):
        return cast(Module, each_copy(fold_batch_norms))
    _fold_within(network, _shared(network))
    return network


def _shared(network: nn.Module) -> set[nn.Module]:
    """Return the modules that several others have as a child, or whose parameters others have too."""
    uses = Counter(child for owner in network.modules() for child in owner.children())
    owners = Counter(id(p) for module in network.modules() for p in module._parameters.values() if p is not None)
    several = {module for module, count in uses.items() if count > 1}
    return several | {m for m in network.modules() if any(owners[id(p)] > 1 for p in m.parameters(recurse=False))}


def _fold_within(owner: nn.Module, shared: set[nn.Module]) -> None:
    """Fold the batch norms of a module and of its children, in place."""
    children = {name: child for name, child in owner.named_children() if _has_norm(child)}
    if not children:
        return
    calls = _calls(owner)
    if calls is None and not type(owner).__module__.startswith(_KNOWN):
        return  # whatever it does with its children, other modules may read a layer's output too
    for layer_name, norm_name in _pairs(calls or [], owner):
        layer, norm = owner.get_submodule(layer_name), owner.get_submodule(norm_name)
        if not {layer, norm} & shared and _fits(layer, norm):
            _fold(cast(Layer, layer), cast(BatchNorm, norm))
            owner.add_module(norm_name, Folded(_DIMENSIONS[type(layer)]))
    # A module whose parts are called from here can have several readers of a layer.
    entered = {str(node.target).partition(".")[0] for node in calls or [] if "." in str(node.target)}
    for name, child in children.items():
        if name not in entered:
            _fold_within(child, shared)


def _has_norm(module: nn.Module) -> bool:
    return any(isinstance(child, _NORMS) for child in module.modules())


def _fits(layer: nn.Module, norm: nn.Module) -> bool:
    """Return whether a batch norm can be folded into a layer."""
    if type(layer) not in _DIMENSIONS or not isinstance(norm, _NORMS) or layer.training or norm.training:
        return False
    mean = norm.running_mean
    channels = cast(Tensor, layer.weight).shape[0]
    one = mean is not None and mean.numel() == norm.num_features == channels
    return one and only_frozen_by_hooks(layer) and only_frozen_by_hooks(norm)


@torch.no_grad()
def _fold(layer: Layer, norm: BatchNorm) -> None:
    """Give a layer the weights that it has together with the batch norm behind it."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    learns = layer.weight.requires_grad
    layer.weight, layer.bias = fuse_conv_bn_weights(
        layer.weight,
        layer.bias,
        norm.running_mean.flatten(),
        norm.running_var.flatten(),
        norm.eps,
        norm.weight,
        norm.bias,
    )
    layer.bias.requires_grad_(learns)


def _calls(owner: nn.Module) -> list[fx.Node] | None:
    """Return the steps of a module that are calls of its children; ``None`` if ``torch.fx`` cannot follow it."""
    before = dict(vars(owner))
    try:
        nodes = _OneLevel().trace(owner).nodes
    except Exception:  # whatever the module raises when it meets a stand-in for a tensor
        return None
    finally:
        vars(owner).clear()
        vars(owner).update(before)
    return [node for node in nodes if node.op == "call_module"]


def _pairs(calls: list[fx.Node], owner: nn.Module) -> list[tuple[str, str]]:
    """Return the names of the children whose only result goes to one other child, and the name of that."""
    count = Counter(node.target for node in calls)
    names = {name for name, _ in owner.named_children()}
    return [
        (str(node.target), str(reader.target))
        for node in calls
        for reader in node.users
        if len(node.users) == 1
        and reader in calls
        and reader.args == (node,)
        and count[node.target] == count[reader.target] == 1
        and {node.target, reader.target} <= names
    ]


class _OneLevel(fx.Tracer):
    """Traces what a module does itself, not its children."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return true."""
        return True
