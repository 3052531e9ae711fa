"""Peak memory of training steps."""

import subprocess
import sys

import torch

from benchmarks.measure import Comparison

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
    """Compare the peak memory of training steps; each network runs in a process of its own (Linux).

    Args:
        device: Where to run.
        tiny: A small network.
    """
    depth, batch = (4, 64) if tiny else (50, 128)
    values = {}
    for case, readout in (("DDN", "last"), ("LDN", "all")):
        command = [sys.executable, "-c", _PEAK, readout, str(depth), str(batch), str(device)]
        values[case] = int(subprocess.run(command, capture_output=True, check=True).stdout) / 2**20
    return Comparison("peak training memory", "MiB", f"ResidualConvNet, D = {depth}, batch {batch}, eager", values)
