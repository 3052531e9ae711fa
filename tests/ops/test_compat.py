"""Each private door of torch and Pyro is still there and does what the package relies on."""

import threading

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from pyro.nn import PyroModule
from torch import nn
from torch.distributions import Distribution

from pyro_vds.infer.enumerated import DenseEnumELBO
from pyro_vds.ops import compat


def test_svi_is_seen_while_it_collects_parameters():
    """Without it, a model under ``pyro.infer.SVI`` would train nothing and say nothing."""
    seen = []

    def model():
        seen.append(compat.collects_parameters())

    model()
    with poutine.trace(param_only=True):
        model()
    poutine.trace(model).get_trace()
    assert seen == [False, True, False]


def test_enumerated_values_are_told_from_drawn_ones():
    """Without it, reading out all architectures would go through a gather, whose backward pass is slow."""
    seen = []

    def model():
        value = pyro.sample("a", dist.Categorical(torch.ones(3)))
        seen.append(compat.is_enumerated(value))

    def guide():
        pyro.sample("a", dist.Categorical(torch.ones(3)), infer={"enumerate": "parallel"})

    TraceEnum_ELBO(max_plate_nesting=0).loss(model, guide)
    model()
    assert seen == [True, False]


def test_checks_of_distributions_are_restored():
    """Without it, the compiler would leave the argument checks of every distribution off."""
    before = Distribution._validate_args
    with compat.checks_of_distributions():
        Distribution.set_default_validate_args(not before)
    assert Distribution._validate_args == before


def test_an_address_is_fixed_for_the_compiler():
    """Without it, a CUDA graph would copy every parameter in at each step."""
    tensor = torch.zeros(2)
    compat.fix_address(tensor)
    assert tensor._dynamo_static_input_type in ("guarded", "unguarded")


def test_many_tensors_are_copied_at_once():
    """Without it, keeping the best state would take a kernel for each tensor."""
    sources, targets = [torch.ones(2), torch.full((3,), 2.0)], [torch.zeros(2), torch.zeros(3)]
    compat.copy_tensors(targets, sources)
    assert torch.equal(torch.cat(targets), torch.cat(sources))
    assert targets[0].data_ptr() != sources[0].data_ptr()


def test_changes_in_place_are_counted():
    """Without it, a block that overwrites its input would spoil the read-out of the depth below, in silence."""
    tensor = torch.zeros(2)
    before = compat.in_place_changes(tensor)
    tensor.add_(1)
    assert compat.in_place_changes(tensor) == before + 1
    assert compat.in_place_changes(tensor + 1) == 0


def test_changes_under_vmap_are_those_of_the_tensor_behind():
    """Without it, a replicate's block could overwrite its input unseen."""
    seen = []

    def change(row):
        before = compat.in_place_changes(row)
        seen.append(compat.in_place_changes(row.relu_()) - before)
        return row

    torch.func.vmap(change)(torch.randn(3, 2))
    with torch.inference_mode():
        seen.append(compat.in_place_changes(torch.zeros(2).relu_()))
    assert seen == [1, 0]


def test_what_torch_compile_returns_is_known():
    """Without it, a compiled network would fail by the names of its parameters."""
    with compat.checks_of_distributions():
        compiled = torch.compile(nn.Linear(2, 2))
    assert compat.is_compiled(compiled)
    assert not compat.is_compiled(nn.Linear(2, 2))


def test_fused_layers_are_off_within_and_as_before_afterwards():
    """Without it, an LSTM or an attention would cost nothing."""
    of_torch = torch.backends

    def settings():
        return of_torch.mha.get_fastpath_enabled(), of_torch.cudnn.enabled, of_torch.mkldnn.enabled

    before = settings()
    with compat.without_fused_layers():
        assert settings() == (False, False, False)
    assert settings() == before


def test_hooks_before_the_forward_pass_are_listed():
    """Without it, frozen parts could not be told from others."""
    module = nn.Linear(1, 1)
    handle = module.register_forward_pre_hook(print)
    assert list(compat.input_hooks(module).values()) == [print]
    handle.remove()
    assert not compat.input_hooks(module)


def test_children_are_held_outside_of_the_store():
    """Without it, two models of one process would share the weights of their networks by name."""

    class Owner(PyroModule):
        def forward(self):
            return compat.held(self, "network")

    class Control(PyroModule):
        def forward(self):
            return self.network

    owner, control = Owner(), Control()
    compat.hold(owner, "network", nn.Linear(1, 1))
    assert dict(owner.named_parameters()).keys() == {"network.weight", "network.bias"}
    owner()
    assert not list(pyro.get_param_store().keys())
    control.network = nn.Linear(1, 1)
    control()
    assert list(pyro.get_param_store().keys())
    pyro.clear_param_store()


def test_traces_hold_every_entry_of_an_enumerated_site():
    """Without it, the dense sum of the ELBO would have to enumerate by itself."""

    def model():
        pyro.sample("a", dist.Categorical(torch.tensor([0.2, 0.8])))

    def guide():
        pyro.sample("a", dist.Categorical(torch.tensor([0.5, 0.5])), infer={"enumerate": "parallel"})

    model_trace, guide_trace = compat.enumerated_traces(DenseEnumELBO(max_plate_nesting=0), model, guide, (), {})
    assert guide_trace.nodes["a"]["value"].flatten().tolist() == [0, 1]
    assert model_trace.nodes["a"]["log_prob"].exp().flatten().tolist() == pytest.approx([0.2, 0.8])


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_batch_norms_have_a_kind_in_common(norm):
    """Without it, a kind of batch norm would be left out where statistics are kept for each depth."""
    assert issubclass(norm, compat.BatchNorm)


def test_checks_are_on_again_after_blocks_that_overlap_in_threads():
    before = pyro.settings.get()
    first, second = threading.Event(), threading.Event()

    def leaves_last():
        with compat.without_checks_of_arguments():
            first.set()
            assert second.wait(10)
            assert Distribution._validate_args is False

    thread = threading.Thread(target=leaves_last)
    with compat.without_checks_of_arguments():
        thread.start()
        assert first.wait(10)
    second.set()
    thread.join()
    assert pyro.settings.get() == before
    with pytest.raises(ZeroDivisionError), compat.without_checks_of_arguments():
        raise ZeroDivisionError
    assert pyro.settings.get() == before


def test_other_children_and_hooks_leave_the_module_as_it_was():
    """Without it, the stem cut out of a pretrained network would lose the network its blocks."""
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    other = compat.with_children(network, {"1": None})
    other.register_forward_pre_hook(lambda module, inputs: None)
    assert other(torch.zeros(1, 2)).shape == (1, 3)
    assert network(torch.zeros(1, 2)).shape == (1, 4)
    assert (len(other._forward_pre_hooks), len(network._forward_pre_hooks)) == (1, 0)
    assert other[0] is network[0]
    assert not dict(compat.with_children(nn.BatchNorm1d(2), {}, own=False).state_dict())


def test_a_module_stays_in_float32_and_its_children_do_not():
    class Scaled(compat.StaysFloat32):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(0.1))
            self.layer = nn.Linear(1, 1)
            self.register_buffer("count", torch.tensor(3))

    module = Scaled()
    exact = module.scale.detach().clone()
    for change, kept, children in (
        (module.half, torch.float64, torch.float16),
        (module.float, torch.float32, torch.float32),
        (module.bfloat16, torch.float32, torch.bfloat16),
    ):
        change()
        assert (module.scale.dtype, module.layer.weight.dtype, module.count.dtype) == (kept, children, torch.int64)
    assert torch.equal(module.scale, exact.float())
    assert isinstance(module.scale, nn.Parameter)
