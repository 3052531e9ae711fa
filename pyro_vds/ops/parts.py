"""The parts of a network, as people write them: what they may do to their inputs, and what they may return."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pyro_vds.ops.compat import in_place_changes, is_compiled
from pyro_vds.spaces.typing import Inputs

# What can return its own input, or a view of it.
_HANDS_ON = (
    nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)  # fmt: skip


class OverwrittenInputError(ValueError):
    """A part of a network changes its input, which others read too."""


class NoTensorError(TypeError):
    """A part of a network returns something else than a tensor."""


PART_ERRORS = (OverwrittenInputError, NoTensorError)
"""What says itself which part of a network is wrong, and how."""


def spare_input(module: nn.Module) -> None:
    """Set ``inplace=False`` in the layers that would overwrite the input of a module, which others use too.

    These are the module itself and, in an ``nn.Sequential``, the first layers up to one that makes a new tensor. The
    numbers stay the same. Layers behind keep their setting; what else writes into its input, :func:`called` refuses.

    Args:
        module: A stem, a block, a pool or a head.
    """
    if getattr(module, "inplace", False) is True:
        module.inplace = False  # pyright: ignore[reportArgumentType]
    for child in module if isinstance(module, nn.Sequential) else ():
        spare_input(child)
        if not isinstance(child, (*_HANDS_ON, nn.Sequential)):
            break


def called(module: nn.Module, x: Inputs, name: Callable[[nn.Module], str]) -> Tensor:
    """Return the result of a part of a network; raise if it is no tensor, or the part has changed its input.

    Counting changes costs nothing on a GPU, as the counters are on the side of Python.

    Args:
        module: The part.
        x: What it is called with.
        name: Returns what messages call the part, such as ``"block 1"``.

    Raises:
        NoTensorError: If the part returns something else than a tensor.
        OverwrittenInputError: If it changes its input.
    """
    before = _changes(x)
    result: Any = module(x)
    if not isinstance(result, Tensor):
        kind = type(result).__name__
        taken = "[0]" if isinstance(result, tuple | list) else ""
        raise NoTensorError(
            f"Expected {name(module)} to return a tensor, got a {kind}. Wrap it in a module whose forward returns "
            f"the tensor that the next part takes, such as self.inner(x){taken}."
        )
    if _changes(x) != before:
        raise OverwrittenInputError(
            f"Expected {name(module)} not to change its input, which others read too, got a module that overwrites "
            "it. Set inplace=False in its first layers."
        )
    return result


def _changes(x: Any) -> list[int]:
    parts = [x] if isinstance(x, Tensor) else x.values() if isinstance(x, dict) else x
    return [in_place_changes(part) for part in parts]


def require_known_shapes(network: nn.Module) -> None:
    """Raise if a module of a network is lazy: if its parameters have no shape before the first pass.

    Args:
        network: The network.

    Raises:
        ValueError: If there is a lazy module.
    """
    for name, child in network.named_modules():
        if any(is_lazy(tensor) for tensor in (*child.parameters(recurse=False), *child.buffers(recurse=False))):
            raise ValueError(
                "Expected modules whose parameters have shapes, got the lazy "
                f"{type(child).__name__}{f' as {name}' if name else ''}. Run it on some inputs first, as in "
                "network(x[:2]), or name its sizes."
            )


def require_uncompiled(network: nn.Module) -> None:
    """Raise if a network is what ``torch.compile`` returns, whose parameters have other names.

    Args:
        network: The network.

    Raises:
        TypeError: If it is compiled.
    """
    if is_compiled(network):
        raise TypeError(
            "Expected a network that is not compiled, got the result of torch.compile. Pass the network itself, and "
            "compile it in place with network.compile(), or its blocks, or the training step with fit(compile=True)."
        )
