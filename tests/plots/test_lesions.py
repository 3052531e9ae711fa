"""The figure of lesions shows the numbers of the study."""

from math import comb

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import pyro_vds as vds


@pytest.fixture
def study(trained):
    model, guide, x, y, _ = trained
    return vds.lesion_study(model, guide, (x, y), draws=2)


def test_each_panel_has_its_numbers(study):
    single, deleted, reordered = vds.plots.plot_lesions(study)
    values = study.sel(measure="error")
    for line, name in zip(single.lines[1::2], ("last", "marginal"), strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * values["single"].sel(prediction=name))
    np.testing.assert_allclose(single.figure.axes[-1].lines[0].get_ydata(), study["mass_above"])
    for line, name in zip(deleted.lines, ("last", "marginal"), strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * values["random"].sel(prediction=name).mean("draw"))
    np.testing.assert_allclose(reordered.lines[1].get_xdata(), study["tau"])
    np.testing.assert_allclose(reordered.lines[1].get_ydata(), 100 * values["reordered"].sel(prediction="marginal"))
    assert [ax.get_ylabel() for ax in (single, deleted, reordered)] == ["error (%)"] * 3
    assert "an estimate" in deleted.get_xlabel()


def test_paths_are_weighed_by_their_number(study, trained):
    model, _, x, y, _ = trained
    norms = vds.path_gradients(model, x, y).numpy()
    study["path_gradient"] = ("length", norms)
    *_, paths = vds.plots.plot_lesions(study)
    counts = np.array([comb(3, k) for k in range(4)])
    heights = np.array([bar.get_height() for bar in paths.patches])
    np.testing.assert_allclose(heights[:4], counts / 8)
    np.testing.assert_allclose(heights[4:], counts * norms / (counts * norms).sum())
    np.testing.assert_allclose(paths.figure.axes[-1].lines[0].get_ydata(), norms)


def test_a_measure_is_asked_for_by_its_name(study):
    axes = plt.subplots(1, 3)[1]
    assert vds.plots.plot_lesions(study, axes, measure="log_likelihood") is axes
    assert axes[0].get_ylabel() == "log likelihood (nats per point)"
    assert vds.plots.plot_lesions(study, measure="brier")[0].get_ylabel() == "brier"
    with pytest.raises(ValueError, match="Expected one of the measures log_likelihood, error.*got 'rmse'"):
        vds.plots.plot_lesions(study, measure="rmse")
    with pytest.raises(ValueError, match="Expected 3 axes to draw on, got 2"):
        vds.plots.plot_lesions(study, axes[:2])


def test_a_plain_network_and_numbers_are_drawn():
    net = vds.ResidualMLP(2, 1, width=4, max_depth=1, readout="last")
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(), num_data=9)
    study = vds.lesion_study(model, None, (torch.randn(9, 2), torch.randn(9)), draws=3)
    single, deleted = vds.plots.plot_lesions(study)
    assert single.get_ylabel() == "rmse (units of the target)"
    assert "all masks" in deleted.get_xlabel()
