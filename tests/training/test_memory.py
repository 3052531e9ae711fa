"""The estimate of memory against what is really allocated."""

import math
import subprocess
import sys

import oracles
import pytest
import torch

import pyro_vds as vds
from pyro_vds.ops.memory import container_memory
from pyro_vds.training.memory import check_memory, estimate_memory, is_small

CONV = {"max_depth": 6, "channels": 16, "bottleneck": 8}


def conv_problem(**how):
    torch.manual_seed(0)
    net = vds.ResidualConvNet(1, 3, **CONV, **how)
    model = vds.VDSModel(net, num_data=64)
    return model, (torch.randn(64, 1, 16, 16), torch.randint(0, 3, (64,)))


def saved_bytes(model, data) -> int:
    """What autograd keeps for the real batch."""
    elbo = vds.enum_elbo(model, vds.AutoCategorical(model))
    elbo(*data)
    parameters = {p.data_ptr() for p in elbo.parameters()}
    kept = {}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in parameters:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loss = elbo(data[0].clone(), data[1])
    assert loss.requires_grad
    return sum(t.untyped_storage().nbytes() for t in kept.values())


def test_two_small_batches_foretell_a_large_one():
    model, data = conv_problem()
    estimate = estimate_memory(model, data, batch_size=64)
    assert estimate.activations == pytest.approx(saved_bytes(model, data), rel=0.01)


def test_readouts_of_the_conv_net_cost_less_than_a_tenth():
    model, data = conv_problem()
    plain, _ = conv_problem(readout="last")
    estimate = estimate_memory(model, data, batch_size=64)
    assert estimate.readouts == pytest.approx(saved_bytes(model, data) - saved_bytes(plain, data), rel=0.1)
    assert 0 < estimate.readouts < 0.1 * estimate.activations
    assert estimate_memory(plain, data, batch_size=64).readouts == 0


def test_without_a_pool_every_depth_keeps_its_feature_map():
    """The bad control: reading out unpooled feature maps."""
    model, data = conv_problem()
    net = model.backbone
    head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16 * 6 * 6, 3))
    unpooled = vds.VDSModel(vds.PerDepth(net.stem, net.blocks, head), num_data=64)
    pooled = estimate_memory(model, data, batch_size=64).readouts
    assert estimate_memory(unpooled, data, batch_size=64).readouts > 5 * pooled


def test_the_model_is_left_as_it_was():
    model, _, x, y = oracles.problem(2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    estimate_memory(model, (x, y), batch_size=4)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_what_cannot_fit_is_refused_with_numbers_and_a_remedy():
    model, (x, y) = conv_problem()
    endless = (x[:1].expand(10**9, -1, -1, -1), y[:1].expand(10**9))
    with pytest.raises(MemoryError, match=r"needs about [\d.]+ GiB .* available [\d.]+ GiB\. Reduce batch_size"):
        check_memory(model, endless, batch_size=10**9)
    check_memory(model, endless, batch_size=64)


@pytest.mark.skipif(sys.platform != "linux", reason="counts in KiB on Linux only")
def test_peak_memory_of_learning_depth_is_close_to_the_plain_networks():
    """Peak resident memory of one training step of each network, in a process of its own."""
    code = """
import sys, torch, pyro_vds as vds
def peak():  # not ru_maxrss, which a process inherits from the one that starts it
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
torch.manual_seed(0); torch.set_num_threads(1)
net = vds.ResidualConvNet(1, 10, max_depth=50, readout=sys.argv[1])
model = vds.VDSModel(net, num_data=128)
elbo = vds.enum_elbo(model, vds.AutoCategorical(model))
x, y = torch.randn(128, 1, 28, 28), torch.randint(0, 10, (128,))
elbo(x[:2], y[:2]).backward()
before = peak()
for _ in range(2):
    elbo(x, y).backward()
print(peak() - before)
"""
    peak = {
        readout: int(subprocess.run([sys.executable, "-c", code, readout], capture_output=True, check=True).stdout)
        for readout in ("all", "last")
    }
    assert peak["last"] > 300 * 1024, f"the control is too small to measure: {peak} KiB"
    assert peak["all"] <= 1.1 * peak["last"]


def test_a_containers_limit_counts(tmp_path):
    assert container_memory(tmp_path) == math.inf
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 50\n")
    assert container_memory(tmp_path) == math.inf
    (tmp_path / "memory.max").write_text("1000\n")
    assert container_memory(tmp_path) == 350


def test_validation_data_that_move_are_counted():
    model, _, x, y = oracles.problem(1)
    one = estimate_memory(model, (x, y), batch_size=4, device="meta")
    two = estimate_memory(model, (x, y), batch_size=4, device="meta", validation=(x, y))
    assert two.data == 2 * one.data > 0


def test_small_training_is_not_estimated_and_large_is():
    model, guide, x, y = oracles.problem(2)
    assert is_small(model, (x, y), batch_size=12, device=torch.device("cpu"))
    endless = x[:1].expand(10**12, -1), y[:1].expand(10**12)
    assert not is_small(model, endless, batch_size=10**12, device=torch.device("cpu"))
    passes = []
    handle = model.backbone.register_forward_hook(lambda *_: passes.append(1))
    vds.fit(model, guide, (x, y), max_epochs=1, progress=False)
    handle.remove()
    assert len(passes) == 4  # the checks of the data and of a batch on a single point, the rehearsal, and the step


def test_what_optimiser_and_average_keep_is_counted():
    model, _, x, y = oracles.problem(1)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())

    def copies(**settings):
        return estimate_memory(model, (x, y), batch_size=4, config=vds.TrainingConfig(**settings)).state / weights

    assert (copies(), copies(optimizer=torch.optim.AdamW), copies(averaging="ema")) == (5, 6, 7)
