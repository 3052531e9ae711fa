"""Figures of functions hold the numbers that they are drawn from."""

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
    ax = vds.plots.plot_band(
        x, vds.predict_components(model, guide, x, depth=depth), (torch.zeros(4, 1), torch.ones(4))
    )
    mean, variance = (part.numpy() for part in vds.predict_moments(model, guide, x, depth=depth))
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
    ax, x = plt.subplots()[1], torch.zeros(3, 1)
    components = vds.predict_components(model, guide, x)
    assert vds.plots.plot_band(x, components, (torch.zeros(2, 1), torch.zeros(2)), ax) is ax


def test_band_of_weights_that_differ_between_inputs():
    x, rng = np.linspace(0, 1, 5)[:, None], np.random.default_rng(0)
    functions, weights = rng.normal(size=(2, 5)), rng.dirichlet([1, 1], 5).T
    ax = vds.plots.plot_band(x, (functions, weights, np.array(0.5)), (np.zeros((1, 1)), np.zeros(1)))
    mean = next(line for line in ax.lines if line.get_label() == "mean").get_ydata()
    np.testing.assert_allclose(mean, [weights[:, n] @ functions[:, n] for n in range(5)])


@pytest.mark.usefixtures("as_a_user")
def test_band_refuses_what_is_not_one_input_and_one_target():
    points = (torch.zeros(2, 1), torch.zeros(2))

    def draw(x, model, guide):
        return vds.plots.plot_band(x, vds.predict_components(model, guide, x), points)

    with pytest.raises(ValueError, match=r"Expected inputs with one feature, \(N, 1\), to draw a band, got \(3, 2\)"):
        draw(torch.zeros(3, 2), *regression(inputs=2))
    with pytest.raises(ValueError, match=r"Expected functions of one model and one target, .* got \(3, 3, 2\)"):
        draw(torch.zeros(3, 1), *regression(targets=2))
    net = vds.Replicated(vds.ResidualMLP(1, 1, width=5, max_depth=2), 4)
    model = vds.VDSModel(net, likelihood=vds.likelihoods.Gaussian(0.5), num_data=12)
    with pytest.raises(ValueError, match=r"got \(3, 4, 3\)\. Draw replicates and targets one by one"):
        draw(torch.zeros(3, 1), model, vds.AutoCategorical(model))


def probs_on(grid, model):
    with torch.inference_mode():
        return model.eval().outputs(grid).softmax(-1)[..., 1]


def test_functions_draw_a_panel_for_each_architecture(trained):
    model, _, x, y, _ = trained
    grid = vds.plots.grid_around(x, resolution=10)
    probs = probs_on(grid, model)
    axes = vds.plots.plot_functions(grid, probs, (x, y), names=[f"depth {d}" for d in range(4)])
    assert [ax.get_title() for ax in axes] == [f"depth {d}" for d in range(4)]
    corner = (x.amin(0) - 0.2)[None]
    expected = model.eval().backbone(corner).softmax(-1)[:, 0, 1].detach()
    drawn = [float(ax.collections[0].get_array().ravel()[0]) for ax in axes]
    np.testing.assert_allclose(drawn, expected)
    assert [ax.get_title() for ax in vds.plots.plot_functions(grid, probs[[0, 2]], (x, y))] == ["0", "1"]


def test_every_pixel_has_the_value_of_its_point():
    grid = vds.plots.grid_around(torch.tensor([[0.0, 0.0], [1.0, 2.0]]), resolution=5, margin=0.0)
    values = grid[:, 0] + 10 * grid[:, 1]
    (ax,) = vds.plots.plot_functions(grid, values[None], (torch.zeros(1, 2), torch.zeros(1)))
    expected = torch.linspace(0, 1, 5)[None] + 10 * torch.linspace(0, 2, 5)[:, None]
    np.testing.assert_allclose(ax.collections[0].get_array(), expected)


@pytest.mark.usefixtures("as_a_user")
def test_functions_of_more_than_two_inputs_are_refused():
    with pytest.raises(ValueError, match=r"Expected points with two features, \(N, 2\), got \(4, 3\)"):
        vds.plots.grid_around(torch.zeros(4, 3))


@pytest.mark.usefixtures("as_a_user")
def test_what_is_no_grid_or_does_not_fit_it_is_refused(trained):
    model, _, x, y, _ = trained
    grid = vds.plots.grid_around(x, resolution=5)
    probs = probs_on(grid, model)
    with pytest.raises(
        ValueError, match=r"Expected the points from plots.grid_around, got other points of shape \(12, 2\)"
    ):
        vds.plots.plot_functions(x, probs_on(x, model), (x, y))
    with pytest.raises(ValueError, match=r"Expected probabilities of 4 architectures at 25 points .*, got \(4, 7\)"):
        vds.plots.plot_functions(grid, probs[:, :7], (x, y))
    with pytest.raises(ValueError, match=r"Expected probabilities of 2 architectures at 25 points of the grid"):
        vds.plots.plot_functions(grid, probs, (x, y), names=["a", "b"])
    with pytest.raises(ValueError, match="Expected axes for 4 architectures, got 3"):
        vds.plots.plot_functions(grid, probs, (x, y), list(plt.subplots(1, 3)[1]))
