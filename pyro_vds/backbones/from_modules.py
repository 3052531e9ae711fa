"""Networks of arbitrary blocks, whose activations may change shape, read out at every depth."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import groupby, pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pyro_vds.backbones.normalisation import HeadStatistics, keep_readout_statistics
from pyro_vds.backbones.per_depth import PerDepth, Readout, read_out_together
from pyro_vds.ops.inputs import as_inputs, described, first_points, mapped
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.parts import PART_ERRORS, called, spare_input
from pyro_vds.ops.tensors import dtype_of
from pyro_vds.spaces.typing import Inputs, InputsLike

WidthsToModule = Callable[[int, int], nn.Module]


WidthToModule = Callable[[int], nn.Module]


class FromModules(PerDepth):
    """A network of blocks that map activations to the next activations, read out at every depth.

    ``a_0 = stem(x)``, ``a_i = block_i(a_{i-1})``, ``f_i(x) = head(adapter_s(pool(a_i)))``, ``i = 0..D``, where
    ``s`` is the stage of depth ``i``. A stage is a run of neighbouring depths with pooled activations of the same
    shape. Skip connections, if any, belong inside the blocks, as in torchvision; for blocks that are residual
    branches only, use :class:`pyro_vds.PerDepth`. The modules are used directly, not copied. (Early exits with
    separate heads: Teerapittayanon et al., "BranchyNet", 2016, arXiv 1709.01686.)

    Example::

        blocks = [nn.Sequential(nn.Linear(8, 8), nn.Tanh()), nn.Sequential(nn.Linear(8, 4), nn.Tanh())]
        net = FromModules(nn.Linear(2, 8), blocks, nn.Linear(4, 3), example=torch.zeros(1, 2))
        net(x)  # (3, batch, 3); depths 0 and 1 reach the head through a Linear(8, 4)

    Args:
        stem: Maps inputs to the first activations ``a_0``.
        blocks: Map activations to the next ones, of any shape; their number is the maximal depth ``D``.
        head: Maps pooled activations to outputs ``(batch, *event)``; all depths share it. Alternatively a function
            that returns a head for the width of a stage: each stage then has its own head, and there are no adapters.
        example: Inputs ``(batch, ...)``, or several as a tuple or a dict; the first one is run once to find the stages,
            and the shapes of the parameters of lazy modules.
        pool: Reduces activations to features, for example global average pooling. Features must be
            ``(batch, width)`` if shapes change. Keep batch norm out of the pool and of adapters, where it would mix
            depths; put it in the head.
        adapter: ``adapter(width, last_width)`` returns the map from the features of a stage to the shared head.
            Only stages whose shape differs from the last one use it. The default is a linear map.
        readout: ``"all"`` depths, or only the ``"last"`` one (a DDN).
        head_statistics: Whether batch norms in the head keep running statistics ``"per_depth"`` or one
            ``"shared"`` set. Batch norms in ``head`` are replaced in place.

    Raises:
        TypeError: If ``example`` holds other things than tensors or arrays, a part returns something else than a
            tensor, or ``head`` is neither a module nor a function.
        ValueError: If there are no blocks, modules do not fit each other, a block changes its input in place, or an
            option is unknown.
    """

    def __init__(
        self,
        stem: nn.Module,
        blocks: Iterable[nn.Module],
        head: nn.Module | WidthToModule,
        *,
        example: InputsLike,
        pool: nn.Module | None = None,
        adapter: WidthsToModule = nn.Linear,
        readout: Readout = "all",
        head_statistics: HeadStatistics = "per_depth",
    ) -> None:
        blocks = list(blocks)
        _check_arguments(blocks, head)
        pool = nn.Identity() if pool is None else pool
        inputs = as_inputs(example, dtype_of(stem), "example inputs")
        for part in (stem, *blocks, pool):
            spare_input(part)
        features, shapes = _example_features(stem, blocks, pool, inputs)
        if isinstance(head, nn.Module) and any(map(is_lazy, (*head.parameters(), *head.buffers()))):
            with torch.no_grad(), eval_mode(head):
                head(features[-1])
        # _add_heads replaces this if each stage has its own head.
        shared = head if isinstance(head, nn.Module) else nn.Identity()
        super().__init__(stem, blocks, shared, pool=pool, readout=readout, head_statistics=head_statistics)
        groups = [list(group) for _, group in groupby(features, key=lambda feature: feature.shape)]
        firsts = [group[0] for group in groups]
        self.shapes: tuple[tuple[int, ...], ...] = shapes
        self.stages: tuple[int, ...] = tuple(stage for stage, group in enumerate(groups) for _ in group)
        adapts = isinstance(head, nn.Module) and readout == "all"
        self.adapters = nn.ModuleList(_adapters(firsts, adapter) if adapts else [nn.Identity() for _ in firsts])
        if not isinstance(head, nn.Module):
            self._add_heads(head, firsts, head_statistics)
        for part in (*self.adapters, *(self.head if isinstance(self.head, nn.ModuleList) else ())):
            spare_input(part)
        self._check_heads(features)

    def restrict(self, **cut: Hashable) -> "FromModules":
        """Return a copy without the blocks above a depth, and the adapters and heads that only they need.

        Args:
            cut: ``depth``, the new maximal depth, ``0..D``; without it all blocks stay.

        Raises:
            TypeError: If the depth is not an integer.
            ValueError: If the depth is out of range, or an axis is unknown.
        """
        shorter = cast(FromModules, super().restrict(**cut))
        shorter.stages = self.stages[: shorter.max_depth + 1]
        shorter.shapes = self.shapes[: shorter.max_depth + 1]
        used = shorter.stages[-1] + 1
        shorter.adapters = shorter.adapters[:used]
        if isinstance(shorter.head, nn.ModuleList) and self.readout == "all":
            shorter.head = shorter.head[:used]
        return shorter

    def _next(self, block: nn.Module, activations: Tensor) -> Tensor:
        return self._called(block, activations)

    def _branch(self, block: nn.Module, activations: Tensor) -> Tensor:
        return self._called(block, activations) - activations

    def _absent(self) -> nn.Module:
        return nn.Identity()

    def _shapes(self) -> list[tuple[Hashable, Hashable]]:
        return list(pairwise(self.shapes))

    def _features(self, activations: Tensor, depth: int) -> Tensor:
        return self._called(self.adapters[self.stages[depth]], super()._features(activations, depth))

    def _read_out(self, features: list[Tensor]) -> Tensor:
        if not isinstance(self.head, nn.ModuleList):
            return super()._read_out(features)
        if self.readout == "last":
            return self._called(self.head[-1], features[0])
        depths = iter(features)
        parts = [(head, [next(depths) for _ in range(count)]) for head, count in self._heads()]
        return torch.cat([read_out_together(head, part, self._called) for head, part in parts])

    def _name(self, part: nn.Module) -> str:
        stage = next((stage for stage, adapter in enumerate(self.adapters) if part is adapter), None)
        return super()._name(part) if stage is None else f"the adapter of stage {stage}"

    def _heads(self) -> list[tuple[nn.Module, int]]:
        if not isinstance(self.head, nn.ModuleList):
            return super()._heads()
        return list(zip(self.head, Counter(self.stages[: self.max_depth + 1]).values(), strict=False))

    def _add_heads(self, make: WidthToModule, firsts: Sequence[Tensor], statistics: HeadStatistics) -> None:
        """Give each stage a head, or only the last stage if no other is read out."""
        every = self.readout == "all"
        heads = [make(_width(first)).to(first) for first in (firsts if every else firsts[-1:])]
        self.head = nn.ModuleList(heads)
        for i, (head, readouts) in enumerate(self._heads() if every else []):
            self.head[i] = keep_readout_statistics(head, readouts, statistics)

    @torch.no_grad()
    def _check_heads(self, features: list[Tensor]) -> None:
        with eval_mode(self):
            try:
                adapters = [self.adapters[stage] for stage in self.stages]
                adapted = [self._called(*pair) for pair in zip(adapters, features, strict=True)]
                self._read_out(adapted if self.readout == "all" else adapted[-1:])
            except PART_ERRORS:
                raise
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    f"Expected a head that takes features of shape {_per_point(features[-1])}, the pooled last "
                    f"activations of a point. Change the head or the pool. The head said: {error}"
                ) from error


def _check_arguments(blocks: Sequence[nn.Module], head: object) -> None:
    if not blocks:
        raise ValueError("Expected at least one block, got none. Pass the blocks of the network in order.")
    if not callable(head):
        raise TypeError(f"Expected a module as head, or a function from a width to a module, got {head!r}.")


@torch.no_grad()
def _example_features(
    stem: nn.Module, blocks: list[nn.Module], pool: nn.Module, example: Inputs
) -> tuple[list[Tensor], tuple[tuple[int, ...], ...]]:
    """Return the pooled activations of one point at each depth, and the shapes of the activations."""
    names = ["the stem", *(f"block {i}" for i in range(1, len(blocks) + 1))]
    features, shapes, activations = [], [], mapped(torch.clone, first_points(example, 1))
    with eval_mode(nn.ModuleList([stem, *blocks, pool])):
        for name, module in zip(names, [stem, *blocks], strict=True):
            before = activations
            try:
                activations = called(module, before, lambda _, name=name: name)
                shapes.append(_per_point(activations))
                features.append(called(pool, activations, lambda _: "the pool"))
            except PART_ERRORS:
                raise
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    f"Expected {name} to take what comes before it, and the pool to take its activations; got "
                    f"{described(before)} for a point, and the error: {error}"
                ) from error
    return features, tuple(shapes)


def _adapters(firsts: Sequence[Tensor], adapter: WidthsToModule) -> list[nn.Module]:
    """Return a map from the features of each stage to the shape of the features of the last stage."""
    last = firsts[-1]
    return [
        nn.Identity() if first.shape == last.shape else adapter(_width(first), _width(last)).to(first)
        for first in firsts
    ]


def _width(features: Tensor) -> int:
    if features.ndim != 2:
        raise ValueError(
            f"Expected features (batch, width) because shapes change between depths, got {_per_point(features)} for a "
            "point. Use a pool such as nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())."
        )
    return features.shape[1]


def _per_point(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape[1:])
