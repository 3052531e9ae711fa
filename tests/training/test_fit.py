"""Training: what it optimises, when it stops, what it leaves behind."""

import copy
import io
import itertools
import math
import sys
from types import SimpleNamespace

import oracles
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import pyro_vds as vds
from pyro_vds.training.batches import IndexBatches
from pyro_vds.training.fit import fit

QUIET = {"progress": False}


def state(model, guide):
    """Return what training changes: not the weights that a guide keeps beside its posterior."""
    both = model.state_dict() | guide.state_dict()
    return [t.clone() for name, t in both.items() if not name.startswith("kept.")]


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
    assert set(history.validation) == {"log_prob", "error", "confidence", "brier"}
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


@pytest.mark.parametrize("compile", [False, True])
def test_guide_has_a_learning_rate_of_its_own(compile):
    def step(**rates):
        model, guide, x, y = oracles.problem(1)
        learnt = (model.backbone.head.weight, guide.logits["depth"])
        before = [parameter.detach().clone() for parameter in learnt]
        fit(model, guide, (x, y), max_epochs=2, momentum=0.0, compile=compile, **rates, **QUIET)
        return [now.detach() - then for now, then in zip(learnt, before, strict=True)]

    (network, guide), (other_network, other_guide) = step(lr=1e-3), step(lr=1e-3, guide_lr=5e-3)
    torch.testing.assert_close(other_network, network)
    torch.testing.assert_close(other_guide, 5 * guide)


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
    assert set(history.validation) == {"log_prob", "squared_error"}


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
        ({"weight_decay": -1.0}, "weight_decay of at least 0, got -1.0"),
        ({"milestones": [0, 5]}, r"milestones as increasing epochs of at least 1, got \[0, 5\]"),
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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("settings", [{"max_epochs": 2}, {"max_epochs": 50, "patience": 1, "lr": 1e-30}])
def test_progress_bar_shows_elbo_and_mode_on_a_terminal(monkeypatch, settings):
    model, guide, x, y = oracles.problem(1)
    monkeypatch.setattr("sys.stderr", Terminal())
    fit(model, guide, (x, y), **settings)
    shown = sys.stderr.getvalue()
    assert "ELBO=" in shown
    assert "depth=" in shown
    monkeypatch.setattr("sys.stderr", Terminal())
    fit(model, guide, (x, y), max_epochs=2, **QUIET)
    assert not sys.stderr.getvalue()


def test_a_log_file_has_no_bar_but_a_line_a_minute(capsys, caplog, monkeypatch):
    model, guide, x, y = oracles.problem(1)
    caplog.set_level("INFO", "pyro_vds")
    fit(model, guide, (x, y), max_epochs=3)
    assert not caplog.records
    clock = itertools.count(step=25)
    monkeypatch.setattr("pyro_vds.training.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    history = fit(model, guide, (x, y), max_epochs=6)
    assert not capsys.readouterr().err
    said = [record.getMessage() for record in caplog.records]
    # A look at the clock at the start, after each epoch, and when a line is written.
    assert [line.partition(":")[0] for line in said] == ["epoch 3 of at most 6", "epoch 6 of at most 6"]
    assert f"ELBO {float(history.elbo[2]):.2f}, depth {int(history.probs['depth'][2].argmax())}" in said[0]


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
    assert torch.cat([b for b, _ in first]).flatten().sort().values.tolist() == x.flatten().tolist()
    assert not torch.equal(first[0][0], second[0][0])


@pytest.mark.parametrize(("size", "last"), [(834, 66), (840, 8), (833, 65), (832, 64), (60, 60)])
def test_a_tiny_last_batch_joins_the_one_before(size, last):
    """As in UCI concrete, 834 = 13 * 64 + 2, where batch norm over two points ruined each epoch."""
    x = torch.arange(float(size))[:, None]
    assert len(list(IndexBatches((x, x), 64, torch.Generator()))[-1][0]) == last


def test_epoch_weighs_each_batch_by_its_points():
    """With a learning rate of almost zero, the ELBO of batches of 5, 5 and 2 is that of all 12 in eval-like state."""
    found = []
    for batch_size in (12, 5):
        torch.manual_seed(1)
        net = vds.PerDepth(torch.nn.Linear(2, 4), [torch.nn.Linear(4, 4)], torch.nn.Linear(4, 3))
        model = vds.VDSModel(net, num_data=12)
        guide = vds.AutoCategorical(model)
        generator = torch.Generator().manual_seed(0)
        x, y = torch.randn(12, 2, generator=generator), torch.randint(0, 3, (12,), generator=generator)
        found.append(fit(model, guide, (x, y), max_epochs=1, batch_size=batch_size, lr=1e-12, **QUIET).elbo)
    torch.testing.assert_close(found[0], found[1])


def test_modes_of_all_modules_are_as_before():
    model, guide, x, y = oracles.problem(2)
    model.eval()
    model.backbone.blocks[0].train()
    before = [m.training for m in model.modules()]
    fit(model, guide, (x, y), max_epochs=1, **QUIET)
    assert [m.training for m in model.modules()] == before
    vds.recalibrate_batch_norm(model, (x, y))
    assert [m.training for m in model.modules()] == before


def test_recalibration_with_dropout_leaves_the_global_generator_alone():
    model, _, x, y = oracles.problem(1)
    model.backbone.blocks[0].append(torch.nn.Dropout(0.5))
    before = torch.random.get_rng_state()
    vds.recalibrate_batch_norm(model, (x, y))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_interrupt_in_validation_keeps_the_epochs_before():
    model, guide, x, y = oracles.problem(2)
    validations = []

    def interrupt(module, inputs):
        if not module.training and len(inputs[0]) > 1:  # single points are looked at before training
            validations.append(1)
            if len(validations) == 4:
                raise KeyboardInterrupt

    handle = model.backbone.register_forward_pre_hook(interrupt)
    history = fit(model, guide, (x, y), max_epochs=50, validation=(x, y), **QUIET)
    handle.remove()
    assert history.stopped == "interrupted"
    assert len(history) == len(history.validation["log_prob"]) == 3
    assert all(m.training for m in model.modules())


def test_a_huge_finite_loss_is_no_error():
    """Each loss is finite, but their sum overflows float32."""
    torch.set_default_dtype(torch.float32)
    net = vds.ResidualMLP(2, 1, 4, 1)
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(5e-19), num_data=12)
    x, y = torch.randn(12, 2), torch.full((12,), 3.0)
    history = fit(model, vds.AutoCategorical(model), (x, y), max_epochs=1, batch_size=3, lr=1e-44, **QUIET)
    torch.set_default_dtype(torch.float64)
    assert -4 * float(history.elbo[0]) > torch.finfo(torch.float32).max
    assert torch.isfinite(history.elbo).all()


def test_data_loader_does_not_advance_the_global_generator():
    model, guide, x, y = oracles.problem(2)
    loader = DataLoader(TensorDataset(x, y), batch_size=4, shuffle=True)
    before = torch.random.get_rng_state()
    first = fit(model, guide, loader, max_epochs=2, **QUIET)
    assert torch.equal(torch.random.get_rng_state(), before)
    model, guide, x, y = oracles.problem(2)
    torch.testing.assert_close(fit(model, guide, loader, max_epochs=2, **QUIET).elbo, first.elbo)


class Stream(IterableDataset):
    """Pairs without a known number."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __iter__(self):
        return iter(self.pairs)


def test_a_stream_of_unknown_length_trains():
    model, guide, x, y = oracles.problem(2)
    loader = DataLoader(Stream(list(zip(x, y, strict=True))), batch_size=5)
    assert len(fit(model, guide, loader, max_epochs=3, **QUIET)) == 3


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda x, y: (x, y.where(torch.arange(12) < 11, 7)), ValueError, r"Expected labels in 0\.\.2"),
        (lambda x, y: (x.masked_fill(torch.arange(12)[:, None] > 10, torch.nan), y), ValueError, "finite inputs"),
        (lambda x, y: (x, y, y), TypeError, r"third part of the batches of a DataLoader as floating-point weights"),
        (lambda x, y: (x, y, y, y), TypeError, r"batches of a DataLoader as a pair .*, got 4 parts"),
    ],
)
@pytest.mark.usefixtures("as_a_user")
def test_bad_later_batches_of_a_loader_are_refused(change, kind, message):
    model, guide, x, y = oracles.problem(2)
    loader = DataLoader(TensorDataset(*change(x, y)), batch_size=4)
    with pytest.raises(kind, match=message):
        fit(model, guide, loader, max_epochs=2, **QUIET)


@pytest.mark.usefixtures("as_a_user")
def test_data_that_are_no_pair_are_refused():
    model, guide, x, y = oracles.problem(1)
    with pytest.raises(
        TypeError, match=r"Expected training data as a pair \(inputs, targets\), or with weights .*, got Tensor"
    ):
        fit(model, guide, x, **QUIET)
    with pytest.raises(TypeError, match="Expected the third part of validation data as floating-point weights"):
        fit(model, guide, (x, y), validation=(x, y, y), **QUIET)


def test_batches_of_one_point_need_a_network_without_batch_norm():
    model, guide, x, y = oracles.problem(1)
    with pytest.raises(
        ValueError, match="Expected at least 2 points in each batch, because the network has batch norm"
    ):
        fit(model, guide, (x, y), batch_size=1, **QUIET)
    with pytest.raises(ValueError, match="at least 2 points in each batch"):
        fit(model, guide, DataLoader(TensorDataset(x, y), batch_size=1), **QUIET)
    net = vds.PerDepth(torch.nn.Linear(2, 4), [torch.nn.Linear(4, 4)], torch.nn.Linear(4, 3))
    plain = vds.VDSModel(net, num_data=12)
    assert len(fit(plain, vds.AutoCategorical(plain), (x, y), batch_size=1, max_epochs=2, **QUIET)) == 2


def test_guide_of_another_model_is_refused():
    model, _, x, y = oracles.problem(1)
    _, other, *_ = oracles.problem(2)
    message = r"Expected a guide for axes \[depth \(0, 1\)\], got one for axes \[depth \(0, 1, 2\)\]"
    with pytest.raises(ValueError, match=message):
        fit(model, other, (x, y), **QUIET)
    with pytest.raises(ValueError, match=message):
        vds.predict_proba(model, other, x)


@pytest.mark.parametrize("lr", [10.0, 1e200])
def test_divergence_with_validation_data_ends_as_without(lr):
    model, guide, x, y = oracles.problem(2)
    with pytest.raises(vds.NonFiniteLossError, match="Expected a finite .* at step") as caught:
        vds.fit(model, guide, (1e100 * x, y), validation=(1e100 * x, y), lr=lr, max_epochs=200, progress=False)
    assert caught.value.history.stopped == "non_finite"
    assert all(torch.isfinite(t).all() for t in model.state_dict().values())


def test_recalibration_that_fails_leaves_the_model_as_it_was():
    model, guide, x, y = oracles.problem(2)
    vds.fit(model, guide, (x, y), max_epochs=2, progress=False)
    before = copy.deepcopy(model.state_dict())
    points = torch.utils.data.TensorDataset(x[:11], y[:11])
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        vds.recalibrate_batch_norm(model, torch.utils.data.DataLoader(points, batch_size=5))
    torch.testing.assert_close(dict(model.state_dict()), dict(before))
    assert model.backbone.blocks[0][2].momentum == 0.1


def test_a_loader_with_a_last_batch_of_one_is_refused_at_once():
    model, guide, x, y = oracles.problem(2, 11)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=5)
    with pytest.raises(ValueError, match="Expected at least 2 points in each batch"):
        vds.fit(model, guide, loader, progress=False)


def test_a_loader_is_drawn_once_to_look_at():
    model, guide, x, y = oracles.problem(2)
    starts = []

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            starts.append(1)
            return iter(zip(x, y, strict=True))

    vds.fit(model, guide, torch.utils.data.DataLoader(Stream(), batch_size=6), max_epochs=3, progress=False)
    assert len(starts) == 1 + 3


def test_recalibration_leaves_frozen_statistics_as_they_are():
    torch.manual_seed(0)
    norms = [nn.BatchNorm1d(4) for _ in range(2)]
    net = vds.PerDepth(nn.Linear(2, 4), [nn.Sequential(norms[0], nn.Tanh())], nn.Sequential(norms[1], nn.Linear(4, 3)))
    norms[0].running_mean.fill_(3.0)
    norms[0].running_var.fill_(7.0)
    vds.freeze(net.blocks)
    model = vds.VDSModel(net, num_data=12)
    x, y = torch.randn(12, 2), torch.randint(0, 3, (12,))
    vds.recalibrate_batch_norm(model, (x, y))
    assert norms[0].running_mean.tolist() == [3.0] * 4
    assert norms[0].running_var.tolist() == [7.0] * 4
    # The others see the network as it predicts: behind frozen norms that use their statistics.
    activations = net.stem(x)
    after = activations + torch.tanh((activations - 3) / (7 + norms[0].eps) ** 0.5)
    statistics = net.eval().head[0].state_dict()
    expected = torch.stack([activations.mean(0), after.mean(0)])
    found = next(value for name, value in statistics.items() if "running_mean" in name)
    torch.testing.assert_close(found.reshape(2, 4), expected.detach())


@pytest.mark.parametrize("batch_size", [0, -1])
def test_recalibration_in_batches_of_nothing_is_refused(batch_size):
    model, _, x, y = oracles.problem(1)
    with pytest.raises(ValueError, match="Expected a positive whole number as batch_size"):
        vds.recalibrate_batch_norm(model, (x, y), batch_size=batch_size)
