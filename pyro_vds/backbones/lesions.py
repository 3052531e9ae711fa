"""Residual networks with blocks deleted or reordered, and gradients along single paths.

Veit, Wilber and Belongie, "Residual Networks Behave Like Ensembles of Relatively Shallow Networks", 2016 (arXiv
1605.06431): ``D`` residual blocks are ``2**D`` paths from the stem to the head, each through the branch or the skip of
every block. Deleting a block leaves half of them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from pyro_vds.backbones.per_depth import PerDepth
from pyro_vds.ops.copies import copied
from pyro_vds.spaces.typing import Inputs, Outputs

Keep = Iterable[bool] | Bool[Tensor | np.ndarray, " block"]
Order = Iterable[int] | Int[Tensor | np.ndarray, " block"]

Wiring = tuple[int | None, ...]
"""The block that runs at each position, counted from 0; ``None`` where none is left."""


Path = tuple[bool, ...]
"""For each block whether a path goes through its branch, or else through its skip."""


def lesion(network: PerDepth, *, keep: Keep | None = None, order: Order | None = None) -> PerDepth:
    """Return a copy of a network with blocks deleted or reordered (Veit et al. 2016, sections 4.1 to 4.3).

    ``a_i = a_{i-1} + k_i f_{o(i)}(a_{i-1})``: a deleted block adds nothing. The space stays, and every depth is still
    read out, with the head statistics that it was trained with. In a :class:`pyro_vds.FromModules`, whose blocks are
    whole maps, activations go past a deleted block unchanged.

    Args:
        network: The network; it is not changed.
        keep: For each of the ``D`` positions whether a block runs there; ``None`` keeps all.
        order: The number of the block that runs at each position, a permutation of ``0..D-1``; ``None`` leaves the
            order.

    Raises:
        TypeError: If the network is no ``PerDepth``, or ``keep`` or ``order`` hold other things than booleans or
            whole numbers.
        ValueError: If there is no block, ``keep`` has another length, ``order`` is no permutation, or a block that
            changes the shape of the activations would be deleted or run where another shape is needed.

    Example::

        without_third = vds.lesion(network, keep=[i != 2 for i in range(network.max_depth)])
        swapped = vds.lesion(network, order=[1, 0, *range(2, network.max_depth)])
    """
    wiring = _checked_wiring(network, keep, order)
    changed = copied(network)
    changed.blocks = nn.ModuleList(changed._absent() if i is None else changed.blocks[i] for i in wiring)
    return changed


def require_blocks(network: Any) -> PerDepth:
    """Return a network whose blocks can be deleted.

    Args:
        network: The backbone of a model.

    Raises:
        TypeError: If it is no ``PerDepth``.
        ValueError: If it has no block.
    """
    if not isinstance(network, PerDepth):
        raise TypeError(
            f"Expected a PerDepth network, whose blocks can be deleted one by one, got {type(network).__name__}. Cut "
            "widths with restrict(width=...), and take replicates apart with pyro_vds.replicates."
        )
    if not network.max_depth:
        raise ValueError("Expected a network with at least one block to delete, got none. Raise max_depth.")
    return network


def deletable(network: PerDepth) -> list[int]:
    """Return the numbers of the blocks that keep the shape of the activations, counted from 0."""
    return [i for i, (before, after) in enumerate(network._shapes()) if before == after]


def interchangeable(network: PerDepth) -> list[tuple[int, int]]:
    """Return the pairs of blocks that map between the same shapes, counted from 0."""
    shapes = network._shapes()
    return [(i, j) for i, j in combinations(range(len(shapes)), 2) if shapes[i] == shapes[j]]


def lesioned_outputs(network: PerDepth, x: Inputs, wirings: Collection[Wiring]) -> Iterator[tuple[Wiring, Outputs]]:
    """Yield the outputs of many lesioned networks for the same inputs.

    They form a tree: what two wirings have in common up to a position runs once. All ``2**D`` masks of ``D`` blocks
    take ``2**D - 1`` block runs in place of ``D * 2**(D-1)``.

    Args:
        network: The network, in the mode in which it is to run.
        x: Inputs ``(batch, ...)``.
        wirings: The lesions, each of length ``D``.

    Yields:
        A wiring, and the outputs that :func:`lesion` of it would have: ``(*depth, batch, *event)``. Each wiring comes
        once, neighbours in the tree after each other.
    """
    activations = network._first(x)
    yield from _walk(network, 0, activations, _kept_features(network, activations, 0), list(dict.fromkeys(wirings)))


def gradients_along(
    network: PerDepth, start: Tensor, paths: Collection[Path], objective: Callable[[Outputs], Tensor]
) -> Iterator[tuple[Path, Tensor]]:
    """Yield the gradient that reaches the output of the stem along each of some paths.

    Forwards the whole network runs, once. Backwards a gradient goes through the branch only of the blocks of the path,
    as in ``stop(a) + f(a)``, and through the skip only of the others, as in ``a + stop(f(a))``. The gradients of all
    ``2**D`` paths add up to that of the network (Veit et al. 2016, section 5). They form a tree: what two paths have in
    common from the last block down runs once, so that all of them take ``2**D - 1`` backward passes through a block.

    Args:
        network: The network, in the mode in which it is to run; its blocks keep the shape of the activations.
        start: The output of the stem, ``(batch, ...)``.
        paths: For each block whether the path goes through its branch.
        objective: Maps the outputs of the last depth, ``(batch, *event)``, to the scalar that is differentiated.

    Yields:
        A path, and its gradient in the shape of ``start``. Each path comes once.
    """
    branches: list[tuple[Tensor, Tensor]] = []
    activations = start.detach().requires_grad_()
    features = _kept_features(network, activations, 0)
    for depth, block in enumerate(network.blocks, start=1):
        added = network._branch(block, activations)
        branches.append((activations, added))
        # A leaf: the graph of each block is its own.
        activations = (activations + added).detach().requires_grad_()
        features += _kept_features(network, activations, depth)
    outputs = network._read_out(features)
    last = outputs[-1] if network.readout == "all" else outputs
    (gradient,) = torch.autograd.grad(objective(last), activations, materialize_grads=True)
    yield from _climb_down(branches, gradient, list(dict.fromkeys(paths)))


def _climb_down(
    branches: Sequence[tuple[Tensor, Tensor]], gradient: Tensor, paths: Sequence[Path]
) -> Iterator[tuple[Path, Tensor]]:
    """Yield the gradients of paths that agree above some blocks, from the gradient there.

    ``branches`` are the input of each of these blocks and what it adds.
    """
    if not branches:
        yield paths[0], gradient
        return
    *below, (activations, added) = branches
    for through in dict.fromkeys(path[len(below)] for path in paths):
        here = gradient
        if through:
            (here,) = torch.autograd.grad(added, activations, gradient, retain_graph=True, materialize_grads=True)
        yield from _climb_down(below, here, [path for path in paths if path[len(below)] == through])


def _walk(
    network: PerDepth, depth: int, activations: Tensor, features: list[Tensor], wirings: Sequence[Wiring]
) -> Iterator[tuple[Wiring, Tensor]]:
    """Yield the outputs of wirings that agree up to a depth, from the activations and features there."""
    if depth == network.max_depth:
        yield wirings[0], network._read_out(features)
        return
    for i in dict.fromkeys(wiring[depth] for wiring in wirings):
        after = activations if i is None else network._next(network.blocks[i], activations)
        kept = [*features, *_kept_features(network, after, depth + 1)]
        yield from _walk(network, depth + 1, after, kept, [wiring for wiring in wirings if wiring[depth] == i])


def _kept_features(network: PerDepth, activations: Tensor, depth: int) -> list[Tensor]:
    """Return the features of a depth in a list, which is empty if the depth is not read out."""
    read_out = network.readout == "all" or depth == network.max_depth
    return [network._features(activations, depth)] if read_out else []


def _checked_wiring(network: PerDepth, keep: Keep | None, order: Order | None) -> Wiring:
    """Return a lesion as a wiring; raise unless the network can have it."""
    count = require_blocks(network).max_depth
    blocks = _plain(range(count) if order is None else order)
    kept = _plain([True] * count if keep is None else keep)
    if not all(isinstance(k, bool) for k in kept):
        raise TypeError(f"Expected keep as booleans, one for each of {count} blocks, got {kept}.")
    if not all(isinstance(i, int) and not isinstance(i, bool) for i in blocks):
        raise TypeError(f"Expected order as whole numbers, got {blocks}.")
    if len(kept) != count:
        raise ValueError(f"Expected keep with a boolean for each of {count} blocks, got {len(kept)}.")
    if sorted(blocks) != list(range(count)):
        raise ValueError(f"Expected order as a permutation of 0..{count - 1}, got {blocks}.")
    shapes = network._shapes()
    for position, (i, stays) in enumerate(zip(blocks, kept, strict=True)):
        before, after = shapes[position]
        if not stays and before != after:
            raise ValueError(
                f"Expected keep=True for blocks that change the shape of the activations, got False for position "
                f"{position}. Blocks {deletable(network)} can be deleted."
            )
        if stays and shapes[i] != shapes[position]:
            raise ValueError(
                f"Expected an order that exchanges blocks of equal shape, got block {i} at position {position}. Pairs "
                f"that can be exchanged: {interchangeable(network)}."
            )
    return tuple(i if stays else None for i, stays in zip(blocks, kept, strict=True))


def _plain(values: Any) -> list[Any]:
    """Return numbers and booleans of NumPy and torch as those of Python."""
    return [value.item() if isinstance(value, Tensor | np.generic) else value for value in values]
