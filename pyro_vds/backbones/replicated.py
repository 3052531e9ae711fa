"""Independent copies of a backbone that are trained side by side in one run."""

import copy
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.nested_layers import prefixed
from pyro_vds.ops.compat import in_place_changes, without_fused_attention
from pyro_vds.ops.copies import copied
from pyro_vds.ops.inputs import at
from pyro_vds.ops.parts import require_known_shapes, require_uncompiled
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Inputs


class Replicated(nn.Module):
    """``n`` independently initialised copies of a backbone, computed together (``torch.func.vmap``).

    A model with this backbone has a Pyro plate ``"replicate"``: each copy has its own weights, its own row of the guide
    and its own order of batches, and learns the same as it would alone. Copy ``r`` has the weights that the backbone's
    constructor draws after ``torch.manual_seed(seed + r)``, provided that it draws them in the order in which it
    registers its modules, as the backbones of this package do. Frozen parameters (``requires_grad=False``) are the
    same in each copy.

    Args:
        backbone: The network to copy; it is not changed.
        n: Number of copies.
        seed: Seed of the first copy.

    Raises:
        TypeError: If ``backbone`` is not a backbone, or has parameters that cannot be drawn again.
        ValueError: If ``n`` is not a positive integer.
    """

    def __init__(self, backbone: nn.Module, n: int, *, seed: int = 0) -> None:
        super().__init__()
        if not (isinstance(backbone, nn.Module) and isinstance(getattr(backbone, "space", None), Space)):
            raise TypeError(f"Expected a backbone with an attribute 'space' to copy, got {type(backbone).__name__}.")
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"Expected at least one replicate, got n={n!r}.")
        require_uncompiled(backbone)
        require_known_shapes(backbone)
        self._stack([_drawn_again(backbone, seed + r) for r in range(n)])

    @property
    def space(self) -> Space:
        """The axes of the copied network."""
        return self.stacked.space

    @property
    def batch_shape(self) -> torch.Size:
        """``(n,)``."""
        return torch.Size([self.n])

    def _stack(self, copies: Sequence[nn.Module]) -> None:
        """Store copies as one module whose tensors have a leading dimension ``(n, ...)``."""
        self.n = len(copies)
        self.stacked: Any = copied(copies[0])
        rows = [_state(module) for module in copies]
        for name, tensor in _state(self.stacked).items():
            tensor.data = torch.stack([row[name].detach() for row in rows])

    def forward(self, x: Inputs) -> Float[Tensor, "..."]:
        """Return the outputs of every architecture of every copy, ``(*axes, replicate, batch, *event)``.

        Args:
            x: The inputs of each copy, ``(replicate, batch, ...)``; ``x.expand(n, *x.shape)`` for shared ones. Several
                are a tuple or a dict.
        """

        def call(tensors: dict[str, Tensor], x: Inputs) -> Tensor:
            return torch.func.functional_call(self.stacked, tensors, (x,))

        if torch.compiler.is_exporting():  # an exported graph cannot hold what vmap makes of the weights
            state = _state(self.stacked)
            copies = [call({name: rows[r] for name, rows in state.items()}, at(x, r)) for r in range(self.n)]
            return torch.stack(copies, len(self.space))
        run = torch.func.vmap(call, out_dims=len(self.space), randomness="different")
        with without_fused_attention():
            return run(_state(self.stacked), x)

    def first_entries(self) -> dict[str, dict[str, int]]:
        """Return from which entry of a nested axis on a parameter is used; empty if the network does not say it."""
        listed = getattr(self.stacked, "first_entries", dict)
        return prefixed("stacked", listed())

    def restrict(self, **cut: Hashable) -> "Replicated":
        """Return the same copies, each with the same cut.

        Args:
            cut: A label for each axis that is cut.

        Raises:
            TypeError: If a label has the wrong type.
            ValueError: If an axis is unknown, or has no such label.
        """
        return self.each_copy(lambda network: network.restrict(**cut))

    def each_copy(self, change: Callable[[Any], nn.Module]) -> "Replicated":
        """Return replicates of what a function makes of each copy.

        Args:
            change: Called with each copy, as a backbone of its own.
        """
        changed = copy.copy(self)
        changed._modules = {}
        changed._stack([change(self.copy(r)) for r in range(self.n)])
        return changed

    def copy(self, replicate: int) -> Any:
        """Return one copy as a backbone of its own.

        Args:
            replicate: Number of the copy, ``0..n-1``.

        Raises:
            IndexError: If there is no such copy.
        """
        single = copied(self.stacked)
        for tensor in _state(single).values():
            tensor.data = tensor.data[replicate].clone()
        return single


def _state(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


def _drawn_again(backbone: nn.Module, seed: int) -> nn.Module:
    """Return a copy of a module with parameters that are drawn anew from a seed."""
    module = copied(backbone)
    with isolated_rng(seed=seed):
        for child in module.modules():
            parameters = dict(child.named_parameters(recurse=False))
            own = [name for name, parameter in parameters.items() if parameter.requires_grad]
            if parameters and not own:
                continue  # frozen
            # nn.MultiheadAttention has only a private method.
            reset = getattr(child, "reset_parameters", None) or getattr(child, "_reset_parameters", None)
            if own and not callable(reset):
                raise TypeError(
                    f"Expected modules with a method reset_parameters() to draw their weights again, got "
                    f"{type(child).__name__} without it, with the parameters {own}. Add the method."
                )
            before = {name: (in_place_changes(parameters[name]), parameters[name].detach().clone()) for name in own}
            if callable(reset):
                reset()
            left = [name for name, (changes, values) in before.items() if _is_left(child, name, changes, values)]
            if left:
                raise TypeError(
                    f"Expected reset_parameters() of {type(child).__name__} to draw all of its parameters again, got "
                    f"{left} as they were. Override the method (with torch.nn.utils.weight_norm or spectral_norm the "
                    "module's own draws the weight, not what it is made of)."
                )
    return module


def _is_left(module: nn.Module, name: str, changes: int, values: Tensor) -> bool:
    """Return whether a parameter was not drawn: nothing wrote to it, and it is no constant such as a bias of zeros."""
    parameter = getattr(module, name).detach()
    constant = bool((values == values.flatten()[:1]).all())
    return not constant and in_place_changes(parameter) == changes and torch.equal(parameter, values)
