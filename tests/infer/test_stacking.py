"""Stacked weights: the oracle is ArviZ's optimiser."""

import logging
import warnings

import arviz as az
import oracles
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import pyro_vds as vds
from pyro_vds.ops.stacking import MOST_MISSING, maximise_log_score
from pyro_vds.training.objective import Objective

QUIET = {"progress": False, "max_epochs": 5}


def mean_score(weights, log_probs):
    return float((weights.log()[:, None] + log_probs).logsumexp(0).mean())


def of_arviz(log_probs):
    """The weights of ``az.compare``, whose optimiser is another one."""
    results = {str(i): vds.comparison.elpd(row) for i, row in enumerate(log_probs)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Difference in performance|All models have nearly", UserWarning)
        table = az.compare(results, method="stacking", round_to="none")
    return torch.tensor(table["weight"].reindex(list(results)).to_numpy())


def test_they_are_those_of_arviz():
    model, guide, x, y = oracles.problem(3)
    found = vds.stacked_weights(model, (x, y))
    assert (found.dtype, found.shape) == (torch.float64, (4,))
    log_probs = oracles.log_probs(oracles.outputs(model.backbone.eval(), x), y).detach()
    expected = of_arviz(log_probs)
    along = vds.comparison.stacking_weights(vds.to_datatree(model, guide, x, y))
    torch.testing.assert_close(torch.tensor(along.to_numpy()), found.exp())  # one solver
    best = mean_score(expected.clamp(min=1e-300), log_probs)
    assert mean_score(found.exp().clamp(min=1e-300), log_probs) == pytest.approx(best, abs=1e-5)
    assert mean_score(found.exp().clamp(min=1e-300), log_probs) >= mean_score(guide.probs()["depth"], log_probs)


def test_separate_experts_get_their_shares():
    log_probs = torch.tensor([[0.9, 0.9, 0.9, 0.1], [0.1, 0.1, 0.1, 0.9]]).log()
    # The slope of 3 log(0.1 + 0.8 w) + log(0.9 - 0.8 w): 2.4 (0.9 - 0.8 w) = 0.8 (0.1 + 0.8 w) at w = 2.6 / 3.2.
    torch.testing.assert_close(maximise_log_score(log_probs), torch.tensor([0.8125, 0.1875]), atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("components", "points", "scale"), [(21, 200, 1.0), (51, 500, 0.02), (5, 50, 2.0), (1, 9, 1.0)]
)
def test_what_is_missing_to_the_best_score_is_bounded(components, points, scale):
    """The mean score is concave, so that the largest slope bounds what any other weights could gain."""
    log_probs = torch.randn(points) + scale * torch.randn(components, points)
    weights = maximise_log_score(log_probs)
    assert float(weights.sum()) == pytest.approx(1)
    mixed = (weights.log()[:, None] + log_probs).logsumexp(0)
    most = float((log_probs - mixed).exp().mean(1).max()) - 1
    assert most <= MOST_MISSING * 1.001
    uniform = torch.full((components,), 1 / components)
    for other in (uniform, torch.randn(components).softmax(0), torch.eye(components)[0].clamp(1e-300)):
        assert mean_score(other, log_probs) <= mean_score(weights, log_probs) + MOST_MISSING


def test_components_that_cannot_be_told_apart_share_their_weight():
    one = torch.tensor([0.9, 0.9, 0.1]).log()
    weights = maximise_log_score(torch.stack([one, one, one - 5]))
    torch.testing.assert_close(weights[:2], torch.full((2,), 0.5), atol=1e-3, rtol=0)


def test_densities_that_underflow_and_components_that_are_impossible():
    log_probs = torch.tensor([[-2000.0, -3000.0], [-torch.inf, -3001.0], [-2005.0, -3005.0]])
    weights = maximise_log_score(log_probs)
    torch.testing.assert_close(weights, torch.tensor([1.0, 0.0, 0.0]), atol=1e-3, rtol=0)
    assert maximise_log_score(torch.tensor([[-torch.inf], [-torch.inf]])).isnan().all()


def test_batches_loaders_and_replicates_give_the_same():
    x, y = torch.randn(20, 2), torch.randint(0, 3, (20,))
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 3, 4, 2), 2), num_data=20)
    guide = vds.AutoCategorical(model)
    found = vds.stacked_weights(model, (x, y))
    torch.testing.assert_close(vds.stacked_weights(model, (x, y), batch_size=7), found)
    torch.testing.assert_close(vds.stacked_weights(model, DataLoader(TensorDataset(x, y), 6)), found)
    for r, (one, _) in enumerate(vds.replicates(model, guide)):
        torch.testing.assert_close(vds.stacked_weights(one, (x, y)), found[r])


def test_several_axes():
    x, y = torch.randn(20, 2), torch.randint(0, 3, (20,))
    model = vds.VDSModel(vds.WithWidths(vds.ResidualMLP(2, 3, 4, 2), (2, 4)), num_data=20)
    guide = vds.AutoJointCategorical(model)
    guide.keep_weights("stacked", vds.stacked_weights(model, (x, y)))
    assert guide.log_weights("stacked").shape == model.sizes
    score = vds.log_predictive(model, guide, x, y, weights="stacked").mean()
    assert score >= vds.log_predictive(model, guide, x, y, weights="uniform").mean()


def test_each_input_with_its_own_architecture_is_refused():
    model = vds.VDSModel(vds.ResidualMLP(2, 3, width=4, max_depth=2), num_data=12, plate=vds.DATA)
    with pytest.raises(ValueError, match="Expected a model with one architecture for all inputs"):
        vds.stacked_weights(model, (torch.randn(4, 2), torch.zeros(4, dtype=torch.long)))


def test_fit_keeps_them_for_validation_data_and_forgets_earlier_ones():
    model, guide, x, y = oracles.problem(2)
    guide.keep_weights("exact", torch.full((3,), 1 / 3).log())
    vds.fit(model, guide, (x, y), validation=(x[:8], y[:8]), **QUIET)
    assert guide.available_weights == ("posterior", "uniform", "stacked")
    expected = vds.stacked_weights(model, (x[:8], y[:8]))
    torch.testing.assert_close(guide.log_weights("stacked").exp(), expected.exp())
    vds.fit(model, guide, (x, y), **QUIET)
    assert guide.available_weights == ("posterior", "uniform")


def test_fit_gives_each_replicate_those_of_its_data():
    x, y = torch.randn(2, 20, 2), torch.randint(0, 3, (2, 20))
    data = [(x[0], y[0]), (x[1], y[1])]
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 3, 4, 2), 2), num_data=20)
    guide = vds.AutoCategorical(model)
    vds.fit(model, guide, data, validation=data, **QUIET)
    for pair, (one, single) in zip(data, vds.replicates(model, guide), strict=True):
        torch.testing.assert_close(single.log_weights("stacked"), vds.stacked_weights(one, pair))


@pytest.mark.usefixtures("float32")
def test_fit_in_half_precision_keeps_those_of_predictions():
    """Predictions run in full precision; the weights must be those of the same densities."""
    model, guide, x, y = oracles.problem(3, num_data=40)
    how = {"precision": "bf16", "guide_update": "closed_form", "anneal_epochs": 1}
    vds.fit(model, guide, (x, y), validation=(x, y), **how, **QUIET)
    exact = vds.exact_posterior(model, (x, y)).probs["depth"].float()
    torch.testing.assert_close(guide.probs()["depth"], exact, atol=1e-6, rtol=0)
    expected = vds.stacked_weights(model, (x, y)).exp().float()
    torch.testing.assert_close(guide.log_weights("stacked").exp(), expected, atol=1e-6, rtol=0)


def test_a_fit_that_cannot_start_leaves_the_weights_of_the_network_alone():
    model, guide, x, y = oracles.problem(2)
    guide.keep_weights("stacked", vds.stacked_weights(model, (x, y)))
    with pytest.raises(ValueError, match="Expected"):
        vds.fit(model, guide, (x, y), optimizer=torch.optim.LBFGS, **QUIET)
    assert "stacked" in guide.available_weights


@pytest.mark.parametrize("closed", [False, True])
def test_an_interrupted_fit_keeps_those_of_the_state_that_it_restores(closed):
    model, guide, x, y = oracles.problem(2)
    how = {"guide_update": "closed_form", "anneal_epochs": 1} if closed else {}

    def interrupt(record):
        if record.epoch == 3:
            raise KeyboardInterrupt

    vds.fit(model, guide, (x, y), validation=(x, y), on_epoch=interrupt, lr=0.1, **QUIET, **how)
    expected = vds.stacked_weights(model, (x, y)).exp()
    torch.testing.assert_close(guide.log_weights("stacked").exp(), expected)


def test_held_out_points_that_no_architecture_thinks_possible_are_named():
    model, _, x, y = oracles.problem(2)
    bad = vds.VDSModel(model.backbone, num_data=12)
    with torch.no_grad():
        next(bad.backbone.head.parameters()).fill_(torch.inf)
    with pytest.raises(ValueError, match="that each architecture gives a log density"):
        vds.stacked_weights(bad, (x, y))


def test_kept_weights_are_no_tensors_of_training():
    model, guide, *_ = oracles.problem(2)
    names = Objective(vds.enum_elbo(model, guide), vds.TrainingConfig()).tensors()
    assert "elbo.guide.logits.depth" in names
    assert not [name for name in names if "kept" in name]


def test_plain_networks_and_inputs_with_their_own_architecture_keep_none(caplog):
    x, y = torch.randn(12, 2), torch.randint(0, 3, (12,))
    plain = vds.VDSModel(vds.ResidualMLP(2, 3, 4, 1, readout="last"), num_data=12)
    by_input = vds.VDSModel(vds.ResidualMLP(2, 3, width=4, max_depth=2), num_data=12, plate=vds.DATA)
    guide = vds.AutoPerInput(by_input, nn.Linear(2, 3))
    with caplog.at_level(logging.WARNING):
        vds.fit(plain, None, (x, y), validation=(x, y), **QUIET)
        vds.fit(by_input, guide, (x, y), validation=(x, y), **QUIET)
    assert guide.available_weights == ("posterior", "uniform")
    assert not caplog.records
