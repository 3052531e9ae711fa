"""A 1-D regression with gaps in x: noise and disagreement between depths, at the data and away from them."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

import pyro_vds as vds
from pyro_vds.datasets.toy import GAP_1D_INTERVALS
from pyro_vds.guides.categorical import Guide
from pyro_vds.runs.build import build, train
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.measures import measure_test
from pyro_vds.runs.settings import Settings

SETTINGS: dict[str, Any] = {
    "data": "gap_1d",
    "max_depth": 10,
    "width": 50,
    "max_epochs": 3000,
    "patience": 3000,
    "lr": 0.003,
    "momentum": 0.9,
    "weight_decay": 0.01,
}
FIGURES = Path(__file__).parent / "results" / "gap_1d"


def run(*, tiny: bool, data_root: str) -> dict[str, Any]:
    """Return the mean standard deviations at the data, in the gaps and beyond, and draw the band.

    Args:
        tiny: A small network and few epochs; the figure is not written.
        data_root: Not used: the points are drawn.
    """
    small: dict[str, Any] = {"max_epochs": 20, "max_depth": 2, "width": 8} if tiny else {}
    settings = Settings(preset="paper", **SETTINGS | small, data_root=data_root).resolved()
    data = load_data(settings)
    model, guide = build(settings, DataSummary.of(data))
    history = train(settings, model, guide, data, progress=False)
    if not tiny:
        _draw(model, guide, (data.train[0], data.train[1]))
    assert data.target_std is not None
    depth = vds.choose_depth(guide.probs()["depth"])
    return {
        "settings": SETTINGS | small,
        "test": measure_test(model, guide, data.test, cut={"depth": depth}, target_std=data.target_std)["test"],
        "chosen_depth": depth,
        "q": guide.probs()["depth"].tolist(),
        "epochs": len(history),
        "standard_deviation": _deviations(model, guide, data.mean, data.std, data.target_std),
    }


def _deviations(
    model: vds.VDSModel, guide: Guide, mean: torch.Tensor, std: torch.Tensor, unit: torch.Tensor
) -> dict[str, dict[str, float]]:
    """Return the root mean variance of noise and of disagreement in each region, in the units of ``y``.

    Beyond is up to 0.5 outside the outermost points: further out batch norm after ReLU lets functions explode.
    """
    x = torch.linspace(-3, 3, 601)[:, None]
    _, *parts = vds.predict_variance_parts(model, guide, (x - mean) / std)
    at_data = torch.stack([(x >= low) & (x <= high) for low, high in GAP_1D_INTERVALS]).any(0).squeeze(-1)
    inner = (x.abs() <= GAP_1D_INTERVALS[-1][1]).squeeze(-1)
    regions = {"data": at_data, "gaps": inner & ~at_data, "beyond": ~inner}
    names = ("noise", "disagreement")
    return {
        region: {n: float(unit * v[where].mean().sqrt()) for n, v in zip(names, parts, strict=True)}
        for region, where in regions.items()
    }


def _draw(model: vds.VDSModel, guide: Guide, train: tuple[torch.Tensor, torch.Tensor]) -> None:
    FIGURES.mkdir(parents=True, exist_ok=True)
    x = torch.linspace(-1.9, 1.9, 500)[:, None]
    ax = vds.plots.plot_band(x, vds.predict_components(model, guide, x), train)
    ax.set(xlabel="x (standardised)", ylabel="y (standardised)", ylim=(-3, 3))
    ax.figure.savefig(FIGURES / "band.png", dpi=150)  # pyright: ignore[reportAttributeAccessIssue]
    plt.close("all")
