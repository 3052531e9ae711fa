"""The bound over training: the gap that is recorded is that of the exact posterior, and recording changes nothing."""

import numpy as np
import oracles
import pytest
import torch

import pyro_vds as vds

HOW = {"max_epochs": 7, "lr": 0.05, "progress": False}


@pytest.mark.parametrize("compile", [False, True])
def test_gap_is_that_of_the_exact_posterior(compile):
    model, guide, x, y = oracles.problem(3)
    states = []

    def by_hand(record):
        log_p = oracles.log_probs(oracles.outputs(model.backbone.eval(), x), y).sum(1).detach()
        model.backbone.train()
        log_joint = model.prior("depth").logits + log_p
        q = guide.probs()["depth"]
        elbo = float((q * (log_joint - q.log())).sum())
        states.append((record.epoch, float(log_joint.logsumexp(0)), elbo, float(q @ torch.arange(4.0))))

    gap = vds.BoundGap(model, guide, (x, y), every=3)

    history = vds.fit(model, guide, (x, y), on_epoch=[gap, by_hand], compile=compile, **HOW)
    found = gap.to_dataset()
    assert len(states) == len(history) == 7
    assert found["epoch"].values.tolist() == [0, 3, 6]
    expected = np.array([states[epoch] for epoch in (0, 3, 6)])
    np.testing.assert_allclose(found["log_evidence"], expected[:, 1], rtol=1e-9)
    np.testing.assert_allclose(found["elbo"], expected[:, 2], rtol=1e-9)
    np.testing.assert_allclose(found["gap"], expected[:, 1] - expected[:, 2], rtol=1e-6)
    np.testing.assert_allclose(found["expected_depth_q"], expected[:, 3])
    ax = vds.plots.plot_bound_gap(found)
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), found["gap"])


def test_recording_changes_nothing():
    runs = []
    for record in (False, True):
        model, guide, x, y = oracles.problem(3)
        gap = vds.BoundGap(model, guide, (x, y), every=1)
        history = vds.fit(model, guide, (x, y), on_epoch=gap if record else None, **HOW)
        runs.append((history.elbo, *model.state_dict().values()))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_an_error_of_the_user_s_function_keeps_the_best_state():
    model, guide, x, y = oracles.problem(3)

    def stop(record):
        if record.epoch == 3:
            raise RuntimeError("enough")

    before = guide.probs()["depth"]
    with pytest.raises(RuntimeError, match="enough"):
        vds.fit(model, guide, (x, y), on_epoch=stop, **HOW)
    assert not torch.equal(guide.probs()["depth"], before)


def test_a_diverging_run_ends_as_without_a_record():
    model, guide, x, y = oracles.problem(3)
    gap = vds.BoundGap(model, guide, (x, y), every=1)
    with pytest.raises(vds.NonFiniteLossError) as error:
        vds.fit(model, guide, (x, y), on_epoch=gap, max_epochs=9, lr=1e200, progress=False)
    assert len(error.value.history) == len(gap.to_dataset()["epoch"])


@pytest.mark.usefixtures("as_a_user")
def test_what_has_no_gap_is_refused():
    model, guide, x, y = oracles.problem(3)
    with pytest.raises(ValueError, match="Expected at least 1 epoch between records, got every=0"):
        vds.BoundGap(model, guide, (x, y), every=0)
    with pytest.raises(ValueError, match="Expected recorded epochs, got none"):
        vds.BoundGap(model, guide, (x, y)).to_dataset()
    plain = vds.VDSModel(vds.ResidualMLP(2, 3, 4, 2, readout="last"), num_data=12)
    with pytest.raises(ValueError, match="Expected a model with at least one axis, got a plain network"):
        vds.BoundGap(plain, vds.AutoCategorical(plain), (x, y))


def test_a_callback_sees_the_record_so_far():
    model, guide, x, y = oracles.problem(3)
    seen, states = [], []

    def look(record):
        seen.append(record)
        states.append(guide.probs()["depth"].clone())

    history = vds.fit(model, guide, (x, y), validation=(x, y), on_epoch=look, **HOW)
    assert [record.epoch for record in seen] == [len(record) - 1 for record in seen] == list(range(7))
    assert isinstance(seen[3], vds.History)
    assert isinstance(seen[3], vds.EpochRecord)
    assert seen[3].stopped == "running"
    # An early record stays as it was while the run goes on.
    torch.testing.assert_close(seen[3].elbo, history.elbo[:4], rtol=0, atol=0)
    torch.testing.assert_close(seen[3].probs["depth"], history.probs["depth"][:4], rtol=0, atol=0)
    expected = {name: getattr(history, name)[3] for name in ("elbo", "kl", "gap")}
    expected |= {name: values[3] for name, values in history.validation.items()}
    assert seen[3].metrics == {name: float(value) for name, value in expected.items()}
    assert set(expected) == {"elbo", "kl", "gap", "log_prob", "error", "confidence", "brier"}
    # The record has the guide before the step, the model is as it is after it.
    torch.testing.assert_close(states[2], history.probs["depth"][3])


def test_records_grow_past_the_first_rows():
    model, guide, x, y = oracles.problem(1)
    seen = []
    history = vds.fit(model, guide, (x, y), max_epochs=150, lr=0.01, on_epoch=seen.append, progress=False)
    assert len(history) == len(seen) == 150
    for record in seen[::30]:
        assert torch.equal(record.elbo, history.elbo[: len(record)])


@pytest.mark.parametrize("raises", [False, True])
def test_a_callback_stops_training_with_a_word(raises):
    def stop(record):
        if record.epoch == 4 and raises:
            raise vds.StopTraining("enough")
        return "enough" if record.epoch == 4 else None

    seen = []
    model, guide, x, y = oracles.problem(3)
    history = vds.fit(model, guide, (x, y), on_epoch=[stop, seen.append], **HOW)
    assert (len(history), history.stopped, len(seen)) == (5, "enough", 5)
    model.train()
    assert -float(vds.enum_elbo(model, guide)(x, y).detach()) == pytest.approx(float(history.elbo.max()))


@pytest.mark.parametrize(
    ("result", "stopped"), [("", "max_epochs"), (3.5, "max_epochs"), (vds.StopTraining(), "callback")]
)
def test_only_a_word_stops(result, stopped):
    def answer(record):
        if isinstance(result, Exception):
            raise result
        return result

    model, guide, x, y = oracles.problem(1)
    assert vds.fit(model, guide, (x, y), on_epoch=answer, **HOW).stopped == stopped


def test_a_callback_stops_all_replicates_that_still_train():
    data = (torch.randn(12, 2), torch.randint(0, 3, (12,)))
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 3, 5, 2), 3), num_data=12)
    seen = []

    def stop(record):
        seen.append(record)
        return "enough" if record.epoch == 2 else None

    history = vds.fit(model, vds.AutoCategorical(model), data, on_epoch=stop, **HOW)
    assert history.stopped == ("enough",) * 3
    assert seen[1].metrics["elbo"] == history.elbo[1].tolist()


@pytest.mark.parametrize("kind", [RuntimeError, StopIteration, SystemExit])
def test_whatever_a_callback_raises_carries_the_record(kind):
    def fail(record):
        if record.epoch == 3:
            raise kind("broken")

    model, guide, x, y = oracles.problem(3)
    with pytest.raises(kind, match="broken") as error:
        vds.fit(model, guide, (x, y), on_epoch=fail, **HOW)
    history = error.value.history
    assert (len(history), history.stopped) == (4, "error")
    model.train()
    assert -float(vds.enum_elbo(model, guide)(x, y).detach()) == pytest.approx(float(history.elbo.max()))
