"""Time of a training step: learnt depth against the plain network, eager, compiled and replicated."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import pyro_vds as vds
from benchmarks.measure import Comparison, interleaved
from pyro_vds.training.config import MakeOptimizer, TrainingConfig
from pyro_vds.training.objective import Objective
from pyro_vds.training.steps import CompiledStep, EagerStep

REPLICATES = 6
Build = Callable[..., vds.PerDepth]


def spirals(max_depth: int, device: torch.device, *, tiny: bool) -> Comparison:
    """Compare steps of the fully connected network on 200 points.

    Args:
        max_depth: Number of blocks.
        device: Where to run.
        tiny: Few rounds and no replicates.
    """

    def build(**how: Any) -> vds.PerDepth:
        return vds.ResidualMLP(2, 2, width=20, max_depth=max_depth, **how)

    x, y = torch.randn(200, 2, device=device), torch.randint(0, 2, (200,), device=device)
    name, setting = f"training step, spirals, D = {max_depth}", f"ResidualMLP, D = {max_depth}, width 20, 200 points"
    return _compare(name, setting, build, x, y, rounds=2 if tiny else 60, replicates=not tiny and max_depth == 20)


def images(device: torch.device, *, tiny: bool) -> Comparison:
    """Compare steps of the convolutional network on a batch of 28x28 images.

    Args:
        device: Where to run; the network is deeper on a GPU.
        tiny: A small network and few rounds.
    """
    on_gpu = device.type == "cuda"
    max_depth, batch, rounds = (2, 8, 2) if tiny else (50, 512, 30) if on_gpu else (10, 128, 15)

    def build(**how: Any) -> vds.PerDepth:
        return vds.ResidualConvNet(1, 10, max_depth=max_depth, **how)

    x, y = torch.randn(batch, 1, 28, 28, device=device), torch.randint(0, 10, (batch,), device=device)
    setting = f"ResidualConvNet, D = {max_depth}, batch {batch}"
    return _compare("training step, images", setting, build, x, y, rounds=rounds, replicates=False)


def _compare(
    name: str, setting: str, build: Build, x: Tensor, y: Tensor, *, rounds: int, replicates: bool
) -> Comparison:
    torch.manual_seed(0)
    plain = build(readout="last").to(x.device)
    cases: dict[str, Callable[[], object]] = {
        "DDN, plain torch": plain_step(plain, lambda: F.cross_entropy(plain(x), y)),
        "LDN, plain torch": _hand_written(build().to(x.device), x, y),
        "DDN, eager": ours(build(readout="last"), x, y, compile=False),
        "LDN, eager": ours(build(), x, y, compile=False),
        "DDN, compiled": ours(build(readout="last"), x, y, compile=True),
        "LDN, compiled": ours(build(), x, y, compile=True),
        "LDN, AdamW, eager": ours(build(), x, y, compile=False, optimizer=torch.optim.AdamW),
        "LDN, AdamW, compiled": ours(build(), x, y, compile=True, optimizer=torch.optim.AdamW),
    }
    each = f"LDN, compiled, each of {REPLICATES} replicates"
    if replicates:
        stacked = vds.Replicated(build(), REPLICATES)
        cases[each] = ours(stacked, *(t.expand(REPLICATES, *t.shape) for t in (x, y)), compile=True)
    values = interleaved(cases, x.device, rounds=rounds)
    if replicates:
        values[each] /= REPLICATES
    seconds = {case: run.step.compile_seconds for case, run in cases.items() if isinstance(run, _Ours)}
    return Comparison(name, "ms", setting, values, {case: s for case, s in seconds.items() if s})


class _Ours:
    """A step of the package on one batch."""

    def __init__(self, step: EagerStep | CompiledStep, x: Tensor, y: Tensor) -> None:
        self.step, self.x, self.y = step, x, y

    def __call__(self) -> object:
        return self.step(self.x, self.y)


def ours(
    backbone: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    compile: bool,
    optimizer: MakeOptimizer | None = None,
    samples: int | None = None,
) -> _Ours:
    """Return a step of ``fit`` on one batch; with replicates ``(replicate, batch, ...)``."""
    points = x.shape[1] if isinstance(backbone, vds.Replicated) else len(x)
    model = vds.VDSModel(backbone, num_data=points).to(x.device)
    config = TrainingConfig(lr=0.01 if optimizer is None else None, optimizer=optimizer)
    objective = Objective(vds.elbo(model, vds.AutoCategorical(model), samples=samples), config)
    objective.elbo.check(x, y)
    return _Ours((CompiledStep if compile else EagerStep)(objective, config), x, y)


def plain_step(module: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    """Return a step as one writes it in torch.

    Args:
        module: The network.
        loss: Its loss on the batch.
    """
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.5)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return run


def _hand_written(net: vds.PerDepth, x: Tensor, y: Tensor) -> Callable[[], None]:
    """Return a step on the same ELBO without Pyro (paper, eq. 1)."""
    depths = net.max_depth + 1
    logits = nn.Parameter(torch.zeros(depths, device=x.device))
    net.register_parameter("logits", logits)
    log_prior = vds.priors.Geometric(0.85)(depths).logits.to(x)
    labels = y.expand(depths, -1)

    def loss() -> Tensor:
        log_probs = -F.cross_entropy(net(x).movedim(-1, 1), labels, reduction="none").sum(1)
        log_q = logits.log_softmax(0)
        return -(log_q.exp() @ (log_probs + log_prior - log_q)) / len(x)

    return plain_step(net, loss)
