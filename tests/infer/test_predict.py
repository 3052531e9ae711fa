"""What is asked of a prediction is checked before anything runs."""

import oracles
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import pyro_vds as vds


@pytest.fixture
def by_input():
    """A model with a depth for each input, its guide, and inputs."""
    net = vds.ResidualMLP(2, 3, width=4, max_depth=2)
    model = vds.VDSModel(net, num_data=12, plate=vds.DATA)
    return model, vds.AutoPerInput(model, nn.Linear(2, 3)), torch.randn(12, 2)


@pytest.mark.parametrize("want", ["probs", ["prbs"], ["cut"], ["outputs"]])
def test_unknown_wishes_are_refused(want, as_a_user):
    model, guide, x, _ = oracles.problem(1)
    with pytest.raises(ValueError, match="Expected want as a list of log_prob, probs"):
        vds.predict(model, guide, x, want=want)


@pytest.mark.parametrize("cuts", [[], {"depth": 1}, [None], [[0, 1]], torch.zeros(12, dtype=torch.long)])
def test_cuts_of_the_wrong_kind_are_refused(cuts, as_a_user):
    model, guide, x, _ = oracles.problem(1)
    with pytest.raises(ValueError, match="Expected cuts as a list of at least one"):
        vds.predict(model, guide, x, cuts=cuts, want=["probs"])


def test_cuts_may_be_a_generator(as_a_user):
    model, guide, x, _ = oracles.problem(2)
    found = vds.predict(model, guide, x, cuts=({"depth": k} for k in range(3)), want=["probs"])  # pyright: ignore
    for depth, one in enumerate(found):
        torch.testing.assert_close(one["probs"], vds.predict_proba(model, guide, x, depth=depth))


@pytest.mark.parametrize("count", [1, 5, 10, 13, 24])
@pytest.mark.parametrize("loaded", [False, True])
def test_there_is_a_stop_for_each_input(by_input, count, loaded, as_a_user):
    model, guide, x = by_input
    data = DataLoader(TensorDataset(x), 5) if loaded else x
    with pytest.raises(ValueError, match=r"Expected a stop for each"):
        vds.predict(model, guide, data, cuts=[torch.zeros(count, dtype=torch.long)], want=["probs"])


def test_stops_out_of_range_or_of_other_models_are_refused(by_input):
    model, guide, x = by_input
    with pytest.raises(ValueError, match=r"Expected stops in 0\.\.2, got 3\.\.3"):
        vds.predict(model, guide, x, cuts=[torch.full((12,), 3)], want=["probs"])
    plain, its_guide, *_ = oracles.problem(2)
    with pytest.raises(ValueError, match="Expected a model with one nested axis and plate=DATA"):
        vds.predict(plain, its_guide, x, cuts=[torch.zeros(12, dtype=torch.long)], want=["probs"])


def test_stops_need_an_order():
    class Colours(nn.Linear):
        space = vds.Space([vds.Axis("colour", ("red", "green"))])

        def forward(self, input):
            return super().forward(input).unflatten(-1, (2, 3)).movedim(1, 0)

    model = vds.VDSModel(Colours(2, 6), num_data=12, plate=vds.DATA)
    guide = vds.AutoPerInput(model, nn.Linear(2, 2))
    with pytest.raises(ValueError, match="Expected a nested axis, such as the depth, to stop along"):
        guide.stops(torch.randn(3, 2), 0.1)


@pytest.mark.parametrize("learn_scale", [False, True])
def test_predictions_are_plain_tensors(learn_scale):
    """Neither part of a graph, nor made under inference mode: they go to NumPy, are changed, and enter a graph."""
    likelihood = vds.likelihoods.Gaussian(learn_scale=learn_scale)
    model = vds.VDSModel(vds.ResidualMLP(2, 1, 4, 2), likelihood=likelihood, num_data=5)
    guide, x, y = vds.AutoCategorical(model), torch.randn(5, 2), torch.randn(5)
    mixture, exact = vds.predict(model, guide, x), vds.exact_posterior(model, (x, y))
    found = [mixture.outputs, mixture.variance, mixture.noise, mixture.log_prob(y), mixture.components.stddev]
    found += [*vds.predict_components(model, guide, x), *vds.predict_moments(model, guide, x)]
    found += [exact.log_likelihood, exact.log_prior, exact.probs["depth"], vds.log_predictive(model, guide, x, y)]
    assert not any(tensor.requires_grad or tensor.is_inference() for tensor in found)
    weights = torch.ones(3, requires_grad=True)
    (exact.log_likelihood * weights).sum().backward()
    torch.testing.assert_close(weights.grad, exact.log_likelihood)
