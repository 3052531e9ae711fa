"""A depth for each input: the exact ELBO, and the network that stops early."""

import oracles
import pytest
import torch
from pyro.infer import Predictive, TraceEnum_ELBO
from torch import nn

import pyro_vds as vds

QUIET = {"progress": False}


def problem(max_depth=3, num_data=12, likelihood=None):
    torch.manual_seed(0)
    outputs = 3 if likelihood is None else 1
    net = vds.ResidualMLP(2, outputs, 5, max_depth)
    model = vds.VDSModel(
        net, priors=vds.priors.Geometric(0.7), likelihood=likelihood, num_data=num_data, plate=vds.DATA
    )
    guide = vds.AutoPerInput(model, nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, max_depth + 1)))
    x = torch.randn(12, 2)
    y = torch.randint(0, 3, (12,)) if likelihood is None else torch.randn(12)
    model.backbone(x)
    return model.eval(), guide, x, y


@pytest.mark.parametrize("num_data", [12, 30])
def test_elbo_is_the_sum_over_points_and_depths(num_data):
    model, guide, x, y = problem(num_data=num_data)
    q = guide.by_input(x).exp()
    log_p = oracles.log_probs(oracles.outputs(model.backbone, x), y)
    total = torch.zeros(())
    for n in range(12):
        for d in range(4):
            total = total + q[n, d] * (log_p[d, n] + oracles.prior(0.7, 4)[d].log() - q[n, d].log())
    total = total * num_data / 12
    elbo = vds.enum_elbo(model, guide)
    torch.testing.assert_close(elbo(x, y), -total)
    theirs = TraceEnum_ELBO(max_plate_nesting=1).differentiable_loss(model, guide, x, y)
    parameters = [*guide.parameters(), *model.parameters()]
    found, expected = (torch.autograd.grad(loss, parameters) for loss in (elbo(x, y), theirs))
    torch.testing.assert_close(found, expected)
    fit_term = num_data / 12 * (q * log_p.T).sum()
    torch.testing.assert_close(guide.kl(model, x), fit_term - total)
    torch.testing.assert_close(guide.probs(x)["depth"], q.mean(0).detach())


@pytest.mark.parametrize("compile", [False, True])
def test_training_improves_the_bound(compile):
    model, guide, x, y = problem()
    history = vds.fit(model, guide, (x, y), max_epochs=40, lr=0.05, compile=compile, **QUIET)
    assert history.elbo[-1] > history.elbo[0]
    torch.testing.assert_close(history.probs["depth"].sum(1), torch.ones(40))


def brute_force(model, guide, x, threshold):
    """Each input alone, through all depths."""
    probs, stops = [], []
    for point in x:
        q = guide.by_input(point[None])[0].exp()
        stop = next(k for k in range(len(q)) if q[k + 1 :].sum() < max(threshold, 1e-300))
        outputs = oracles.outputs(model.backbone, point[None])
        probs.append(oracles.predictive(outputs, q, stop))
        stops.append(stop)
    return torch.cat(probs), torch.tensor(stops)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9])
def test_prediction_is_the_mixture_cut_at_each_input_s_stop(threshold):
    model, guide, x, _ = problem()
    with torch.no_grad():
        guide.network[2].weight.mul_(20)
    network = vds.AdaptiveNetwork(model, guide, threshold)
    log_probs, stops = network(x)
    expected, depths = brute_force(model, guide, x, threshold)
    torch.testing.assert_close(log_probs.exp(), expected.detach())
    assert stops.tolist() == depths.tolist()
    if threshold == 0.5:
        assert len(set(stops.tolist())) > 1, "the control needs inputs that stop at different depths"


@pytest.mark.parametrize("depth", [None, 1])
def test_predictions_mix_the_depths_of_each_input(depth):
    model, guide, x, y = problem()
    q, outputs = guide.by_input(x).exp(), oracles.outputs(model.backbone, x)
    expected = torch.cat([oracles.predictive(outputs[:, [n]], q[n], 3 if depth is None else depth) for n in range(12)])
    expected = expected.detach()
    found = vds.predict_proba(model, guide, x, depth=depth, batch_size=5)
    torch.testing.assert_close(found, expected)
    log_density = vds.log_predictive(model, guide, x, y, depth=depth, batch_size=5)
    torch.testing.assert_close(log_density, expected.log()[torch.arange(12), y])
    entropy = vds.predict_entropy(model, guide, x, depth=depth)
    torch.testing.assert_close(entropy.total, torch.special.entr(expected).sum(1))


def test_validation_data_decide_when_training_stops():
    model, guide, x, y = problem()
    history = vds.fit(model, guide, (x, y), validation=(x, y), max_epochs=5, lr=0.05, **QUIET)
    assert history.best_epoch == int(history.validation["log_prob"].argmax())
    expected = vds.log_predictive(model, guide, x, y).mean()
    torch.testing.assert_close(history.validation["log_prob"].max(), expected)
    error = (vds.predict_proba(model, guide, x).argmax(1) != y).double().mean()
    torch.testing.assert_close(history.validation["error"][history.best_epoch], error)


def test_moments_and_intervals_mix_the_depths_of_each_input():
    model, guide, x, y = problem(likelihood=vds.likelihoods.Gaussian(0.5))
    q, f = guide.by_input(x).exp().detach(), oracles.outputs(model.backbone, x)[..., 0].T.detach()
    mean, noise, disagreement = vds.predict_variance_parts(model, guide, x, batch_size=5)
    torch.testing.assert_close(mean, (q * f).sum(1))
    torch.testing.assert_close(disagreement, (q * (f - mean[:, None]) ** 2).sum(1))
    torch.testing.assert_close(noise, torch.full_like(mean, 0.25))
    below = torch.special.ndtr((y[:, None] - f) / 0.5)
    pit = torch.from_numpy(vds.predict_pit(model, guide, x, y))
    torch.testing.assert_close(pit, (q * below).sum(1))


def test_regression_gives_mean_and_variance():
    model, guide, x, _ = problem(likelihood=vds.likelihoods.Gaussian(0.5))
    found, _ = vds.AdaptiveNetwork(model, guide, 0.0)(x)
    q, f = guide.by_input(x).exp(), oracles.outputs(model.backbone, x)[..., 0].T
    mean = (q * f).sum(1)
    variance = 0.25 + (q * (f - mean[:, None]) ** 2).sum(1)
    torch.testing.assert_close(found, torch.stack([mean, variance], 1).detach())


def test_easy_inputs_stop_early():
    """Points far from the boundary need no depth; only those in a spiral do."""
    generator = torch.Generator().manual_seed(0)
    spiral = vds.datasets.spirals(200, rotation=540, noise=0.05, train_fraction=0.9, generator=generator)
    x, y = spiral.train
    far = torch.randn(len(x), 2, generator=generator) * 0.1 + torch.tensor([6.0, 0.0])
    x, y = torch.cat([x, far]), torch.cat([y, torch.zeros(len(far), dtype=torch.long)])
    torch.manual_seed(0)
    net = vds.ResidualMLP(2, 2, width=20, max_depth=6)
    model = vds.VDSModel(net, priors=vds.priors.Geometric(0.3), num_data=len(x), plate=vds.DATA)
    guide = vds.AutoPerInput(model, nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 7)))
    vds.fit(model, guide, (x, y), max_epochs=400, lr=0.2, **QUIET)
    log_probs, stops = vds.AdaptiveNetwork(model, guide, threshold=0.05)(x)
    easy, hard = stops[len(spiral.train[0]) :].double().mean(), stops[: len(spiral.train[0])].double().mean()
    assert easy < hard - 0.2
    assert float((log_probs.argmax(1) != y).double().mean()) < 0.2
    costs = vds.multiply_adds(net, x)
    assert float(costs[stops].double().mean() / costs[-1]) < 0.9


def test_model_is_a_pyro_model_with_a_depth_for_each_point():
    model, guide, x, _ = problem()
    draws = Predictive(model, guide=guide, num_samples=5)(x)
    assert draws["obs"].shape == (5, 12)
    assert guide(x)["depth"].shape == (12,)


def test_guide_may_look_through_the_network_s_stem():
    model, _, x, y = problem()
    guide = vds.AutoPerInput(model, nn.Sequential(model.backbone.stem, nn.Linear(5, 4)))
    before = guide.network[1].weight.detach().clone()
    vds.fit(model, guide, (x, y), max_epochs=3, guide_lr=0.5, **QUIET)
    assert not torch.equal(guide.network[1].weight, before)


def test_depths_share_their_blocks():
    model, guide, *_ = problem(6)
    network = vds.AdaptiveNetwork(model, guide)
    heads = sum(p.numel() for p in model.backbone.head.parameters())
    own = sum(p.numel() for p in network.networks.parameters())
    assert own == sum(p.numel() for p in model.backbone.parameters()) + 6 * heads


@pytest.mark.usefixtures("as_a_user")
def test_what_does_not_fit_is_refused():
    model, guide, x, y = problem()
    single, its_guide, *_ = oracles.problem(3)
    with pytest.raises(ValueError, match="Expected a model with one axis in the plate of the data, built with plate="):
        vds.AutoPerInput(single, nn.Linear(2, 4))
    with pytest.raises(ValueError, match=r"Expected logits of shape \(12, 4\) from the guide's network, got \(12, 3\)"):
        vds.AutoPerInput(model, nn.Linear(2, 3)).by_input(x)
    with pytest.raises(ValueError, match="Expected inputs x, on which the probabilities of AutoPerInput depend"):
        guide.probs()
    with pytest.raises(TypeError, match="Expected a PerDepth backbone and an AutoPerInput guide"):
        vds.AdaptiveNetwork(single, its_guide)
    with pytest.raises(ValueError, match=r"Expected a threshold in \[0, 1\), got 1"):
        vds.AdaptiveNetwork(model, guide, 1)
    for wrong in (
        lambda: vds.enum_elbo(model, vds.AutoCategorical(model))(x, y),
        lambda: vds.enum_elbo(single, guide)(x, y),
    ):
        with pytest.raises(ValueError, match="Use AutoPerInput for a model built with plate=DATA"):
            wrong()
    with pytest.raises(ValueError, match="Expected at least one input point"):
        vds.AdaptiveNetwork(model, guide)(x[:0])
    for call in (
        lambda: vds.exact_posterior(model, (x, y)),
        lambda: vds.to_datatree(model, guide, x, y),
        lambda: vds.prune(model, guide, depth=1),
    ):
        with pytest.raises(ValueError, match="Expected a model with one architecture for all inputs"):
            call()
    with pytest.raises(ValueError, match="Expected an AutoPerInput guide for a model with plate=DATA, got Auto"):
        vds.predict_proba(model, vds.AutoCategorical(model), x)
