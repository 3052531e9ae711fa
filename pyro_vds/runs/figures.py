"""The figures of a run."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
import xarray as xr
from matplotlib.figure import Figure

from pyro_vds import plots
from pyro_vds.diagnostics.files import load_datatree
from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.predictive import predict_pit, predict_proba
from pyro_vds.likelihoods.classification import Classification
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.runs.files import FIGURES, POSTERIOR, reading
from pyro_vds.spaces.space import Cut
from pyro_vds.spaces.typing import Data
from pyro_vds.training.history import History

DRAWN = ("log_q", "log_prior", "log_exact_posterior", "log_likelihood")


def draw_run(folder: Path, model: VDSModel, guide: Guide, history: History, test: Data, cut: Cut) -> None:
    """Draw the figures of a run folder, with the posterior that it holds.

    Args:
        folder: The run folder.
        model: Its model.
        guide: Its guide.
        history: Its record of training.
        test: Its test data.
        cut: The chosen architecture.

    Raises:
        ValueError: If the posterior cannot be read, or is one of other architectures.
    """
    tree = None
    if model.axes and not model.per_input:
        with reading(folder, POSTERIOR):
            tree = load_datatree(folder / POSTERIOR)
            for name in DRAWN:
                found = tree["depth_posterior"][name].shape[: len(model.sizes)]
                if found != model.sizes:
                    raise ValueError(f"{name} is of {list(found)} architectures, the network has {list(model.sizes)}")
    draw_figures(model, guide, history, test, tree, folder / FIGURES, cut=cut)


def draw_figures(
    model: VDSModel,
    guide: Guide,
    history: History,
    test: Data,
    tree: xr.DataTree | None,
    folder: Path,
    *,
    cut: Cut,
) -> None:
    """Write the figures of a run as PNG files.

    Args:
        model: A trained model.
        guide: Its guide.
        history: The record of training.
        test: Test data, for reliability diagrams, coverage of intervals, decision functions and bands.
        tree: Its DataTree, for the depth posterior; ``None`` for a model without one.
        folder: Where the files go.
        cut: The chosen architecture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _save(plots.plot_history(history, coords=model.coords)[0].get_figure(), folder / "history.png")
    if tree is not None:
        _save(plots.plot_depth_posterior(tree, chosen=cut.get("depth")).get_figure(), folder / "posterior.png")
    if not isinstance(model.likelihood, Classification):
        _draw_regression(model, guide, test, folder)
        return
    _save(_reliability_figure(model, guide, test, cut), folder / "reliability.png")
    x, y = test
    if model.axes == ("depth",) and x.ndim == 2 and x.shape[1] == 2 and int(y.max()) == 1:
        _save(plots.plot_depth_functions(model, x[:400], y[:400])[0].get_figure(), folder / "functions.png")


def _draw_regression(model: VDSModel, guide: Guide, test: Data, folder: Path) -> None:
    """Draw the coverage of intervals, and with one input the band; targets are standardised ones."""
    x, y = test
    if y.ndim != 1:
        return
    _save(plots.plot_intervals(predict_pit(model, guide, x, y)).get_figure(), folder / "intervals.png")
    if x.ndim == 2 and x.shape[1] == 1:
        grid = torch.linspace(float(x.min()) - 0.5, float(x.max()) + 0.5, 400)[:, None]
        _save(plots.plot_band(model, guide, grid, test).get_figure(), folder / "band.png")


def _reliability_figure(model: VDSModel, guide: Guide, test: Data, cut: Cut) -> Figure:
    name = ", ".join(f"{axis} {entry}" for axis, entry in cut.items())
    cases: dict[str, Cut] = {"all depths": {}, f"pruned to {name}": cut} if cut else {"marginal": {}}
    figure, axes = plt.subplots(1, len(cases), figsize=(4 * len(cases), 4), layout="constrained", squeeze=False)
    for ax, (title, choice) in zip(axes.flat, cases.items(), strict=True):
        probs = predict_proba(model, guide, test[0], **choice).cpu()
        plots.plot_reliability(probs, test[1].cpu(), ax, title=title)
    return figure


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=150)
    plt.close(figure)
