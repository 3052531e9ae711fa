"""Training: what it optimises, when it stops, what it leaves behind."""

import math

import oracles
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import pyro_vds as vds
from pyro_vds.batches import IndexBatches
from pyro_vds.training import fit

QUIET = {"progress": False}


def state(model, guide):
    return [t.clone() for t in (*model.state_dict().values(), *guide.state_dict().values())]


def test_one_full_batch_step_is_gradient_descent_on_the_loss_per_point():
    model, guide, x, y = oracles.problem(2)
    loss = vds.enum_elbo(model, guide)(x, y) / 12
    parameters = [*model.parameters(), *guide.parameters()]
    gradients = torch.autograd.grad(loss, parameters)
    expected = [p.detach() - 0.3 * g for p, g in zip(parameters, gradients, strict=True)]
    fit(model, guide, (x, y), max_epochs=2, lr=0.3, momentum=0.0, **QUIET)
    # The best of two falling losses is the second's state: after one step.
    for parameter, value in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.detach(), value)


def test_training_improves_the_elbo_and_the_history_adds_up():
    model, guide, x, y = oracles.problem(3)
    history = fit(model, guide, (x, y), max_epochs=60, **QUIET)
    assert history.elbo.max() > history.elbo[0] + 1
    torch.testing.assert_close(history.elbo, history.expected_log_prob - history.kl)
    assert len(history) == 60
    assert history.probs["depth"].shape == (60, 4)
    torch.testing.assert_close(history.probs["depth"].sum(1), torch.ones(60))
    assert history.best_epoch == int(history.elbo.argmax())


def test_best_state_is_restored():
    model, guide, x, y = oracles.problem(3)
    history = fit(model, guide, (x, y), max_epochs=40, lr=2.0, **QUIET)
    assert history.best_epoch < 39, "the control needs a run that gets worse at the end"
    model.train()
    assert -float(vds.enum_elbo(model, guide)(x, y).detach()) == pytest.approx(float(history.elbo.max()))
    torch.testing.assert_close(guide.probs()["depth"], history.probs["depth"][history.best_epoch])


def test_patience_stops():
    model, guide, x, y = oracles.problem(2)
    history = fit(model, guide, (x, y), max_epochs=500, lr=1e-300, patience=3, **QUIET)
    assert history.stopped == "patience"
    assert len(history) - 1 - history.best_epoch == 3


def test_validation_decides_early_stopping_and_is_recorded():
    model, guide, x, y = oracles.problem(2)
    validation = (torch.randn(9, 2), torch.randint(0, 3, (9,)))
    history = fit(model, guide, (x, y), max_epochs=30, validation=validation, **QUIET)
    assert set(history.validation) == {"log_prob", "error"}
    assert history.best_epoch == int(history.validation["log_prob"].argmax())
    best = float(vds.log_predictive(model, guide, *validation).mean())
    assert best == pytest.approx(float(history.validation["log_prob"].max()))


def test_same_seed_same_result_other_seed_other_result():
    found = []
    for seed in (3, 3, 4):
        model, guide, x, y = oracles.problem(2)
        fit(model, guide, (x, y), max_epochs=5, batch_size=5, seed=seed, **QUIET)
        found.append(state(model, guide))
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(found[0], found[2], strict=True))


def test_global_generator_is_left_alone():
    model, guide, x, y = oracles.problem(1)
    before = torch.random.get_rng_state()
    fit(model, guide, (x, y), max_epochs=2, batch_size=5, **QUIET)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_milestones_multiply_the_learning_rate():
    """With a factor of almost zero nothing moves after the milestone."""
    model, guide, x, y = oracles.problem(1)
    history = fit(model, guide, (x, y), max_epochs=6, momentum=0.0, milestones=[3], gamma=1e-12, **QUIET)
    torch.testing.assert_close(history.probs["depth"][3], history.probs["depth"][5])
    assert not torch.allclose(history.probs["depth"][1], history.probs["depth"][3])


def test_weight_decay_spares_the_guide():
    model, guide, x, y = oracles.problem(1)
    before = guide.logits["depth"].detach().clone()
    # A learning rate this small moves parameters only through a huge decay.
    fit(model, guide, (x, y), max_epochs=2, lr=1e-9, momentum=0.0, weight_decay=1e8, **QUIET)
    torch.testing.assert_close(guide.logits["depth"].detach(), before, atol=1e-6, rtol=0)


def test_data_loader_gives_the_same_as_tensors():
    found = []
    for data in (None, "loader"):
        model, guide, x, y = oracles.problem(2)
        source = DataLoader(TensorDataset(x, y), batch_size=12) if data else (x, y)
        history = fit(model, guide, source, max_epochs=5, **QUIET)
        found.append(history.elbo)
    torch.testing.assert_close(found[0], found[1])


def test_deterministic_network_trains_without_a_guide():
    torch.manual_seed(0)
    net = vds.ResidualMLP(2, 3, 8, 2, readout="last")
    model = vds.VDSModel(net, num_data=12)
    history = fit(model, None, (torch.randn(12, 2), torch.randint(0, 3, (12,))), max_epochs=50, **QUIET)
    assert history.elbo.max() > history.elbo[0] + 1
    assert history.probs == {}
    torch.testing.assert_close(history.kl, torch.zeros(50))


def test_regression_learns_the_noise_scale():
    torch.manual_seed(0)
    net = vds.ResidualMLP(1, 1, 8, 1)
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(1.0, learn_scale=True), num_data=200)
    guide = vds.AutoCategorical(model)
    x = torch.randn(200, 1)
    y = 2 * x.squeeze(-1) + 0.3 * torch.randn(200)
    history = fit(model, guide, (x, y), max_epochs=400, lr=0.03, momentum=0.9, validation=(x, y), **QUIET)
    assert 0.2 < float(model.likelihood.scale.detach()) < 0.4
    assert set(history.validation) == {"log_prob"}


def test_interrupt_returns_the_best_state_so_far():
    model, guide, x, y = oracles.problem(2)
    calls = []

    def interrupt(*_):
        calls.append(1)
        if len(calls) == 12:
            raise KeyboardInterrupt

    # A few calls check the data and count the memory; then one comes in each epoch.
    handle = model.backbone.register_forward_hook(interrupt)
    history = fit(model, guide, (x, y), max_epochs=50, **QUIET)
    handle.remove()
    assert history.stopped == "interrupted"
    assert 0 < len(history) < 12
    model.train()
    assert -float(vds.enum_elbo(model, guide)(x, y).detach()) == pytest.approx(float(history.elbo.max()))


def test_nan_loss_names_the_step_keeps_the_best_state_and_suggests_a_remedy():
    model, guide, x, y = oracles.problem(2)
    with pytest.raises(vds.NonFiniteLossError, match=r"at step \d+ \(epoch \d+\).*Try a smaller lr") as caught:
        fit(model, guide, (x, y), max_epochs=50, batch_size=4, lr=1e200, **QUIET)
    history = caught.value.history
    assert history.stopped == "non_finite"
    assert torch.isfinite(history.elbo).all()
    assert all(torch.isfinite(t).all() for t in state(model, guide))


def test_nan_step_is_counted_over_epochs():
    model, guide, x, y = oracles.problem(1)
    steps = []

    def spoil_the_fifth_step(module, _):
        if module is model.backbone and module.training:
            steps.append(1)
            if len(steps) == 5:
                module.stem.bias.data.fill_(math.nan)

    handle = model.backbone.register_forward_pre_hook(spoil_the_fifth_step)
    with pytest.raises(vds.NonFiniteLossError, match=r"got nan at step 4 \(epoch 1\)"):
        fit(model, guide, (x, y), max_epochs=5, batch_size=4, **QUIET)
    handle.remove()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"max_epochs": 0}, "Expected a positive, finite max_epochs, got 0"),
        ({"batch_size": 0}, "positive, finite batch_size"),
        ({"lr": -0.1}, "positive, finite lr, got -0.1"),
        ({"lr": math.nan}, "positive, finite lr, got nan"),
        ({"patience": 0}, "positive, finite patience"),
        ({"momentum": 1.0}, "Expected 0 <= momentum < 1, got 1.0"),
    ],
)
def test_bad_settings_are_refused(how, message):
    model, guide, x, y = oracles.problem(1)
    with pytest.raises(ValueError, match=message):
        fit(model, guide, (x, y), **how, **QUIET)


def test_wrong_number_of_points_is_refused():
    model, guide, x, y = oracles.problem(1)
    with pytest.raises(ValueError, match="Expected 12 training points, the model's num_data, got 6"):
        fit(model, guide, (x[:6], y[:6]), **QUIET)
    with pytest.raises(ValueError, match="Build the model with num_data=6"):
        fit(model, guide, DataLoader(TensorDataset(x[:6], y[:6]), batch_size=3), **QUIET)


def test_progress_bar_shows_elbo_and_mode(capsys):
    model, guide, x, y = oracles.problem(1)
    fit(model, guide, (x, y), max_epochs=2)
    shown = capsys.readouterr().err
    assert "ELBO=" in shown
    assert "depth=" in shown
    fit(model, guide, (x, y), max_epochs=2, **QUIET)
    assert not capsys.readouterr().err


def test_recalibration_makes_eval_mode_equal_to_the_full_batch():
    model, guide, x, y = oracles.problem(3)
    fit(model, guide, (x, y), max_epochs=3, lr=1.0, **QUIET)
    model.train()
    in_training = model.backbone(x).detach()
    before = model.eval().backbone(x).detach()
    vds.recalibrate_batch_norm(model, (x, y))
    after = model.eval().backbone(x).detach()
    # Running variances are unbiased, those of a training batch are not: 12 points differ by a factor of 12/11.
    assert (after - in_training).abs().max() < 0.5 * (before - in_training).abs().max()
    assert model.backbone.blocks[0][2].momentum == 0.1


def test_batches_cover_every_point_once_and_never_hold_a_single_one():
    x = torch.arange(21.0)[:, None]
    batches = IndexBatches((x, x), 5, torch.Generator().manual_seed(0))
    first, second = (list(batches) for _ in range(2))
    assert [len(b) for b, _ in first] == [5, 5, 5, 6]
    assert len(batches) == 4
    assert torch.cat([b for b, _ in first]).flatten().sort().values.tolist() == x.flatten().tolist()
    assert not torch.equal(first[0][0], second[0][0])
