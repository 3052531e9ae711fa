"""How things are measured: medians of interleaved runs, and peak memory in a process of its own."""

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

import pyro_vds as vds


@dataclass(frozen=True)
class Comparison:
    """Values of some cases, and their ratios to the first.

    Attributes:
        name: What was measured.
        unit: Unit of the values.
        setting: The sizes.
        values: The value of each case; the first is the baseline.
    """

    name: str
    unit: str
    setting: str
    values: dict[str, float]

    @property
    def ratios(self) -> dict[str, float]:
        """Each value divided by the baseline."""
        baseline = next(iter(self.values.values()))
        return {case: value / baseline for case, value in self.values.items()}

    def as_json(self) -> dict[str, Any]:
        """Return everything for a JSON file."""
        return {"unit": self.unit, "setting": self.setting, "values": self.values, "ratios": self.ratios}

    def __str__(self) -> str:
        """Return a table."""
        rows = [f"{case:40}{self.values[case]:12.2f}{self.ratios[case]:10.3f}" for case in self.values]
        return "\n".join([f"{self.name} ({self.setting})", f"{'':40}{self.unit:>12}{'ratio':>10}", *rows, ""])


def interleaved(cases: Mapping[str, Callable[[], object]], device: torch.device, *, rounds: int) -> dict[str, float]:
    """Return the median time of each case in milliseconds; the cases take turns, so noise meets all alike."""
    times: dict[str, list[float]] = {case: [] for case in cases}
    for turn in range(rounds + 1):
        for case, run in cases.items():
            started = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn:  # the first turn warms up
                times[case].append(1000 * (time.perf_counter() - started))
    return {case: median(values) for case, values in times.items()}


def training_step(device: torch.device, *, tiny: bool) -> Comparison:
    """Compare a training step of the conv net that learns its depth with that of the plain network."""
    depth, batch, rounds = (2, 8, 2) if tiny else (10, 128, 15)
    x, y = torch.randn(batch, 1, 28, 28, device=device), torch.randint(0, 10, (batch,), device=device)

    def step(loss: Callable[[], torch.Tensor], module: torch.nn.Module) -> Callable[[], None]:
        optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.5)

        def run() -> None:
            optimizer.zero_grad(set_to_none=True)
            loss().backward()
            optimizer.step()

        return run

    torch.manual_seed(0)
    plain = vds.ResidualConvNet(1, 10, max_depth=depth, readout="last").to(device)
    elbos = {}
    for readout in ("all", "last"):
        model = vds.VDSModel(vds.ResidualConvNet(1, 10, max_depth=depth, readout=readout), num_data=batch).to(device)
        elbos[readout] = vds.enum_elbo(model, vds.AutoCategorical(model))
    cases = {
        "DDN, plain torch": step(lambda: F.cross_entropy(plain(x), y), plain),
        "DDN, enum_elbo": step(lambda: elbos["last"](x, y) / batch, elbos["last"]),
        "LDN, enum_elbo": step(lambda: elbos["all"](x, y) / batch, elbos["all"]),
    }
    setting = f"ResidualConvNet, D = {depth}, batch {batch}, eager"
    return Comparison("training step", "ms", setting, interleaved(cases, device, rounds=rounds))


_PEAK = """
import sys, torch, pyro_vds as vds
def resident():  # not ru_maxrss, which a process inherits from the one that starts it
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
readout, depth, batch, device = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), torch.device(sys.argv[4])
torch.manual_seed(0)
model = vds.VDSModel(vds.ResidualConvNet(1, 10, max_depth=depth, readout=readout), num_data=batch).to(device)
elbo = vds.enum_elbo(model, vds.AutoCategorical(model))
x, y = torch.randn(batch, 1, 28, 28, device=device), torch.randint(0, 10, (batch,), device=device)
elbo(x[:2], y[:2]).backward()
before = resident()
for _ in range(2):
    elbo(x, y).backward()
print(torch.cuda.max_memory_allocated() if device.type == "cuda" else resident() - before)
"""


def peak_memory(device: torch.device, *, tiny: bool) -> Comparison:
    """Compare the peak memory of training steps; each network runs in a process of its own (Linux)."""
    depth, batch = (2, 8) if tiny else (50, 128)
    values = {}
    for case, readout in (("DDN", "last"), ("LDN", "all")):
        command = [sys.executable, "-c", _PEAK, readout, str(depth), str(batch), str(device)]
        values[case] = int(subprocess.run(command, capture_output=True, check=True).stdout) / 2**20
    values = {case: max(value, resource.getpagesize() / 2**20) for case, value in values.items()}
    return Comparison("peak training memory", "MiB", f"ResidualConvNet, D = {depth}, batch {batch}", values)
