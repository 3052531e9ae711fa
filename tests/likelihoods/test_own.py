"""A likelihood of a user's own, of counts, is trained, predicted, calibrated and reported."""

import numpy as np
import pyro.distributions as dist
import pytest
import scipy.stats
import torch

import pyro_vds as vds
from pyro_vds.metrics import intervals
from pyro_vds.runs.metrics import collect_metrics
from pyro_vds.runs.summary import summary_text


class Poisson(vds.likelihoods.Likelihood):
    def forward(self, outputs):
        return dist.Poisson(outputs.squeeze(-1).exp())

    def check_targets(self, y, outputs):
        if not bool((y >= 0).all()):
            raise ValueError("Expected counts.")


def data(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(size)
    x = torch.randn(size, 2, generator=generator)
    return x, torch.poisson((0.5 + x[:, 0]).exp(), generator=generator)


@pytest.fixture(scope="module")
def trained():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    model = vds.VDSModel(vds.ResidualMLP(2, 1, width=8, max_depth=2), likelihood=Poisson(), num_data=800)
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, data(800), max_epochs=150, lr=0.01, batch_size=100, patience=150, progress=False)
    return model, guide


def test_moments_and_density_equal_brute_force(trained):
    model, guide = trained
    x, y = data(50)
    q = guide.probs()["depth"]
    with torch.inference_mode():
        rates = model.backbone.eval()(x).squeeze(-1).exp()
    mean = torch.einsum("i,in->n", q, rates)
    variance = mean + torch.einsum("i,in->n", q, (rates - mean) ** 2)
    torch.testing.assert_close(vds.predict_moments(model, guide, x), (mean, variance))
    density = np.einsum("i,in->n", q.numpy(), scipy.stats.poisson(rates.numpy()).pmf(y.numpy()))
    np.testing.assert_allclose(vds.log_predictive(model, guide, x, y), np.log(density))


def test_intervals_are_calibrated_for_the_right_model_only(trained):
    model, guide = trained
    x, y = data(4000)
    assert intervals.interval_error(vds.predict_pit(model, guide, x, y)) < 0.03
    assert intervals.interval_error(vds.predict_pit(model, guide, x, 3 * y)) > 0.1


def test_it_is_measured_and_reported(trained):
    model, guide = trained
    train, test = data(800), data(300)
    metrics, _ = collect_metrics(model, guide, train, test, rule="95")
    full = metrics["test"]["full"]
    assert set(full) == {"log_likelihood", "rmse", "interval_error"}
    assert full["log_likelihood"] == pytest.approx(float(vds.log_predictive(model, guide, *test).mean()))
    mean, _ = vds.predict_moments(model, guide, test[0])
    assert full["rmse"] == pytest.approx(float((mean - test[1]).square().mean().sqrt()))
    assert "interval-error" in summary_text(metrics)
    with torch.inference_mode():
        rates = model.backbone.eval()(test[0]).squeeze(-1).exp()
    assert metrics["disagreement"]["unit"] == "squared units of the target"
    assert metrics["disagreement"]["mean"]["uniform"] == pytest.approx(float(rates.var(0, correction=0).mean()))
    small = vds.prune(model, guide, depth=1)
    torch.testing.assert_close(small(test[0]), vds.predict_moments(model, guide, test[0], depth=1))


class Scored(vds.likelihoods.Likelihood):
    """A likelihood of classes that says nothing of disagreement."""

    numeric = False

    def forward(self, outputs):
        return dist.Categorical(logits=outputs)

    def check_targets(self, y, outputs):
        pass

    def metrics(self, mixture, y):
        return {"log_prob": mixture.log_prob(y)}


class Logistic(vds.likelihoods.Likelihood):
    """A distribution without a mean of its own, and measures that need none."""

    def forward(self, outputs):
        base = torch.distributions.Uniform(torch.zeros(()), torch.ones(()), validate_args=False)
        parts = [torch.distributions.SigmoidTransform().inv]
        return dist.TransformedDistribution(
            base.expand(outputs.shape[:-1]), [*parts, torch.distributions.AffineTransform(outputs[..., 0], 1.0)]
        )

    def check_targets(self, y, outputs):
        pass

    def metrics(self, mixture, y):
        return {"log_prob": mixture.log_prob(y)}


@pytest.mark.parametrize("likelihood", [Scored(), Logistic()])
def test_one_without_a_disagreement_is_measured_all_the_same(likelihood):
    x = torch.randn(20, 2)
    y = torch.randn(20) if likelihood.numeric else torch.randint(0, 2, (20,))
    model = vds.VDSModel(vds.ResidualMLP(2, 1 if likelihood.numeric else 2, 4, 1), likelihood=likelihood, num_data=20)
    guide = vds.AutoCategorical(model)
    metrics, _ = collect_metrics(model, guide, (x, y), (x, y), rule="95")
    expected = float(vds.log_predictive(model, guide, x, y).mean())
    assert metrics["test"]["full"]["log_likelihood"] == pytest.approx(expected)
    assert "disagreement" not in metrics
    assert "full" in summary_text(metrics)


def test_replicates_have_parameters_of_their_own():
    class Counts(Poisson):
        def __init__(self):
            super().__init__()
            self.total = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, outputs):
            return dist.NegativeBinomial(self.total, logits=outputs.squeeze(-1))

    net = vds.Replicated(vds.ResidualMLP(2, 1, width=4, max_depth=1), 2)
    model = vds.VDSModel(net, likelihood=Counts(), num_data=20)
    model.likelihood.total.data = torch.tensor([[1.0], [3.0]])
    guide, (x, y) = vds.AutoCategorical(model), data(20)
    found = vds.log_predictive(model, guide, x, y)
    for r, (one, its_guide) in enumerate(vds.replicates(model, guide)):
        assert float(one.likelihood.total.detach()) == (1.0, 3.0)[r]
        torch.testing.assert_close(found[r], vds.log_predictive(one, its_guide, x, y))


def test_targets_of_another_shape_are_refused_whatever_the_likelihood_checks(trained):
    """They would broadcast: a density for each pair of points."""
    model, guide = trained
    x, y = data(12)
    for use in (
        lambda y: vds.log_predictive(model, guide, x, y),
        lambda y: vds.exact_posterior(model, (x[:3], y[:3])),  # as many points as architectures
        lambda y: vds.enum_elbo(model, guide)(x, y),
    ):
        use(y)
        with pytest.raises(ValueError, match=r"Expected targets of shape \('N',\), that of the likelihood's events"):
            use(y[:, None])


class Several(vds.likelihoods.Likelihood):
    """Several targets of a point, with a scalar parameter."""

    def __init__(self, dims):
        super().__init__()
        self.dims = dims
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, outputs):
        return dist.Normal(outputs, self.scale[(..., *[None] * self.dims)]).to_event(1)

    def check_targets(self, y, outputs):
        pass


def test_parameters_of_replicates_that_meet_the_points_are_refused():
    """Where there are as many points as replicates, each point would have the scale of a replicate."""
    x, y = torch.randn(3, 2), torch.randn(3, 2)
    for dims in (0, 1):
        net = vds.Replicated(vds.ResidualMLP(2, 2, width=4, max_depth=1), 3)
        model = vds.VDSModel(net, likelihood=Several(dims), num_data=3)
        model.likelihood.scale.data = torch.tensor([[1.0], [2.0], [3.0]])
        guide = vds.AutoCategorical(model)
        if not dims:
            with pytest.raises(ValueError, match="Expected a likelihood whose distribution has the batch shape"):
                vds.log_predictive(model, guide, x, y)
            with pytest.raises(ValueError, match="Expected a likelihood whose distribution has the batch shape"):
                vds.enum_elbo(model, guide)(model.shared(x), model.shared(y))
            continue
        found = vds.log_predictive(model, guide, x, y)
        for r, pair in enumerate(vds.replicates(model, guide)):
            torch.testing.assert_close(found[r], vds.log_predictive(*pair, x, y))


def test_only_replicates_have_a_single_one():
    with pytest.raises(ValueError, match="Expected a likelihood of replicates"):
        vds.likelihoods.Gaussian().single(0)
