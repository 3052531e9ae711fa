"""The guide in closed form against the exact posterior, and against the formulas written by hand."""

import math
from functools import partial
from itertools import pairwise

import oracles
import pytest
import torch

import pyro_vds as vds
from pyro_vds.training.guide_updates import ClosedForm, log_reference, settle

SETTINGS = {"guide_update": "closed_form", "progress": False, "patience": None}
GUIDES = [vds.AutoCategorical, vds.AutoConditionalCategorical, vds.AutoJointCategorical]


def wide(guide, seed=0):
    """A model of depth and width with a guide, and data, in float64."""
    torch.manual_seed(seed)
    network = vds.WithWidths(vds.ResidualMLP(2, 3, width=8, max_depth=3), (2, 4, 8)).double()
    x, y = torch.randn(40, 2, dtype=torch.float64), torch.randint(3, (40,))
    model = vds.VDSModel(network, num_data=40)
    return model, guide(model), x, y


@pytest.mark.parametrize("batch_size", [12, 5])
def test_at_fixed_weights_the_guide_ends_at_the_exact_posterior(batch_size):
    model, guide, x, y = oracles.problem(4)
    before = vds.exact_posterior(model, (x, y)).gap(guide)
    vds.fit(model, guide, (x, y), max_epochs=1, anneal_epochs=0, lr=1e-30, batch_size=batch_size, **SETTINGS)
    exact = vds.exact_posterior(model, (x, y))
    assert before > 1e-3
    assert abs(exact.gap(guide)) < 1e-6


@pytest.mark.parametrize("guide", GUIDES[1:])
def test_joint_and_conditional_guides_become_exact_over_two_axes(guide):
    model, guide, x, y = wide(guide)
    vds.fit(model, guide, (x, y), max_epochs=2, anneal_epochs=0, **SETTINGS)
    assert abs(vds.exact_posterior(model, (x, y)).gap(guide)) < 1e-6


def test_independent_axes_reach_a_fixed_point_of_coordinate_ascent():
    model, guide, x, y = wide(vds.AutoCategorical)
    vds.fit(model, guide, (x, y), max_epochs=2, anneal_epochs=0, **SETTINGS)
    exact = vds.exact_posterior(model, (x, y))
    log_joint = exact.log_joint_probs
    q = {axis: p.double() for axis, p in guide.probs().items()}
    torch.testing.assert_close(q["depth"], (log_joint @ q["width"]).softmax(0))
    torch.testing.assert_close(q["width"], (q["depth"] @ log_joint).softmax(0))
    # Better than any gradient step from here would make it.
    best = exact.elbo(guide)
    for logits in guide.logits.values():
        for shift in (0.05, -0.05):
            with torch.no_grad():
                logits[0] += shift
            assert exact.elbo(guide) <= best + 1e-9
            with torch.no_grad():
                logits[0] -= shift


def test_a_sweep_never_lowers_the_bound():
    model, guide, x, y = wide(vds.AutoCategorical)
    exact = vds.exact_posterior(model, (x, y))
    bounds = [exact.elbo(guide)]
    for _ in range(5):
        guide.follow(exact.log_joint_probs)
        bounds.append(exact.elbo(guide))
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(bounds))
    assert bounds[-1] > bounds[0] + 1e-3


def test_each_step_is_the_formula():
    model, guide, _, _ = oracles.problem(4)
    config = vds.TrainingConfig(guide_update="closed_form", max_epochs=10, anneal_epochs=4)
    update, n = ClosedForm(model, guide, config), model.num_data
    log_prior, e, c, seen = model.log_prior().double(), torch.zeros(5, dtype=torch.float64), 0.0, 0
    start = 4 * torch.arange(1, 6, dtype=torch.float64).log()
    torch.testing.assert_close(guide.probs()["depth"].double(), start.softmax(0))
    for step in range(12):
        table = torch.randn(5, dtype=torch.float64, generator=torch.Generator().manual_seed(step)) * n
        tau = n ** (min(1, seen / (4 * n)) - 1)
        e, c, seen = 0.9 * e + 0.1 * table / n, 0.9 * c + 0.1, seen + n // 2
        expected = tau * (log_prior + n * e / c) + (1 - tau) * start
        assert float(update.counted()) == pytest.approx(tau * n)
        update(guide, table, log_prior, n // 2)
        torch.testing.assert_close(guide.probs()["depth"].double(), expected.softmax(0), rtol=1e-5, atol=1e-12)
    assert float(update.counted()) == n


def test_no_state_of_the_annealing_is_kept_however_good_it_was():
    model, guide, x, y = oracles.problem(3)
    # Each step makes the weights worse: the state of the last annealed epoch is better than all that count.
    optimizer = partial(torch.optim.SGD, lr=0.1, maximize=True)
    history = vds.fit(model, guide, (x, y), max_epochs=40, anneal_epochs=30, optimizer=optimizer, **SETTINGS)
    assert history.elbo[29] > history.elbo[30:].max()
    assert history.best_epoch == 30


def test_a_tempered_posterior_is_a_power_of_the_likelihood():
    model, guide, x, y = oracles.problem(4)
    vds.fit(model, guide, (x, y), max_epochs=4, tempered_num_data=3, **SETTINGS)
    exact = vds.exact_posterior(model, (x, y))
    expected = (exact.log_prior + exact.log_likelihood * 3 / model.num_data).softmax(0)
    torch.testing.assert_close(guide.probs()["depth"].double(), expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("block_rate", ["paper", "full"])
@pytest.mark.parametrize("weight_floor", [0.0, 0.3])
def test_compiled_equals_eager_after_50_steps(block_rate, weight_floor):
    runs = []
    for compile in (False, True):
        model, guide, x, y = oracles.problem(3)
        options = {"block_rate": block_rate, "weight_floor": weight_floor, "compile": compile, **SETTINGS}
        history = vds.fit(model, guide, (x, y), max_epochs=50, **options)
        runs.append((history, [p.detach() for p in (*model.parameters(), *guide.parameters())]))
    (eager, theirs), (compiled, ours) = runs
    assert compiled.compile_seconds > 0
    torch.testing.assert_close(compiled.elbo, eager.elbo, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(compiled.tempered_num_data, eager.tempered_num_data)
    torch.testing.assert_close(compiled.gap, eager.gap, rtol=1e-5, atol=1e-6)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_replicates_learn_as_each_would_alone():
    network = vds.ResidualMLP(2, 2, width=5, max_depth=3)
    x, y = torch.randn(24, 2, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 2
    settings = {"max_epochs": 12, "batch_size": 8, "block_rate": "full", "weight_floor": 0.2, **SETTINGS}
    together = vds.VDSModel(vds.Replicated(network, 3, seed=5), num_data=24)
    guide = vds.AutoCategorical(together)
    history = vds.fit(together, guide, (x, y), seed=5, **settings)
    for r in range(3):
        alone = vds.VDSModel(vds.Replicated(network, 1, seed=5 + r).copy(0), num_data=24)
        own = vds.AutoCategorical(alone)
        expected = vds.fit(alone, own, (x, y), seed=5 + r, **settings)
        torch.testing.assert_close(guide.probs()["depth"][r], own.probs()["depth"], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(history.replicate(r).gap, expected.gap, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(history.replicate(r).tempered_num_data, expected.tempered_num_data)


def test_the_best_state_and_patience_count_from_the_end_of_annealing():
    model, guide, x, y = oracles.problem(3)
    options = {"guide_update": "closed_form", "progress": False, "lr": 1e-30}
    history = vds.fit(model, guide, (x, y), max_epochs=30, anneal_epochs=10, patience=3, **options)
    assert isinstance(history.best_epoch, int)
    assert history.best_epoch >= 10
    assert history.stopped == "patience"
    assert len(history) >= 13
    assert history.tempered_num_data[0] == 1
    assert history.tempered_num_data[-1] == model.num_data


def test_the_gap_of_the_record_is_that_of_the_exact_posterior_on_a_full_batch():
    linear = torch.nn.Linear
    network = vds.PerDepth(linear(2, 4), [linear(4, 4) for _ in range(3)], linear(4, 3))  # no batch norm
    model, x, y = vds.VDSModel(network, num_data=12), torch.randn(12, 2), torch.randint(3, (12,))
    guide = vds.AutoCategorical(model)
    expected = vds.exact_posterior(model, (x, y)).gap(guide)
    history = vds.fit(model, guide, (x, y), max_epochs=1, progress=False)
    assert float(history.gap[0]) == pytest.approx(expected, rel=1e-4)
    assert float(history.tempered_num_data[0]) == 12


def test_the_logits_learn_again_afterwards_and_a_plain_network_has_none():
    model, guide, x, y = oracles.problem(3)
    vds.fit(model, guide, (x, y), max_epochs=2, **SETTINGS)
    assert all(p.requires_grad for p in guide.parameters())
    plain = vds.VDSModel(vds.ResidualMLP(2, 2, width=4, max_depth=2, readout="last"), num_data=10)
    x, y = torch.randn(10, 2), torch.arange(10) % 2
    history = vds.fit(plain, None, (x, y), max_epochs=2, block_rate="full", weight_floor=0.5, **SETTINGS)
    assert history.gap.abs().max() < 1e-5


def test_what_cannot_be_set_is_refused():
    network = vds.ResidualMLP(2, 2, width=4, max_depth=2)
    model = vds.VDSModel(network, num_data=10, plate=vds.DATA)
    guide = vds.AutoPerInput(model, torch.nn.Linear(2, 3))
    data = torch.randn(10, 2), torch.arange(10) % 2
    with pytest.raises(TypeError, match="guide_update='gradient'"):
        vds.fit(model, guide, data, max_epochs=2, **SETTINGS)
    with pytest.raises(ValueError, match="weight_floor=0"):
        vds.fit(model, guide, data, max_epochs=2, weight_floor=0.1, progress=False)
    for wrong in ({"weight_floor": 1.5}, {"anneal_epochs": -1}, {"anneal_epochs": 8000}, {"tempered_num_data": 0}):
        with pytest.raises(ValueError, match="Expected"):
            vds.TrainingConfig(**wrong)
    # A run fills in the epochs of its data set, and checks them then.
    assert vds.runs.Settings(anneal_epochs=300, preset="paper").resolved().annealed_epochs == 0
    assert vds.runs.Settings(anneal_epochs=300, guide_update="closed_form").resolved().annealed_epochs == 300
    assert vds.runs.Settings(guide_update="closed_form", max_epochs=8000).resolved().annealed_epochs == 2400
    with pytest.raises(ValueError, match="anneal_epochs"):
        vds.runs.Settings(data="digits", anneal_epochs=300).resolved()


def test_without_a_posterior_in_eval_mode_the_guide_stays_as_it_is(caplog):
    x, y = torch.randn(2, 12, 2), torch.randint(0, 2, (2, 12))
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 2, width=4, max_depth=2), 2), num_data=12)
    guide = vds.AutoCategorical(model)
    guide.set_probs({"depth": torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])})
    x[0, 0] = torch.nan  # the data of the first replicate only
    with caplog.at_level("WARNING"):
        settle(model, guide, [(x, y)], vds.TrainingConfig(max_epochs=2))
    assert "not finite in eval mode" in caplog.text
    probs = guide.probs()["depth"].detach()
    torch.testing.assert_close(probs[0], torch.tensor([0.5, 0.3, 0.2]))
    alone, _ = vds.replicates(model, guide)[1]
    torch.testing.assert_close(probs[1], vds.exact_posterior(alone, (x[1], y[1])).probs["depth"], check_dtype=False)


def test_the_reference_is_deep_along_nested_axes_only():
    space = vds.Space([vds.Axis("depth", (0, 1, 2), nested=True), vds.Axis("colour", ("red", "blue"))])
    found = log_reference(space, "deep")
    assert found.shape == (3, 2)
    assert float(found[2, 1]) == pytest.approx(4 * math.log(3))
    assert not log_reference(space, "uniform").any()
