"""Training on stored features: the heads of a network whose other parts are frozen."""

import math
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.backbones.nested_layers import prefixed
from pyro_vds.backbones.per_depth import PerDepth
from pyro_vds.ops.checks import check_batch_size
from pyro_vds.ops.compat import with_children
from pyro_vds.ops.inputs import as_inputs, at, device_of, first_points, moved, points
from pyro_vds.ops.memory import GIB, available_memory
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.tensors import dtype_of
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Inputs, InputsLike


class Probe(nn.Module):
    """The adapters and heads of a network as a backbone of its own, whose inputs are stored features.

    It shares these modules with the network: where it learns, the network learns. :func:`pyro_vds.probe` makes it.
    (Linear probes of frozen layers: Alain and Bengio 2016, arXiv 1610.01644.)

    Args:
        network: The network; it is not changed.
        shapes: The shape of a point's pooled activations at each depth that is read out.
    """

    def __init__(self, network: PerDepth, shapes: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        # The network without its trunk: it still knows which depths each head reads out.
        nothing = nn.ModuleList(nn.Identity() for _ in network.blocks)
        parts: Mapping[str, nn.Module | None] = {"stem": nn.Identity(), "blocks": nothing, "pool": nn.Identity()}
        self.network: PerDepth = with_children(network, parts)
        self.shapes = shapes

    @property
    def space(self) -> Space:
        """The axes of the network."""
        return self.network.space

    def forward(self, x: Float[Tensor, "batch features"]) -> Float[Tensor, "*depth batch event"]:
        """Return the outputs of every depth, ``(depth, batch, event)``, or of the last, ``(batch, event)``.

        Args:
            x: Features of :func:`pyro_vds.probe`; a restricted probe uses the first ones.

        Raises:
            ValueError: If these are not such features.
        """
        sizes = [math.prod(shape) for shape in self.shapes]
        if x.ndim != 2 or x.shape[1] < sum(sizes):
            raise ValueError(
                f"Expected features of shape (batch, {sum(sizes)}), got {tuple(x.shape)}. Get them from "
                "pyro_vds.probe(network, x), or read out inputs with model.with_backbone(network)."
            )
        stored = x[:, : sum(sizes)].split(sizes, 1)
        first = self.network.max_depth + 1 - len(self.shapes)
        features = [
            self.network._features(part.unflatten(1, shape), depth)
            for depth, (part, shape) in enumerate(zip(stored, self.shapes, strict=True), start=first)
        ]
        return self.network._read_out(features)

    def restrict(self, **cut: Hashable) -> "Probe":
        """Return a copy without the adapters and heads above a depth; it takes the same features.

        Args:
            cut: ``depth``, the new maximal depth, ``0..D``; without it all stay.

        Raises:
            TypeError: If the depth is not an integer.
            ValueError: If the depth is out of range, or an axis is unknown.
        """
        shorter = self.network.restrict(**cut)
        return Probe(shorter, self.shapes[: shorter.space.count])

    def first_entries(self) -> dict[str, dict[str, int]]:
        """Return what :meth:`pyro_vds.PerDepth.first_entries` of the network returns: nothing belongs to a block."""
        return prefixed("network", self.network.first_entries())


@torch.no_grad()
def probe(network: PerDepth, x: InputsLike, *, batch_size: int = 256) -> tuple[Float[Tensor, "batch features"], Probe]:
    """Run a network once over inputs, and return the features of every depth and a backbone that reads them out.

    With a frozen trunk, training runs the same layers on the same inputs in each epoch. Stored once, their features
    let prior, guide and heads train in seconds, with the numbers that training through the trunk has if all of its
    parts are frozen by :func:`pyro_vds.freeze`: stem, blocks and pool run in eval mode, so that dropout is off and
    batch norm uses its running statistics. Inputs cannot be augmented anew in each epoch.

    Example::

        features, heads = vds.probe(net, x)
        model = vds.VDSModel(heads, num_data=len(x))
        guide = vds.AutoCategorical(model)
        vds.fit(model, guide, (features, y))
        full = model.with_backbone(net)  # the trained heads behind the network, for inputs as they are
        small = vds.prune(full, guide, depth=vds.choose_depth(guide.probs()["depth"]))

    Args:
        network: The network; it is not changed.
        x: Inputs ``(N, ...)``, tensors or NumPy arrays; several as a tuple or a dict.
        batch_size: Inputs in one pass.

    Returns:
        The pooled activations of every depth, one after the other, on the device of the inputs; and the backbone that
        reads them out, which shares adapters and heads with the network.

    Raises:
        TypeError: If the network has other parts than stem, blocks, pool and head, or the inputs are of another kind.
            Of replicates, probe one network.
        MemoryError: If the features do not fit into the free memory.
        ValueError: If there are no inputs, or ``batch_size`` is not positive.
    """
    if not isinstance(network, PerDepth):
        raise TypeError(
            f"Expected a PerDepth network, with stem, blocks, pool and head, got {type(network).__name__}. Probe a "
            "single network; its heads can have replicates, pyro_vds.Replicated(heads, 3)."
        )
    check_batch_size(batch_size)
    inputs = as_inputs(x, dtype_of(network))
    count, device = points(inputs), device_of(inputs)
    if not count:
        raise ValueError("Expected at least one input, got none.")
    first = _pooled(network, first_points(inputs, 1))
    stored = _storage(count, first, device)
    for start in range(0, count, batch_size):
        rows = slice(start, start + batch_size)
        pooled = _pooled(network, at(inputs, rows))
        torch.cat([part.flatten(1).to(device) for part in pooled], 1, out=stored[rows])
    return stored, Probe(network, tuple(tuple(part.shape[1:]) for part in first))


def _pooled(network: PerDepth, x: Inputs) -> list[Tensor]:
    """Return the pooled activations of inputs at each depth that is read out."""
    like = next(network.parameters())
    parts: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, pooled: Any) -> None:
        parts.append(pooled)

    hook = network.pool.register_forward_hook(keep)
    try:
        with eval_mode(network):
            network(moved(x, like.device))
    finally:
        hook.remove()
    return parts


def _storage(points: int, first: list[Tensor], device: torch.device) -> Tensor:
    """Return the memory for the features of all points."""
    numbers = sum(part[0].numel() for part in first)
    needed, available = points * numbers * first[0].element_size(), available_memory(device)
    if needed > available:
        raise MemoryError(
            f"Expected features that fit into memory, but those of {points:,} points, {numbers:,} numbers each, need "
            f"{needed / GIB:.2f} GiB of {available / GIB:.2f} GiB. Give the network a pool, pass fewer points, or "
            "train through the network."
        )
    return first[0].new_empty(points, numbers, device=device)
