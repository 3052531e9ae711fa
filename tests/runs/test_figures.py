"""The numbers behind the figures of a run, and the files that are drawn of them, for axes of any name."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from trees import COLOURS

import pyro_vds as vds
from pyro_vds.infer.predictive import predict_pit, predict_proba
from pyro_vds.runs import figures


class Coloured(nn.Module):
    """Three linear networks of two inputs, called by colours."""

    space = vds.Space([vds.Axis("colour", COLOURS)])

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList(nn.Linear(features, outputs) for _ in COLOURS)

    def forward(self, x):
        return torch.stack([network(x) for network in self.networks])


def coloured(features=2, outputs=2, likelihood=None):
    model = vds.VDSModel(Coloured(features, outputs), likelihood=likelihood, num_data=12)
    guide = vds.AutoCategorical(model)
    nn.init.normal_(guide.logits["colour"])
    return model, guide


def files(folder):
    return {path.name for path in folder.iterdir()}


def test_classes_have_probabilities_and_a_function_for_each_entry(tmp_path):
    model, guide = coloured()
    x, y = torch.randn(12, 2), torch.arange(12) % 2
    found = figures.predictions_to_draw(model, guide, (x, y), {})
    torch.testing.assert_close(dict(found.probs), {"marginal": predict_proba(model, guide, x)})
    assert found.functions.names == ("colour red", "colour green", "colour blue")
    expected = model.backbone(found.functions.grid).softmax(-1)[..., 1].detach()
    torch.testing.assert_close(found.functions.probs, expected)
    assert (found.pit, found.band) == (None, None)
    figures.draw_predictions(found, (x, y), tmp_path)
    assert files(tmp_path) == {"reliability.png", "functions.png"}


def test_the_network_that_is_cut_is_drawn_beside_the_whole():
    model = vds.VDSModel(vds.ResidualMLP(3, 4, width=5, max_depth=2), num_data=12)
    guide = vds.AutoCategorical(model)
    x, y = torch.randn(12, 3), torch.arange(12) % 4
    found = figures.predictions_to_draw(model, guide, (x, y), {"depth": 1})
    assert list(found.probs) == ["all architectures", "pruned to depth 1"]
    torch.testing.assert_close(found.probs["pruned to depth 1"], predict_proba(model, guide, x, depth=1))
    assert found.functions is None


def test_a_regression_takes_a_pass_over_the_data_and_one_over_the_line(tmp_path):
    model, guide = coloured(1, 1, vds.likelihoods.Gaussian(0.5))
    x, y = torch.randn(12, 1), torch.randn(12)
    sizes = []
    model.backbone.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    found = figures.predictions_to_draw(model, guide, (x, y), {})
    assert [size for size in sizes if size > 1] == [12, 400]  # single points are looked at before
    np.testing.assert_allclose(found.pit, predict_pit(model, guide, x, y))
    torch.testing.assert_close(found.band.components[0], model.backbone(found.band.x).detach().squeeze(-1))
    figures.draw_predictions(found, (x, y), tmp_path)
    assert files(tmp_path) == {"intervals.png", "band.png"}


def test_several_targets_have_no_figure(tmp_path):
    model, guide = coloured(2, 3, vds.likelihoods.Gaussian(0.5))
    data = torch.randn(12, 2), torch.randn(12, 3)
    figures.draw_predictions(figures.predictions_to_draw(model, guide, data, {}), data, tmp_path)
    assert files(tmp_path) == set()


def test_a_run_of_two_axes_has_a_panel_for_each(tmp_path, monkeypatch):
    net = vds.WithWidths(vds.ResidualMLP(2, 2, width=8, max_depth=2), widths=[2, 4, 8])
    model = vds.VDSModel(net, num_data=12)
    guide = vds.AutoJointCategorical(model)
    x, y = torch.randn(12, 2), torch.arange(12) % 2
    history = vds.fit(model, guide, (x, y), max_epochs=2, progress=False)
    vds.diagnostics.save_datatree(vds.to_datatree(model, guide, x, y, draws=5), tmp_path / "posterior.nc")
    closed = []
    close = plt.close
    monkeypatch.setattr(plt, "close", lambda figure: (closed.append(figure), close(figure)))
    figures.draw_run(tmp_path, model, guide, history, (x, y), {"depth": 1, "width": 4})
    assert files(tmp_path / "figures") == {"history.png", "posterior.png", "reliability.png"}
    labels = [ax.get_xlabel() for ax in closed[1].axes]
    assert [label for label in labels if label] == ["depth", "width"]


def test_a_run_of_names_is_drawn(tmp_path):
    model, guide = coloured()
    x, y = torch.randn(12, 2), torch.arange(12) % 2
    history = vds.fit(model, guide, (x, y), max_epochs=2, progress=False)
    vds.diagnostics.save_datatree(vds.to_datatree(model, guide, x, y, draws=5), tmp_path / "posterior.nc")
    figures.draw_run(tmp_path, model, guide, history, (x, y), {})
    assert files(tmp_path / "figures") == {"history.png", "posterior.png", "reliability.png", "functions.png"}
