"""The record of training survives a file."""

import oracles
import torch

import pyro_vds as vds


def test_round_trip(tmp_path):
    model, guide, x, y = oracles.problem(2)
    history = vds.fit(model, guide, (x, y), max_epochs=4, validation=(x, y), progress=False)
    history.save(tmp_path / "history.safetensors")
    again = vds.History.load(tmp_path / "history.safetensors")
    assert (again.best_epoch, again.stopped) == (history.best_epoch, history.stopped)
    for name in ("elbo", "expected_log_prob", "kl"):
        assert torch.equal(getattr(again, name), getattr(history, name))
    assert torch.equal(again.probs["depth"], history.probs["depth"])
    assert again.validation.keys() == history.validation.keys()
    assert torch.equal(again.validation["error"], history.validation["error"])
