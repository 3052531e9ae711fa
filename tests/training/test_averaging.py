"""Averages of the weights: those of all states, and in the place of the weights wherever a state is judged or kept."""

import copy

import oracles
import pytest
import torch

import pyro_vds as vds

QUIET = {"progress": False, "patience": None}


def states(*, epochs):
    """Train in plain torch, and return all weights and statistics after each step."""
    model, guide, x, y = oracles.problem(2)
    both = torch.nn.ModuleList([model, guide])
    optimizer = torch.optim.SGD(both.parameters(), lr=0.05, momentum=0.5)
    elbo, found = vds.enum_elbo(model, guide), []
    for _ in range(epochs):
        optimizer.zero_grad()
        (elbo(x, y) / len(x)).backward()
        optimizer.step()
        found.append({name: t.clone() for name, t in both.state_dict().items()})
    return found


def average(kind, found):
    """Return the plain mean, or the exponential one with a decay of 0.7; counters are the last ones."""
    last = dict(found[-1])
    for name in [name for name, t in last.items() if t.is_floating_point()]:
        values = [state[name] for state in found]
        last[name] = torch.stack(values).mean(0)
        if kind == "ema":
            last[name] = values[0]
            for value in values[1:]:
                last[name] = 0.7 * last[name] + 0.3 * value
    return last


@pytest.mark.parametrize("compile", [False, True])
@pytest.mark.parametrize("kind", ["ema", "swa"])
@pytest.mark.parametrize("start", [0, 4])
def test_the_average_is_that_of_the_states(kind, start, compile):
    """A validation whose value rises in every epoch keeps the last average; one step in each epoch."""
    expected = average(kind, states(epochs=9)[start:])
    model, guide, x, y = oracles.problem(2)
    history = vds.fit(
        model, guide, (x, y), validation=(x, y), max_epochs=9, lr=0.05, averaging=kind, averaging_decay=0.7,
        averaging_start=start, compile=compile, **QUIET,
    )  # fmt: skip
    assert history.best_epoch == 8, "the comparison needs a run whose last epoch is the best"
    found = torch.nn.ModuleList([model, guide]).state_dict()
    stacked = "1.kept.stacked"  # they come after training, for the averaged weights
    torch.testing.assert_close(found.pop(stacked).exp().sum(), torch.ones(()))
    torch.testing.assert_close(found, expected, check_dtype=False)


@pytest.mark.parametrize("compile", [False, True])
def test_validation_sees_the_average_that_is_restored(compile):
    model, guide, x, y = oracles.problem(2)
    held_out = (torch.randn(9, 2), torch.randint(0, 3, (9,)))
    history = vds.fit(
        model, guide, (x, y), validation=held_out, max_epochs=30, lr=0.5, averaging="ema", averaging_decay=0.8,
        compile=compile, **QUIET,
    )  # fmt: skip
    assert history.best_epoch == int(history.validation["log_prob"].argmax())
    found = float(vds.log_predictive(model, guide, *held_out).mean())
    assert found == pytest.approx(float(history.validation["log_prob"].max()))


def test_averaging_leaves_the_steps_alone():
    elbos = []
    for kind in (None, "ema", "swa"):
        model, guide, x, y = oracles.problem(2)
        history = vds.fit(model, guide, (x, y), validation=(x, y), max_epochs=12, batch_size=5, averaging=kind, **QUIET)
        elbos.append(history.elbo)
    assert torch.equal(elbos[0], elbos[1])
    assert torch.equal(elbos[0], elbos[2])


def test_without_validation_the_train_elbo_chooses_among_averages():
    """The epoch of the best train ELBO, and the average as it was before the last step of that epoch."""
    found = []
    for epochs in (40, None):
        model, guide, x, y = oracles.problem(3)
        history = vds.fit(
            model, guide, (x, y), max_epochs=epochs or best + 1, lr=2.0, averaging="ema", averaging_decay=0.5, **QUIET
        )
        best = history.best_epoch
        found.append([copy.deepcopy(part.state_dict()) for part in (model, guide)])
    assert 0 < best < 39, "the control needs a run that gets worse at the end"
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_states_from_before_the_average_are_no_candidates():
    model, guide, x, y = oracles.problem(3)
    how = {"max_epochs": 40, "lr": 2.0}
    plain = vds.fit(model, guide, (x, y), **how, **QUIET)
    start = plain.best_epoch + 2
    model, guide, x, y = oracles.problem(3)
    history = vds.fit(model, guide, (x, y), averaging="swa", averaging_start=start, **how, **QUIET)
    assert torch.equal(history.elbo, plain.elbo)
    assert history.best_epoch == start + int(plain.elbo[start:].argmax())
