"""Figures of a regression hold the numbers that they are drawn from."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import pyro_vds as vds


def regression(inputs: int = 1, targets: int = 1) -> tuple[vds.VDSModel, vds.AutoCategorical]:
    net = vds.ResidualMLP(inputs, targets, width=5, max_depth=2)
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(0.5), num_data=12)
    return model, vds.AutoCategorical(model)


@pytest.mark.parametrize("depth", [None, 1])
def test_band_is_mean_and_variance_and_the_function_of_each_depth(depth):
    model, guide = regression()
    x = torch.linspace(-1, 1, 30)[:, None]
    ax = vds.plots.plot_band(model, guide, x, (torch.zeros(4, 1), torch.ones(4)), depth=depth)
    mean, variance = (part.squeeze(-1).numpy() for part in vds.predict_moments(model, guide, x, depth=depth))
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["mean"].get_ydata(), mean)
    assert len(lines["points"].get_xdata()) == 4
    functions = [line for line in ax.lines if len(line.get_xdata()) == 30 and line.get_label() != "mean"]
    assert len(functions) == (3 if depth is None else 2)
    outer, inner = (band.get_paths()[0].vertices[:, 1] for band in ax.collections)
    assert outer.max() == pytest.approx((mean + 2 * np.sqrt(variance)).max())
    assert inner.max() == pytest.approx((mean + 2 * 0.5).max())


def test_axes_are_taken_and_returned():
    model, guide = regression()
    ax = plt.subplots()[1]
    assert vds.plots.plot_band(model, guide, torch.zeros(3, 1), (torch.zeros(2, 1), torch.zeros(2)), ax) is ax
    assert vds.plots.plot_intervals([0.2, 0.7], ax) is ax


@pytest.mark.usefixtures("as_a_user")
def test_band_refuses_what_is_not_one_input_and_one_target():
    points = (torch.zeros(2, 1), torch.zeros(2))
    with pytest.raises(
        ValueError, match=r"Expected inputs of one feature, \(N, 1\), to draw a band over; got \(3, 2\)"
    ):
        vds.plots.plot_band(*regression(inputs=2), torch.zeros(3, 2), points)
    with pytest.raises(ValueError, match="Expected a model of one target to draw, got one of 2"):
        vds.plots.plot_band(*regression(targets=2), torch.zeros(3, 1), points)


def test_intervals_are_drawn_with_their_error():
    pit = np.linspace(0.0005, 0.9995, 1000)
    ax = vds.plots.plot_intervals(pit, title="test")
    table = vds.intervals.interval_table(pit)
    coverage = next(line for line in ax.lines if line.get_label() == "coverage")
    np.testing.assert_allclose(coverage.get_ydata(), table.coverage)
    assert ax.get_title() == "test: error 0.0 %"
