"""The same numbers on a GPU."""

import oracles
import pytest
import torch

import pyro_vds as vds
from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.guide_updates import logits_set
from pyro_vds.training.objective import Objective
from pyro_vds.training.steps import CompiledStep, EagerStep

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_loss_posterior_and_prediction_equal_the_cpus():
    found = []
    for device in ("cpu", "cuda"):
        model, guide, x, y = oracles.problem(4)
        model.to(device)
        guide.to(device)
        x, y = x.to(device), y.to(device)
        loss = vds.enum_elbo(model, guide)(x, y).detach()
        exact = vds.exact_posterior(model, (x, y)).log_joint_probs
        pruned = vds.prune(model, guide, depth=2)(x).detach()
        found.append([t.cpu() for t in (loss, exact, vds.predict_proba(model, guide, x), pruned)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_training_on_the_gpu_follows_the_cpu():
    elbos = []
    for device in ("cpu", "cuda"):
        model, guide, x, y = oracles.problem(3)
        history = vds.fit(model, guide, (x, y), max_epochs=20, batch_size=5, device=device, progress=False)
        elbos.append(history.elbo)
        assert model.device_tensor().device.type == device
        assert vds.estimate_memory(model, (x, y), batch_size=5).available > 0
    torch.testing.assert_close(elbos[0], elbos[1])


def test_recalibration_and_datatree():
    model, guide, x, y = oracles.problem(2)
    vds.fit(model, guide, (x, y), max_epochs=3, device="cuda", progress=False)
    vds.recalibrate_batch_norm(model, (x, y))
    tree = vds.to_datatree(model, guide, x, y, draws=10)
    assert tree["posterior_predictive"]["obs"].shape == (1, 10, 12)


@pytest.mark.parametrize("update", ["gradient", "closed_form"])
@pytest.mark.parametrize("optimizer", [None, torch.optim.AdamW])
@pytest.mark.parametrize("kind", [EagerStep, CompiledStep])
def test_steps_do_not_wait_for_the_device(kind, optimizer, update):
    """After the first steps, which compile and record, nothing synchronises with the host."""
    model, guide, x, y = oracles.problem(3)
    config = TrainingConfig(optimizer=optimizer, guide_update=update, block_rate="full")
    objective = Objective(vds.enum_elbo(model, guide).cuda(), config)
    batch = x.cuda(), y.cuda()
    objective.elbo.check(*batch)
    with logits_set(guide, config):
        step = kind(objective, config)
    for _ in range(4):
        step(*batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [step(*batch).loss for _ in range(5)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.stack(losses).isfinite().all()


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_images_train_in_other_precisions(precision, compile):
    torch.set_default_dtype(torch.float32)
    elbos = []
    for how in ({}, {"precision": precision, "compile": compile, "channels_last": True}):
        torch.manual_seed(0)
        model = vds.VDSModel(vds.ResidualConvNet(1, 3, max_depth=2, channels=16, bottleneck=8), num_data=64)
        data = torch.randn(64, 1, 16, 16), torch.arange(64) % 3
        guide = vds.AutoCategorical(model)
        history = vds.fit(model, guide, data, max_epochs=3, lr=0.01, device="cuda", progress=False, **how)
        elbos.append(history.elbo)
    torch.set_default_dtype(torch.float64)
    torch.testing.assert_close(elbos[1], elbos[0], rtol=0.02, atol=0.1)


def test_compiled_training_and_replicates_follow_the_cpu():
    elbos = []
    for device, compile in (("cpu", False), ("cuda", True)):
        net = vds.Replicated(vds.ResidualMLP(2, 3, width=5, max_depth=2), 3)
        model = vds.VDSModel(net, num_data=12)
        x, y = torch.randn(12, 2, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
        how = {"max_epochs": 10, "batch_size": 5, "device": device, "compile": compile, "progress": False}
        elbos.append(vds.fit(model, vds.AutoCategorical(model), (x, y), **how).elbo)
    torch.testing.assert_close(elbos[0], elbos[1])
