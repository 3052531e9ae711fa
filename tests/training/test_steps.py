"""The compiled training step against the eager one."""

import copy
import warnings

import oracles
import pytest
import torch
from torch import nn

import pyro_vds as vds
from pyro_vds.training.flat import FlatTensors
from pyro_vds.training.steps import CompiledStep

QUIET = {"progress": False}


def trained(build, *, compile, **how):
    """Return the history and the final state of a short run."""
    model, guide, x, y = build()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a fallback would compare eager with eager
        history = vds.fit(model, guide, (x, y), compile=compile, **how, **QUIET)
    state = model.state_dict() | ({} if guide is None else guide.state_dict())
    return history, {name: t.clone() for name, t in state.items()}


def conv_problem(statistics="per_depth"):
    torch.manual_seed(0)
    net = vds.ResidualConvNet(1, 3, max_depth=2, channels=4, bottleneck=2, head_statistics=statistics)
    model = vds.VDSModel(net, num_data=12)
    return model, vds.AutoCategorical(model), torch.randn(12, 1, 8, 8), torch.randint(0, 3, (12,))


def plain_problem():
    torch.manual_seed(0)
    model = vds.VDSModel(vds.ResidualMLP(2, 3, 5, 2, readout="last"), num_data=12)
    return model, None, torch.randn(12, 2), torch.randint(0, 3, (12,))


def regression_problem():
    torch.manual_seed(0)
    net = vds.ResidualMLP(2, 1, 5, 2)
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(learn_scale=True), num_data=12)
    return model, vds.AutoCategorical(model), torch.randn(12, 2), torch.randn(12)


PROBLEMS = {
    "mlp": lambda: oracles.problem(3),
    "conv": conv_problem,
    "shared statistics": lambda: conv_problem("shared"),
    "plain": plain_problem,
    "regression": regression_problem,
}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS.keys())
def test_fifty_compiled_steps_equal_eager_ones(problem):
    """25 epochs of two batches, the last one smaller; with decay, momentum, a milestone and two learning rates."""
    # With a larger step batch norm over few points amplifies the last bits, differently on every machine.
    how = {"max_epochs": 25, "batch_size": 7, "lr": 0.003, "guide_lr": 0.02, "weight_decay": 0.01, "milestones": [6]}
    (eager, one), (compiled, other) = (trained(problem, compile=c, **how) for c in (False, True))
    assert len(eager) * 2 >= 50
    torch.testing.assert_close(compiled.elbo, eager.elbo)
    torch.testing.assert_close(compiled.kl, eager.kl)
    torch.testing.assert_close(dict(compiled.probs), dict(eager.probs))
    torch.testing.assert_close(other, one)
    assert compiled.compile_seconds > 0
    assert eager.compile_seconds == 0


def test_best_state_and_validation_are_the_eager_ones():
    model, guide, x, y = oracles.problem(2)
    found = []
    for compile in (False, True):
        model, guide, x, y = oracles.problem(2)
        validation = (x.flip(0) + 0.1, y)
        history = vds.fit(model, guide, (x, y), max_epochs=30, lr=1.0, validation=validation, compile=compile, **QUIET)
        found.append((history.best_epoch, dict(history.validation), guide.probs()))
    assert found[0][0] < 29, "the control needs a run that gets worse at the end"
    torch.testing.assert_close(found[1], found[0])


def test_best_state_by_the_elbo_is_restored():
    model, guide, x, y = oracles.problem(3)
    history = vds.fit(model, guide, (x, y), max_epochs=40, lr=2.0, compile=True, **QUIET)
    assert history.best_epoch < 39, "the control needs a run that gets worse at the end"
    model.train()
    assert -float(vds.enum_elbo(model, guide)(x, y).detach()) == pytest.approx(float(history.elbo.max()))


def test_dropout_draws_anew_in_each_step_and_repeats_with_the_seed():
    elbos = []
    for seed in (1, 1, 2):
        model, guide, x, y = oracles.problem(1)
        model.backbone.blocks[0].append(torch.nn.Dropout(0.5))
        history = vds.fit(model, guide, (x, y), max_epochs=4, lr=1e-9, seed=seed, compile=True, **QUIET)
        elbos.append(history.elbo)
    assert len(set(elbos[0].tolist())) == 4
    torch.testing.assert_close(elbos[0], elbos[1])
    assert not torch.allclose(elbos[0], elbos[2])


def test_tensors_are_views_only_while_training():
    model, guide, x, y = oracles.problem(1)
    vds.fit(model, guide, (x, y), max_epochs=1, compile=True, **QUIET)
    storages = [t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), *guide.parameters())]
    assert len(set(storages)) == len(storages)


def test_what_cannot_be_traced_runs_without_compilation_after_one_warning():
    class Peeking(torch.nn.Linear):
        def forward(self, input):
            return super().forward(input) * (1 + float(input.detach().sum()) * 0)

    found = []
    for compile in (False, True):
        torch.manual_seed(0)
        net = vds.PerDepth(torch.nn.Linear(2, 4), [Peeking(4, 4)], torch.nn.Linear(4, 3))
        model = vds.VDSModel(net, num_data=12)
        guide = vds.AutoCategorical(model)
        x, y = torch.randn(12, 2), torch.randint(0, 3, (12,))
        if compile:
            with pytest.warns(
                RuntimeWarning, match=r"got an error \(.*test_steps.py:\d+: .*float\(.*\)\. Training continues"
            ) as seen:
                history = vds.fit(model, guide, (x, y), max_epochs=5, batch_size=5, compile=True, **QUIET)
            assert len(seen) == 1
        else:
            history = vds.fit(model, guide, (x, y), max_epochs=5, batch_size=5, **QUIET)
        found.append((history.elbo, history.compile_seconds, history.best_epoch))
    torch.testing.assert_close(found[1], found[0])


def test_errors_of_the_user_are_raised_in_later_steps():
    """Only the first step may fall back: later errors are real."""
    model, guide, x, y = oracles.problem(1)
    with pytest.raises(vds.NonFiniteLossError, match="Expected a finite ELBO"):
        vds.fit(model, guide, (x, y), max_epochs=50, lr=1e200, compile=True, **QUIET)
    assert all(torch.isfinite(t).all() for t in (*model.parameters(), *guide.parameters()))


class Summed(nn.Module):
    def __init__(self, stem):
        super().__init__()
        self.stem = stem

    def forward(self, x):
        return self.stem(x["one"] + x["rest"])


def test_a_batch_of_another_shape_does_not_compile_again(monkeypatch):
    calls = []
    compile = CompiledStep._compile
    monkeypatch.setattr(CompiledStep, "_compile", lambda self, *given: (calls.append(1), compile(self, *given)))
    model, guide, x, y = oracles.problem(1)
    eager, its_guide = copy.deepcopy((model, guide))
    model.backbone.stem = Summed(model.backbone.stem)  # several inputs, as one tensor gives
    how = {"max_epochs": 3, "batch_size": 5}
    history = vds.fit(model, guide, ({"one": x / 4, "rest": 3 * x / 4}, y), compile=True, **how, **QUIET)
    assert len(calls) == 1
    torch.testing.assert_close(history.elbo, vds.fit(eager, its_guide, (x, y), **how, **QUIET).elbo)


def test_flat_tensors_refuse_a_mixture_of_types():
    with pytest.raises(TypeError, match="different types"):
        FlatTensors({"a": torch.zeros(2), "b": torch.zeros(2, dtype=torch.float32)})
