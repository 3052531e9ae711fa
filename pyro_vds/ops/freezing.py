"""Pretrained parts of a network that training leaves as they are."""

from torch import nn

from pyro_vds.ops.compat import input_hooks


def freeze(module: nn.Module) -> nn.Module:
    """Keep the weights and the batch statistics of a module fixed while the rest of the network trains.

    No parameter requires a gradient any more. Each submodule runs in eval mode, even after :func:`pyro_vds.fit` has
    called ``.train()`` on the whole network: batch norm uses its running statistics without updating them, and
    dropout is off. ``parameter.requires_grad_()`` lets single parameters learn again.

    Example::

        net = vds.from_resnet(resnet, out_features=10)
        vds.freeze(net.stem)
        vds.freeze(net.blocks)  # adapters, head and the guide learn

    Args:
        module: The part to freeze, changed in place.

    Returns:
        The same module.
    """
    module.requires_grad_(False).eval()
    for child in module.modules():
        # A hook, not a subclass: types, names of weights, copies and pickles stay as they are.
        child.register_forward_pre_hook(_stay_in_eval_mode)
    return module


def is_frozen(module: nn.Module) -> bool:
    """Return whether :func:`freeze` has frozen a module."""
    return _stay_in_eval_mode in input_hooks(module).values()


def only_frozen_by_hooks(module: nn.Module) -> bool:
    """Return whether a module has no hooks of its pass but that of :func:`freeze`."""
    return not module._forward_hooks and set(input_hooks(module).values()) <= {_stay_in_eval_mode}


def _stay_in_eval_mode(module: nn.Module, inputs: object) -> None:
    module.training = False
