"""How the cost of an eager step grows with depth, batch, replicates and the number of architectures."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

import pyro_vds as vds
from benchmarks.measure import Comparison, interleaved
from benchmarks.steps import ours


class _Heads(nn.Module):
    """As many architectures as one likes at hardly any cost: a linear read-out for each."""

    def __init__(self, architectures: int) -> None:
        super().__init__()
        self.space = vds.Space([vds.Axis("head", tuple(range(architectures)))])
        self.weight = nn.Parameter(0.1 * torch.randn(architectures, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("afc,nf->anc", self.weight, x)


def scaling(device: torch.device, *, tiny: bool) -> list[Comparison]:
    """Compare eager steps of growing problems, each with the smallest of its kind.

    Args:
        device: Where to run.
        tiny: Two small sizes of each.
    """
    rounds = 2 if tiny else 15
    torch.manual_seed(0)

    def cut(values: list[int]) -> list[int]:
        return values[:2] if tiny else values

    def points(count: int) -> tuple[Tensor, Tensor]:
        return torch.randn(count, 2, device=device), torch.randint(0, 2, (count,), device=device)

    def net(max_depth: int = 20) -> vds.ResidualMLP:
        return vds.ResidualMLP(2, 2, width=20, max_depth=max_depth)

    def replicated(count: int) -> object:
        batch = (t.expand(count, *t.shape) for t in points(200))
        return ours(vds.Replicated(net(), count), *batch, compile=False)

    def compare(what: str, setting: str, sizes: Iterable[int], make: Callable[[int], Any]) -> Comparison:
        cases = {f"{what} {size}": make(size) for size in sizes}
        return Comparison(f"cost against {what}", "ms", setting, interleaved(cases, device, rounds=rounds))

    def single(backbone: nn.Module, count: int = 200) -> object:
        return ours(backbone, *points(count), compile=False)

    small = "ResidualMLP, width 20, eager"
    return [
        compare("depth", f"{small}, 200 points", cut([10, 20, 50, 100]), lambda d: single(net(d))),
        compare("batch", f"{small}, D = 20", cut([50, 200, 800, 3200]), lambda n: single(net(), n)),
        compare("replicates", f"{small}, D = 20, 200 points, all together", cut([1, 2, 6, 12]), replicated),
        compare("architectures", "linear read-outs, eager", cut([10, 100, 1000]), lambda a: single(_Heads(a))),
    ]
