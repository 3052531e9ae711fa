"""Replicates train side by side as each would alone."""

import copy

import oracles
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive, TraceEnum_ELBO

import pyro_vds as vds

QUIET = {"progress": False}
COPIES = 3


def mlp():
    return vds.ResidualMLP(2, 3, width=5, max_depth=2)


def conv():
    return vds.ResidualConvNet(1, 3, max_depth=2, channels=4, bottleneck=2)


def shared_conv():
    return vds.ResidualConvNet(1, 3, max_depth=2, channels=4, bottleneck=2, head_statistics="shared")


def regression():
    return vds.ResidualMLP(2, 1, width=5, max_depth=2)


def plain():
    return vds.ResidualMLP(2, 3, width=5, max_depth=2, readout="last")


BACKBONES = [mlp, conv, shared_conv, regression, plain]


def data(build, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = build in (conv, shared_conv)
    x = torch.randn(12, *((1, 8, 8) if images else (2,)), generator=generator)
    labels = torch.randint(0, 3, (12,), generator=generator)
    return x, torch.randn(12, generator=generator) if build is regression else labels


def likelihood(build):
    return vds.likelihoods.Gaussian(0.7, learn_scale=True) if build is regression else None


def alone(build, pair, seed, **how):
    torch.manual_seed(seed)
    model = vds.VDSModel(build(), likelihood=likelihood(build), num_data=12)
    guide = vds.AutoCategorical(model)
    history = vds.fit(model, guide, pair, seed=seed, **how, **QUIET)
    return model, guide, history


def together(build, pairs, **how):
    backbone = vds.Replicated(build(), COPIES, seed=5)
    model = vds.VDSModel(backbone, likelihood=likelihood(build), num_data=12)
    guide = vds.AutoCategorical(model)
    history = vds.fit(model, guide, pairs, seed=5, **how, **QUIET)
    return model, guide, history


def assert_equal(found, expected):
    """Compare model, guide and history."""
    for one, other in zip(found[:2], expected[:2], strict=True):
        torch.testing.assert_close(dict(one.state_dict()), dict(other.state_dict()))
    torch.testing.assert_close(found[2].elbo, expected[2].elbo)
    torch.testing.assert_close(dict(found[2].probs), dict(expected[2].probs))
    assert (found[2].best_epoch, found[2].stopped) == (expected[2].best_epoch, expected[2].stopped)


@pytest.mark.parametrize("build", BACKBONES)
@pytest.mark.parametrize("batch_size", [12, 7])
def test_each_replicate_is_what_it_would_be_alone(build, batch_size):
    how = {"max_epochs": 17, "batch_size": batch_size, "lr": 0.01, "weight_decay": 0.01, "milestones": [9]}
    pair = data(build)
    model, guide, history = together(build, pair, **how)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        expected = alone(build, pair, 5 + r, **how)
        assert_equal((one, its_guide, history.replicate(r)), expected)


@pytest.mark.parametrize(("build", "batch_size"), [(mlp, 7), (mlp, 12), (conv, 7)])
def test_compiled_replicates_equal_eager_ones(build, batch_size):
    # With a larger step batch norm over few points amplifies the last bits, differently on every machine.
    how = {"max_epochs": 25, "batch_size": batch_size, "lr": 0.001}
    eager, compiled = (together(build, data(build), compile=c, **how) for c in (False, True))
    assert compiled[2].compile_seconds > 0
    assert_equal(compiled, eager)


def test_each_replicate_has_its_own_data_and_validation():
    pairs, held_out = ([data(mlp, seed) for seed in seeds] for seeds in ((1, 2, 3), (4, 5, 6)))
    how = {"max_epochs": 20, "batch_size": 5, "lr": 0.5}
    model, guide, history = together(mlp, pairs, validation=held_out, **how)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        expected = alone(mlp, pairs[r], 5 + r, validation=held_out[r], **how)
        assert_equal((one, its_guide, history.replicate(r)), expected)
        torch.testing.assert_close(dict(history.replicate(r).validation), dict(expected[2].validation))


def test_each_replicate_stops_by_itself():
    """With a large step the replicates get worse at different epochs."""
    how = {"max_epochs": 60, "lr": 1.5, "patience": 4}
    model, guide, history = together(mlp, data(mlp), **how)
    assert len(set(history.best_epoch)) > 1, "the control needs replicates that stop at different epochs"
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        expected = alone(mlp, data(mlp), 5 + r, **how)
        assert_equal_states = [(one, expected[0]), (its_guide, expected[1])]
        for found, its_own in assert_equal_states:
            torch.testing.assert_close(dict(found.state_dict()), dict(its_own.state_dict()))
        assert history.best_epoch[r] == expected[2].best_epoch
        assert history.stopped[r] == expected[2].stopped


def test_a_replicate_that_becomes_nan_leaves_the_others_alone(caplog):
    pairs = [data(mlp, seed) for seed in (1, 2, 3)]
    pairs[1] = (pairs[1][0] * 1e200, pairs[1][1])
    how = {"max_epochs": 10}
    model, guide, history = together(mlp, pairs, **how)
    assert history.stopped == ("max_epochs", "non_finite", "max_epochs")
    assert "in replicate 1" in caplog.text
    one, its_guide = vds.replicates(model, guide)[2]
    assert_equal((one, its_guide, history.replicate(2)), alone(mlp, pairs[2], 7, **how))
    assert all(torch.isfinite(t).all() for t in model.state_dict().values())


def test_a_diverging_replicate_with_validation_leaves_the_others_alone():
    pairs = [data(mlp, seed) for seed in (1, 2, 3)]
    pairs[1] = (pairs[1][0] * 1e200, pairs[1][1])
    model, guide, history = together(mlp, pairs, validation=pairs, max_epochs=10)
    assert history.stopped == ("max_epochs", "non_finite", "max_epochs")
    expected = alone(mlp, pairs[2], 7, validation=pairs[2], max_epochs=10)
    assert_equal((*vds.replicates(model, guide)[2], history.replicate(2)), expected)


def test_plain_networks_are_validated_too():
    model, guide, history = together(plain, data(plain), validation=data(plain, 1), max_epochs=5)
    for r, (one, _) in enumerate(vds.replicates(model, guide)):
        _, _, expected = alone(plain, data(plain), 5 + r, validation=data(plain, 1), max_epochs=5)
        torch.testing.assert_close(dict(history.replicate(r).validation), dict(expected.validation))
        probs = vds.predict_proba(model, guide, data(plain)[0])[r]
        torch.testing.assert_close(probs, vds.predict_proba(one, None, data(plain)[0]))


def test_when_all_become_nan_the_error_is_raised():
    x, y = data(mlp)
    with pytest.raises(vds.NonFiniteLossError, match="in replicate 0"):
        together(mlp, (x * 1e200, y), max_epochs=3)


def trained(build=mlp):
    model, guide, _ = together(build, data(build), max_epochs=5)
    return model, guide, data(build)


@pytest.mark.parametrize("depth", [None, 1])
def test_predictions_are_those_of_each_replicate(depth):
    model, guide, (x, y) = trained()
    pairs = vds.replicates(model, guide)
    probs = vds.predict_proba(model, guide, x, depth=depth, batch_size=5)
    log_probs = vds.log_predictive(model, guide, x, y, depth=depth, batch_size=5)
    for r, (one, its_guide) in enumerate(pairs):
        torch.testing.assert_close(probs[r], vds.predict_proba(one, its_guide, x, depth=depth))
        torch.testing.assert_close(log_probs[r], vds.log_predictive(one, its_guide, x, y, depth=depth))
    ensemble = vds.predict_proba(model, guide, x, depth=depth, ensemble=True)
    torch.testing.assert_close(ensemble, probs.mean(0))
    log_ensemble = vds.log_predictive(model, guide, x, y, depth=depth, ensemble=True)
    torch.testing.assert_close(log_ensemble, ensemble[range(12), y].log())


def test_moments_of_a_regression_and_of_its_ensemble():
    model, guide, (x, _) = trained(regression)
    mean, variance = vds.predict_moments(model, guide, x)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close((mean[r], variance[r]), vds.predict_moments(one, its_guide, x))
    of_all = vds.predict_moments(model, guide, x, ensemble=True)
    torch.testing.assert_close(of_all, (mean.mean(0), variance.mean(0) + mean.var(0, unbiased=False)))


def test_datatree_has_a_chain_for_each_replicate():
    model, guide, (x, y) = trained()
    tree = vds.to_datatree(model, guide, x, y, draws=50, seed=3)
    assert dict(tree["posterior"].sizes) == {"chain": COPIES, "draw": 50}
    assert tree["log_likelihood"]["obs"].shape == (COPIES, 50, 12)
    exact = tree["architecture"]
    assert exact["log_q"].dims == ("chain", "depth")
    assert exact["depth"].attrs == {"nested": 1}
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        single = vds.to_datatree(one, its_guide, x, y, draws=50, seed=3 + r)
        assert (tree["posterior"]["depth"][r].values == single["posterior"]["depth"][0].values).all()
        assert (exact["log_likelihood"][r].values == single["architecture"]["log_likelihood"].values).all()
        assert float(exact["log_evidence"][r]) == single["architecture"].attrs["log_evidence"]
    assert tree["observed_data"]["obs"].shape == (12,)


def test_model_is_a_pyro_model_with_a_plate_of_replicates():
    model, guide, (x, y) = trained()
    batch = (x.expand(COPIES, -1, -1), y.expand(COPIES, -1))
    trace = poutine.trace(model).get_trace(*batch)
    assert [frame.name for frame in trace.nodes["obs"]["cond_indep_stack"]] == ["replicate", "data"]
    model.eval()
    theirs = TraceEnum_ELBO(max_plate_nesting=2).differentiable_loss(model, guide, *batch)
    elbo = vds.enum_elbo(model, guide)
    torch.testing.assert_close(elbo(*batch), theirs)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(elbo.losses(*batch)[r], vds.enum_elbo(one.eval(), its_guide)(x, y))
    assert Predictive(model, guide=guide, num_samples=4)(batch[0])["obs"].shape == (4, COPIES, 12)


def test_copies_are_drawn_by_their_seeds_and_the_original_stays():
    backbone = mlp()
    before = copy.deepcopy(backbone.state_dict())
    state = torch.random.get_rng_state()
    replicated = vds.Replicated(backbone, 2, seed=7)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.testing.assert_close(dict(backbone.state_dict()), dict(before))
    for r in range(2):
        torch.manual_seed(7 + r)
        torch.testing.assert_close(dict(replicated.copy(r).state_dict()), dict(mlp().state_dict()))


@pytest.mark.usefixtures("as_a_user")
def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="Expected a backbone with an attribute 'space' to copy, got Linear"):
        vds.Replicated(torch.nn.Linear(2, 2), 2)
    with pytest.raises(ValueError, match="Expected at least one replicate, got n=0"):
        vds.Replicated(mlp(), 0)

    class Fixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

    with pytest.raises(
        TypeError, match=r"reset_parameters\(\).* got Fixed without it, with the parameters \['scale'\]"
    ):
        vds.Replicated(vds.PerDepth(torch.nn.Linear(2, 2), [Fixed()], torch.nn.Linear(2, 2)), 2)
    model, guide, (x, y) = trained()
    with pytest.raises(ValueError, match="Expected 3 pairs of equal shapes as training data"):
        vds.fit(model, guide, [(x, y)] * 2, **QUIET)
    with pytest.raises(ValueError, match="Expected 3 pairs of equal shapes as training data"):
        vds.fit(model, guide, [(x, y), (x, y), (x[:5], y[:5])], **QUIET)
    vds.fit(model, guide, ((x, y),) * 3, max_epochs=1, **QUIET)
    elbo = vds.enum_elbo(model, guide)
    elbo(x.expand(3, -1, -1), y.expand(3, -1))
    with pytest.raises(ValueError, match=r"got inputs of shape \(3, 12, 2\) and targets of shape \(3, 1\)"):
        elbo(x.expand(3, -1, -1), y[:1].expand(3, -1))
    with pytest.raises(TypeError, match="Expected inputs as a tensor or a NumPy array, .*, got list"):
        vds.log_predictive(model, guide, x.tolist(), y)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y))
    with pytest.raises(TypeError, match="got a DataLoader"):
        vds.fit(model, guide, loader, **QUIET)
    single, its_guide, *_ = oracles.problem(1)
    with pytest.raises(ValueError, match="Expected a model with replicates"):
        vds.replicates(single, its_guide)
