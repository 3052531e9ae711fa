"""Figures of training show the numbers of the record."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr
from trees import COLOURS

import pyro_vds as vds


def test_history_draws_the_objective_and_each_axis(trained):
    *_, history = trained
    axes = vds.plots.plot_history(history)
    assert len(axes) == 2
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), -history.elbo)
    np.testing.assert_allclose(axes[1].images[0].get_array(), history.probs["depth"].T)


def test_history_names_the_entries_of_each_axis(trained):
    history = trained[-1]
    probs = torch.rand(len(history), 20)
    wide = replace(history, probs={"width": probs})
    ax = vds.plots.plot_history(wide, coords={"width": [5 * i for i in range(1, 21)]})[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["5", "20", "35", "50", "65", "80", "95"]
    assert ax.get_yticks().tolist() == [0, 3, 6, 9, 12, 15, 18]


def test_ticks_of_few_epochs_are_whole_numbers(trained):
    history = vds.fit(*trained[:2], trained[2:4], max_epochs=2, progress=False)
    for ax in vds.plots.plot_history(history):
        assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_history_names_the_sites_of_an_axis(trained):
    sites = replace(trained[-1], probs={"gate": torch.rand(5, 3, 2)})
    ax = vds.plots.plot_history(sites, coords={"gate": [False, True], "gate_site": ["0->1", "0->2", "1->2"]})[1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0->1", "0->2", "1->2"]
    assert ax.get_title() == "q(gate = True)"


def test_history_draws_the_validation_metrics_last(trained):
    model, guide, x, y, _ = trained
    history = vds.fit(model, guide, (x, y), max_epochs=4, validation=(x, y), progress=False)
    axes = vds.plots.plot_history(history)
    assert [ax.get_ylabel() for ax in axes] == ["nats", "depth", "log density (nats per point)"]
    twin = axes[2].figure.axes[-1]
    assert twin.get_ylabel() == "error (%)"
    np.testing.assert_allclose(axes[2].lines[0].get_ydata(), history.validation["log_prob"])
    np.testing.assert_allclose(twin.lines[0].get_ydata(), 100 * history.validation["error"])
    legend = [text.get_text() for text in axes[2].get_legend().get_texts()]
    assert legend == ["validation log density", "best", "validation error"]


def test_history_of_a_density_has_no_error_to_draw(trained):
    history = replace(trained[-1], validation={"log_prob": torch.arange(5.0)})
    axes = vds.plots.plot_history(history)
    assert "error (%)" not in [ax.get_ylabel() for ax in axes[0].figure.axes]
    assert axes[2].get_ylim()[0] < 0 < 4 < axes[2].get_ylim()[1]


@pytest.mark.parametrize("name", ["elbo", "expected_log_prob", "kl"])
def test_history_shows_values_that_are_not_positive(trained, name):
    history = trained[-1]
    assert vds.plots.plot_history(history)[0].get_yscale() == "log"
    values = getattr(history, name).clone()
    values[2] = 0.0 if name == "kl" else 30.0
    ax = vds.plots.plot_history(replace(history, **{name: values}))[0]
    assert ax.get_yscale() == "symlog"
    low, high = ax.get_ylim()
    assert all(low <= value <= high for line in ax.lines[:3] for value in line.get_ydata())


def test_history_of_a_plain_network_is_its_loss_alone(trained):
    history = replace(trained[-1], kl=torch.zeros(5), probs={})
    (ax,) = vds.plots.plot_history(history)
    assert [line.get_label() for line in ax.lines] == ["negative ELBO", "best"]
    assert ax.get_yscale() == "log"


def test_history_without_an_epoch_is_drawn(trained, tmp_path):
    history = trained[-1]
    none = {name: torch.zeros(0) for name in ("elbo", "expected_log_prob", "kl", "gap", "tempered_num_data")}
    axes = vds.plots.plot_history(replace(history, **none, probs={"depth": torch.zeros(0, 4)}, best_epoch=-1))
    axes[0].figure.savefig(tmp_path / "empty.png")


def test_history_is_drawn_from_its_dataset_too(trained):
    history = trained[-1]
    axes = vds.plots.plot_history(history.to_dataset(), plt.subplots(1, 2)[1])
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), -history.elbo)
    assert axes[0].get_xlabel() == "epoch"


def test_history_of_axes_with_names(trained):
    record = replace(trained[-1], probs={"colour": torch.rand(5, 3), "size": torch.rand(5, 2)}).to_dataset()
    axes = vds.plots.plot_history(record.assign_coords(colour=list(COLOURS), size=[8, 16]))
    assert [ax.get_ylabel() for ax in axes] == ["nats", "colour", "size"]
    assert [label.get_text() for label in axes[1].get_yticklabels()] == list(COLOURS)
    assert [label.get_text() for label in axes[2].get_yticklabels()] == ["8", "16"]


def test_history_of_replicates_is_refused():
    model = vds.VDSModel(vds.Replicated(vds.ResidualMLP(2, 2, 4, 2), 3), num_data=6)
    guide = vds.AutoCategorical(model)
    data = torch.randn(6, 2), torch.randint(0, 2, (6,))
    history = vds.fit(model, guide, data, max_epochs=2, progress=False)
    with pytest.raises(ValueError, match=r"got the history of replicates. Draw one, history.replicate\(0\)"):
        vds.plots.plot_history(history)
    ax = vds.plots.plot_history(history.replicate(1))[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), -history.elbo[:, 1])


def bound_gap(*axes):
    epochs = np.arange(3) * 10
    names = [f"expected_{axis}_{part}" for axis in axes for part in ("q", "exact")]
    return xr.Dataset(
        {name: ("epoch", np.arange(1.0, 4.0) + i) for i, name in enumerate(["gap", *names])}, {"epoch": epochs}
    )


def test_bound_gap_draws_the_expected_entry_of_each_axis():
    gap = bound_gap("size", "depth")
    ax = vds.plots.plot_bound_gap(gap)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), gap["gap"])
    twin = ax.figure.axes[-1]
    assert twin.get_ylabel() == "size, depth"
    drawn = {line.get_label(): line.get_ydata() for line in twin.lines}
    assert list(drawn) == [
        "expected size, guide", "expected size, exact posterior", "expected depth, guide",
        "expected depth, exact posterior",
    ]  # fmt: skip
    np.testing.assert_allclose(drawn["expected depth, guide"], gap["expected_depth_q"])


def test_bound_gap_of_names_is_the_gap_alone():
    ax = vds.plots.plot_bound_gap(bound_gap())
    assert len(ax.figure.axes) == 1


def test_bound_gap_of_replicates_is_refused():
    gap = bound_gap("depth").expand_dims(chain=2)
    with pytest.raises(ValueError, match=r"Expected the record of one model over epochs, got the dimensions \['chain'"):
        vds.plots.plot_bound_gap(gap)
