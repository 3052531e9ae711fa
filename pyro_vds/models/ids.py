"""Whether a network can look up the values of integer inputs, such as token ids and categories."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vds.ops.inputs import at, in_the_kind_of, parts
from pyro_vds.ops.modes import eval_mode
from pyro_vds.spaces.typing import Inputs


@torch.no_grad()
def check_ids(network: nn.Module, x: Inputs, run: Callable[[Any], object]) -> None:
    """Raise unless a network can look up the smallest and the largest value of integer inputs.

    It runs the points that hold them. Columns can have tables of their own, so that it also runs two made up points, of
    the smallest and of the largest value at each place, in which only a value out of range counts.

    Args:
        network: The network; it runs in eval mode.
        x: Inputs ``(N, ...)``.
        run: Calls the network with some points.

    Raises:
        ValueError: If a value is out of range.
        Exception: What the network raises for points of the data.
    """
    ids = {name: _signed(part) for name, part in parts(x).items() if is_integer(part)}
    if not ids:
        return
    places = {int(i) // part[0].numel() for part in ids.values() for i in (part.argmin(), part.argmax())}
    made_up = [
        torch.stack([ids[name].amin(0), ids[name].amax(0)]).to(part.dtype) if name in ids else part[[0, 0]]
        for name, part in parts(x).items()
    ]
    with eval_mode(network), _lookups_checked(network):
        try:
            run(at(x, sorted(places)))
            with suppress(RuntimeError, TypeError, ValueError):
                run(in_the_kind_of(x, made_up))
        except IndexError as error:
            found = ", ".join(f"{name} in {int(part.min())}..{int(part.max())}" for name, part in ids.items())
            raise ValueError(
                f"Expected ids that the network can look up, got {found}. Renumber them, or enlarge the embedding: "
                f"{error}."
            ) from error


def is_integer(part: Tensor) -> bool:
    """Return whether a part of the inputs holds whole numbers, which may be ids.

    Args:
        part: A part of the inputs.
    """
    return not (part.is_floating_point() or part.is_complex() or part.dtype == torch.bool)


@contextmanager
def _lookups_checked(network: nn.Module) -> Iterator[None]:
    """Let embeddings raise ``IndexError`` before they look anything up: on CUDA a bad id would end the process."""
    with ExitStack() as handles:
        for name, module in network.named_modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                hook = module.register_forward_pre_hook(_rows_checked(name), with_kwargs=True)
                handles.callback(hook.remove)
        yield


def _rows_checked(name: str) -> Callable[..., None]:
    def check(module: nn.Embedding | nn.EmbeddingBag, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = args[0] if args else kwargs["input"]
        low, high = (int(ids.min()), int(ids.max())) if ids.numel() else (0, 0)
        if low < 0 or high >= module.num_embeddings:
            raise IndexError(f"{name or 'it'} has rows 0..{module.num_embeddings - 1} and was asked for {low}..{high}")

    return check


def _signed(part: Tensor) -> Tensor:
    """Return integers of a type that has a minimum: torch knows none of unsigned ones but bytes."""
    return part.long() if part.dtype in (torch.uint16, torch.uint32, torch.uint64) else part
