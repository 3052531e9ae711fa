"""The record of training survives a file."""

import numpy as np
import oracles
import pandas as pd
import sites
import torch
import xarray as xr

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


def test_dataset_holds_every_number_by_its_name():
    model, guide, x, y = oracles.problem(2)
    history = vds.fit(model, guide, (x, y), max_epochs=4, validation=(x, y), progress=False)
    found = history.to_dataset()
    assert dict(found.sizes) == {"epoch": 4, "depth": 3}
    assert found["epoch"].values.tolist() == [0, 1, 2, 3]
    for name in ("elbo", "expected_log_prob", "kl"):
        np.testing.assert_array_equal(found[name], getattr(history, name))
    np.testing.assert_array_equal(found["q_depth"], history.probs["depth"])
    np.testing.assert_array_equal(found["validation_log_prob"], history.validation["log_prob"])
    assert (int(found["best_epoch"]), str(found["stopped"].values)) == (history.best_epoch, history.stopped)
    assert found.attrs == {"units": "nats"}


def test_dataset_of_replicates_has_a_chain_for_each():
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 2, 4, 2), 3), num_data=6)
    data = torch.randn(6, 2), torch.randint(0, 2, (6,))
    history = vds.fit(model, vds.AutoCategorical(model), data, max_epochs=2, validation=data, progress=False)
    found = history.to_dataset()
    assert found["q_depth"].dims == ("epoch", "chain", "depth")
    assert found["best_epoch"].dims == found["stopped"].dims == ("chain",)
    for r in range(3):
        xr.testing.assert_equal(found.isel(chain=r), history.replicate(r).to_dataset())


def test_dataset_of_an_axis_with_sites_has_a_dimension_for_them():
    model, guide = sites.dense_model(layers=1, num_data=30)
    record = vds.fit(model, guide, sites.data(), max_epochs=2, progress=False).to_dataset()
    assert record["q_gate"].dims == ("epoch", "gate_site", "gate")
    assert record["q_gate"].shape == (2, 3, 2)


def test_dataframe_has_a_row_for_each_epoch_and_replicate():
    model, guide, x, y = oracles.problem(2)
    history = vds.fit(model, guide, (x, y), max_epochs=4, validation=(x, y), progress=False)
    table = history.to_dataframe()
    assert (table.index.name, list(table.index)) == ("epoch", [0, 1, 2, 3])
    np.testing.assert_array_equal(table["gap"], history.gap)
    np.testing.assert_array_equal(table["validation_error"], history.validation["error"])
    np.testing.assert_array_equal(table[[f"q(depth={d})" for d in range(3)]], history.probs["depth"])
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 2, 4, 2), 3), num_data=6)
    data = torch.randn(6, 2), torch.randint(0, 2, (6,))
    history = vds.fit(model, vds.AutoCategorical(model), data, max_epochs=2, progress=False)
    table = history.to_dataframe()
    assert table.index.names == ["epoch", "replicate"]
    for r in range(3):
        pd.testing.assert_frame_equal(table.xs(r, level="replicate"), history.replicate(r).to_dataframe())


def test_dataframe_names_entries_by_their_labels(tmp_path):
    model = vds.VDSModel(vds.WithWidths(vds.ResidualMLP(2, 2, 4, 1), (2, 4)), num_data=6)
    data = torch.randn(6, 2), torch.randint(0, 2, (6,))
    history = vds.fit(model, vds.AutoCategorical(model), data, max_epochs=1, progress=False)
    history.save(tmp_path / "history.safetensors")
    table = vds.History.load(tmp_path / "history.safetensors").to_dataframe()
    assert [name for name in table if name.startswith("q(")] == ["q(depth=0)", "q(depth=1)", "q(width=2)", "q(width=4)"]
    pd.testing.assert_frame_equal(table, history.to_dataframe())
    plain = vds.VDSModel(vds.ResidualMLP(2, 2, 4, 2, readout="last"), num_data=6)
    table = vds.fit(plain, None, data, max_epochs=2, progress=False).to_dataframe()
    assert list(table) == ["elbo", "expected_log_prob", "kl", "gap", "tempered_num_data"]
