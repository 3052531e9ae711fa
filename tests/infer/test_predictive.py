"""Predictions, pruning and the exact posterior against brute force."""

import oracles
import pytest
import torch

import pyro_vds as vds
from pyro_vds.infer.exact import ExactPosterior

DEPTHS = [0, 1, 4]


def trained_shape(max_depth):
    model, guide, x, y = oracles.problem(max_depth)
    model.backbone(x)  # running statistics away from their start
    return model, guide, x, y


@pytest.mark.parametrize("max_depth", DEPTHS)
@pytest.mark.parametrize("batch_size", [1024, 5])
def test_marginal_and_every_pruned_prediction_equal_brute_force(max_depth, batch_size):
    model, guide, x, y = trained_shape(max_depth)
    outputs = oracles.outputs(model.backbone.eval(), x)
    for depth in [None, *range(max_depth + 1)]:
        expected = oracles.predictive(outputs, guide.probs()["depth"], depth)
        probs = vds.predict_proba(model, guide, x, depth=depth, batch_size=batch_size)
        torch.testing.assert_close(probs, expected.detach())
        log_probs = vds.log_predictive(model, guide, x, y, depth=depth, batch_size=batch_size)
        torch.testing.assert_close(log_probs, expected.detach()[range(len(y)), y].log())


@pytest.mark.parametrize("max_depth", DEPTHS)
@pytest.mark.parametrize("batch_size", [1024, 5])
def test_exact_posterior_and_evidence_equal_brute_force(max_depth, batch_size):
    model, guide, x, y = trained_shape(max_depth)
    log_probs = oracles.log_probs(oracles.outputs(model.backbone.eval(), x), y).detach()
    log_prior = oracles.prior(0.7, max_depth + 1).log()
    exact = vds.exact_posterior(model, (x, y), batch_size=batch_size)
    torch.testing.assert_close(exact.probs["depth"], oracles.posterior(log_probs, log_prior))
    assert exact.log_evidence == pytest.approx(float(oracles.log_evidence(log_probs, log_prior)))
    elbo = oracles.elbo(log_probs, guide.probs()["depth"].log(), log_prior, len(x))
    assert exact.elbo(guide) == pytest.approx(float(elbo))
    q, p = guide.probs()["depth"], exact.probs["depth"]
    assert exact.gap(guide) == pytest.approx(float((q * (q / p).log()).sum()))


def test_exact_posterior_from_a_loader_is_the_same():
    model, _, x, y = trained_shape(2)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=5)
    torch.testing.assert_close(vds.exact_posterior(model, loader).probs, vds.exact_posterior(model, (x, y)).probs)


def test_evidence_is_summed_in_float64():
    """A million nats in float32 would be wrong by more than the difference between depths."""
    model, _, x, y = trained_shape(1)
    model.float()
    exact = vds.exact_posterior(model, (x.float().repeat(5000, 1), y.repeat(5000)), batch_size=7919)
    once = vds.exact_posterior(model, (x.float(), y))
    assert exact.log_likelihood.dtype == torch.float64
    torch.testing.assert_close(exact.log_likelihood, 5000 * once.log_likelihood, rtol=1e-6, atol=0)


def test_mode_of_every_module_is_left_as_it_was():
    model, guide, x, y = trained_shape(2)
    model.train()
    model.backbone.blocks[0].eval()
    before = [m.training for m in model.modules()]
    statistics = model.backbone.blocks[1][2].running_mean.clone()
    vds.predict_proba(model, guide, x)
    vds.exact_posterior(model, (x, y))
    assert [m.training for m in model.modules()] == before
    torch.testing.assert_close(model.backbone.blocks[1][2].running_mean, statistics)


def test_deterministic_network():
    net = vds.ResidualMLP(2, 3, 4, 2, readout="last")
    model = vds.VDSModel(net, num_data=5)
    x, y = torch.randn(5, 2), torch.randint(0, 3, (5,))
    torch.testing.assert_close(vds.predict_proba(model, None, x), net.eval()(x).softmax(-1).detach())
    assert vds.log_predictive(model, None, x, y).shape == (5,)
    with pytest.raises(ValueError, match=r"Expected a model with an axis 'depth' to cut, got axes \[\]"):
        vds.predict_proba(model, None, x, depth=0)


def test_moments_of_a_regression():
    net = vds.ResidualMLP(2, 1, 4, 2)
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(0.5), num_data=5)
    guide, x = vds.AutoCategorical(model), torch.randn(5, 2)
    outputs = net.eval()(x).detach().squeeze(-1)
    mean, variance = vds.predict_moments(model, guide, x)
    torch.testing.assert_close(mean, outputs.mean(0))
    torch.testing.assert_close(variance, 0.25 + outputs.var(0, unbiased=False))
    mean, _ = vds.predict_moments(model, guide, x, depth=0)
    torch.testing.assert_close(mean, outputs[0])
    with pytest.raises(TypeError, match="Expected a likelihood of classes, got Gaussian. Use predict_moments"):
        vds.predict_proba(model, guide, x)


def test_moments_of_a_classification_are_refused():
    model, guide, x, _ = trained_shape(1)
    with pytest.raises(TypeError, match="Expected a likelihood of numbers, got Classification. Use predict_proba"):
        vds.predict_moments(model, guide, x)


def test_folding_keeps_the_mass():
    log_q = torch.randn(4, 2).flatten().log_softmax(0).reshape(4, 2)
    space = vds.Space([vds.Axis("depth", (0, 1, 2, 3), nested=True), vds.Axis("width", (8, 16))])
    folded = space.fold(log_q, {"depth": 1}).exp()
    torch.testing.assert_close(folded[0], log_q[0].exp())
    torch.testing.assert_close(folded[1], log_q[1:].exp().sum(0))


@pytest.mark.parametrize("depth", [-1, 5])
def test_depth_out_of_range_is_refused(depth):
    model, guide, x, y = trained_shape(4)
    for call in (
        lambda: vds.predict_proba(model, guide, x, depth=depth),
        lambda: vds.log_predictive(model, guide, x, y, depth=depth),
        lambda: vds.prune(model, guide, depth=depth),
    ):
        with pytest.raises(ValueError, match=rf"Expected a depth in 0\.\.4, got {depth}"):
            call()


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda x, y: (x[:0], y[:0]), ValueError, "Expected at least one input point"),
        (
            lambda x, y: (x[:5], y),
            ValueError,
            r"Expected as many targets as inputs, got inputs of shape \(5, 2\)",
        ),
        (lambda x, y: (x.long(), y), ValueError, r"type torch.int64. Convert them with x.to\(torch.float64\)"),
        (lambda x, y: (x.where(x > x.min(), torch.nan), y), ValueError, "got NaN or infinity in 1 of 12 points"),
        (lambda x, y: (x / 0.0, y), ValueError, "Expected finite inputs"),
        (lambda x, y: (x, y.double()), TypeError, "Expected integer labels, or soft labels .* got torch.float64"),
        (lambda x, y: (x, y + 1), ValueError, r"Expected labels in 0\.\.2 for a network with 3 outputs"),
        (
            lambda x, y: (x[:, :1], y),
            ValueError,
            r"Expected inputs that the backbone accepts, got points of shape \(1,\)",
        ),
        (lambda x, y: (x.float(), y), ValueError, r"type torch.float32. Convert them with x.to\(torch.float64\)"),
    ],
)
@pytest.mark.usefixtures("as_a_user")
def test_bad_data_are_refused_everywhere(change, kind, message):
    model, guide, x, y = trained_shape(1)
    x, y = change(x, y)
    for call in (
        lambda: vds.log_predictive(model, guide, x, y),
        lambda: vds.exact_posterior(model, (x, y)),
        lambda: vds.to_datatree(model, guide, x, y),
        lambda: vds.fit(model, guide, (x, y), max_epochs=1, progress=False),
        lambda: vds.fit(model, guide, (torch.randn(12, 2), y[:0].new_zeros(12)), validation=(x, y), progress=False),
    ):
        with pytest.raises(kind, match=message):
            call()


def test_a_backbone_whose_output_lacks_its_axes_is_refused():
    class Wrong(torch.nn.Linear):
        space = vds.Space([vds.Axis("depth", (0, 1, 2, 3), nested=True)])

    model = vds.VDSModel(Wrong(2, 3), num_data=5)
    with pytest.raises(ValueError, match=r"backbone outputs of shape \(4, 'batch', 'event'\) for its axes"):
        vds.exact_posterior(model, (torch.randn(5, 2), torch.zeros(5, dtype=torch.long)))


@pytest.mark.usefixtures("as_a_user")
@pytest.mark.parametrize("depth", [1.0, "1", True])
def test_depth_must_be_an_integer(depth):
    model, guide, x, _ = trained_shape(4)
    with pytest.raises(TypeError, match="Expected depth as an int, got"):
        vds.predict_proba(model, guide, x, depth=depth)


def test_prediction_explains_inputs_that_do_not_fit():
    model, guide, x, _ = trained_shape(1)
    with pytest.raises(ValueError, match=r"type torch.float32. Convert them with x.to\(torch.float64\). The backbone"):
        vds.predict_proba(model, guide, x.float())
    with pytest.raises(ValueError, match=r"Expected inputs that the backbone accepts, got points of shape \(1,\)"):
        vds.predict_proba(model, guide, x[:, :1])


def test_gap_at_the_exact_posterior_is_never_negative_in_float32():
    """Float32 logits do not sum to one to double precision; times a million nats that would show."""
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        model, guide, *_ = oracles.problem(4)
        guide.float()
        log_likelihood = -1e6 + torch.randn(5, generator=generator)
        exact = ExactPosterior(model.space, model.log_prior(), log_likelihood)
        guide.set_probs(exact.probs)
        assert -1e-9 < exact.gap(guide) < 1e-6
