"""``pyro.infer.SVI`` trains models and guides as ``enum_elbo`` and a torch optimiser do, and models do not meet."""

import copy
import io
from collections.abc import Iterator

import pyro
import pytest
import torch
from pyro.infer import SVI, TraceEnum_ELBO
from pyro.infer.autoguide import AutoDiscreteParallel
from torch import nn

import pyro_vds as vds
from tests import oracles, sites


@pytest.fixture(autouse=True)
def empty_store(nothing_global_changes: None) -> Iterator[None]:
    yield
    pyro.clear_param_store()


def depths():
    return oracles.problem(2)


def learnt_prior_and_scale():
    torch.manual_seed(0)
    likelihood = vds.likelihoods.Gaussian(learn_scale=True)
    net = vds.ResidualMLP(2, 1, width=4, max_depth=2)
    model = vds.VDSModel(net, likelihood=likelihood, num_data=30, learn_prior=True)
    return model, vds.AutoCategorical(model), torch.randn(10, 2), torch.randn(10)


def depth_for_each_input():
    torch.manual_seed(0)
    model = vds.VDSModel(vds.ResidualMLP(2, 3, width=4, max_depth=2), num_data=30, plate=vds.DATA)
    return model, vds.AutoPerInput(model, nn.Linear(2, 3)), torch.randn(10, 2), torch.arange(10) % 3


def replicates():
    torch.manual_seed(0)
    net = vds.Replicated(vds.ResidualMLP(2, 3, width=4, max_depth=1), 2)
    model = vds.VDSModel(net, num_data=30)
    return model, vds.AutoCategorical(model), torch.randn(2, 10, 2), torch.arange(20).view(2, 10) % 3


def svi_of(model, guide, lr=0.01):
    nesting = 1 + len(model.batch_shape)
    return SVI(model, guide, pyro.optim.SGD({"lr": lr, "momentum": 0.5}), TraceEnum_ELBO(max_plate_nesting=nesting))


def weights(*modules):
    return nn.utils.parameters_to_vector(p for module in modules for p in module.parameters()).detach().clone()


@pytest.mark.parametrize("problem", [depths, learnt_prior_and_scale, depth_for_each_input, replicates])
def test_each_step_equals_that_of_the_exact_elbo_and_a_torch_optimiser(problem):
    model, guide, x, y = problem()
    twin, twin_guide = copy.deepcopy((model, guide))
    elbo = vds.enum_elbo(twin, twin_guide)
    optimizer = torch.optim.SGD(elbo.parameters(), lr=0.01, momentum=0.5)
    svi = svi_of(model, guide)
    for _ in range(4):
        before = weights(model, guide)
        loss = elbo(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert svi.step(x, y) == pytest.approx(loss.item(), abs=1e-12)
        torch.testing.assert_close(weights(model, guide), weights(twin, twin_guide), rtol=0, atol=1e-13)
        assert bool((weights(model, guide) != before).any())
    torch.testing.assert_close(model.state_dict(), twin.state_dict(), rtol=0, atol=1e-13)  # statistics too


def test_two_models_do_not_meet_in_the_store():
    model, guide, x, y = depths()
    other, other_guide = copy.deepcopy((model, guide))
    alone, alone_guide = copy.deepcopy((model, guide))
    first, second = svi_of(model, guide), svi_of(other, other_guide, lr=0.001)
    for _ in range(3):
        first.step(x, y)
        second.step(x, y)
    names = set(pyro.get_param_store())
    pyro.clear_param_store()
    svi = svi_of(alone, alone_guide)
    for _ in range(3):
        svi.step(x, y)
    torch.testing.assert_close(weights(model, guide), weights(alone, alone_guide), rtol=0, atol=0)
    assert not torch.equal(weights(model), weights(other))
    assert len(names) == 2 * len([*model.parameters(), *guide.parameters()])


def test_a_cleared_store_and_fit_between_change_nothing():
    model, guide, x, y = depths()
    twin, twin_guide = copy.deepcopy((model, guide))
    for one, its_guide, clear in ((model, guide, True), (twin, twin_guide, False)):
        for _ in range(2):
            svi_of(one, its_guide).step(x, y)
            held = set(pyro.get_param_store())
            vds.fit(one, its_guide, (x, y), max_epochs=2, batch_size=6, progress=False)
            assert set(pyro.get_param_store()) == held
            if clear:
                pyro.clear_param_store()
    torch.testing.assert_close(weights(model, guide), weights(twin, twin_guide), rtol=0, atol=0)


def test_a_saved_store_says_what_it_holds_and_is_taken_back_on_demand():
    model, guide, x, y = depths()
    svi_of(model, guide).step(x, y)
    learnt, store, file = weights(model, guide), pyro.get_param_store(), io.BytesIO()
    torch.save(store.get_state(), file)
    names = {name.partition("$$$")[0] for name in store}
    own, guides = (next(name for name in names if kind in name) for kind in ("VDSModel", "AutoCategorical"))
    assert {f"{own}$$${name}" for name, _ in model.named_parameters()} <= set(store)
    svi_of(model, guide).step(x, y)
    pyro.clear_param_store()
    file.seek(0)
    store.set_state(torch.load(file, weights_only=False))
    with pytest.raises(RuntimeError, match=rf"pyro.module\('{guides}', module, update_module_params=True\)"):
        svi_of(model, guide).step(x, y)
    assert not torch.equal(weights(model, guide), learnt)
    pyro.module(guides, guide, update_module_params=True)
    pyro.module(own, model, update_module_params=True)
    torch.testing.assert_close(weights(model, guide), learnt, rtol=0, atol=0)
    svi_of(model, guide).step(x, y)
    assert not torch.equal(weights(model), learnt[: len(weights(model))])


def test_what_would_not_be_trained_is_refused():
    model, guide, x, y = depths()
    svi_of(model, guide).step(x, y)
    model.backbone.head = nn.Linear(5, 3)
    with pytest.raises(RuntimeError, match=r"got another tensor as 'VDSModel_\d+\$\$\$backbone.head.weight'"):
        svi_of(model, guide).step(x, y)
    pyro.clear_param_store()
    svi_of(model, guide).step(x, y)
    model.backbone.head.weight = nn.Parameter(torch.randn(5, 3).t())
    pyro.clear_param_store()
    with pytest.raises(RuntimeError, match="Expected contiguous parameters"):
        svi_of(model, guide).step(x, y)


def test_axes_with_sites_are_refused():
    model, guide = sites.dense_model()
    with pytest.raises(RuntimeError, match=r"Expected axes without sites for pyro.infer.SVI, got \['gate'\]"):
        svi_of(model, guide).step(*sites.data())
    assert not list(pyro.get_param_store())


def test_weights_kept_for_the_network_before_are_forgotten():
    model, guide, x, y = depths()
    guide.keep_weights("exact", vds.exact_posterior(model, (x, y)).log_joint_probs)
    svi_of(model, guide).step(x, y)
    assert guide.available_weights == ("posterior", "uniform")


def test_a_guide_of_pyro_reaches_the_exact_posterior_of_a_frozen_network():
    model, _, x, y = depths()
    vds.freeze(model.backbone)
    before = weights(model)
    guide = AutoDiscreteParallel(model)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.2}), TraceEnum_ELBO(max_plate_nesting=1))
    losses = [svi.step(x, y) for _ in range(200)]
    assert -losses[-1] == pytest.approx(vds.exact_posterior(model, (x, y)).log_evidence, abs=1e-3)
    assert torch.equal(weights(model), before)


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize(
    "call",
    [
        lambda model, guide, data: vds.fit(model, guide, data),
        lambda model, guide, data: vds.predict_proba(model, guide, data[0]),
        lambda model, guide, data: vds.exact_posterior(model, data).gap(guide),
        lambda model, guide, data: vds.BoundGap(model, guide, data),
    ],
)
def test_a_guide_of_pyro_is_refused_where_its_probabilities_are_needed(call):
    model, _, x, y = depths()
    with pytest.raises(TypeError, match="such as AutoCategorical.*got AutoDiscreteParallel"):
        call(model, AutoDiscreteParallel(model), (x, y))
