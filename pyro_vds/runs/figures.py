"""The figures of a run: all numbers are computed first, then drawn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from pyro_vds import plots
from pyro_vds.diagnostics.files import load_datatree
from pyro_vds.diagnostics.quantities import architecture_dims
from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.cases import Cut
from pyro_vds.infer.predict import predict
from pyro_vds.infer.predictive import predict_components, predict_pit, predict_proba
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.modes import eval_mode
from pyro_vds.plots.style import panels, write_note
from pyro_vds.runs.cuts import cut_text
from pyro_vds.runs.files import FIGURES, POSTERIOR, reading
from pyro_vds.runs.measures import tree_in_data_units
from pyro_vds.runs.site_metrics import predictors
from pyro_vds.spaces.space import LIMIT, Architecture
from pyro_vds.spaces.typing import TensorPair
from pyro_vds.training.history import History

DPI = 150
"""Pixels of an inch of a figure."""

DRAWN = ("log_q", "log_prior", "log_exact_posterior", "log_likelihood")

SITE_FIGURES: dict[str, Callable[[xr.DataTree], Axes]] = {
    "choices": lambda tree: plots.plot_choices(tree)[0],
    "graph": plots.plot_graph,
}
"""The figures of the posterior over axes with sites, by the names of their files."""


@dataclass(frozen=True)
class Functions:
    """The functions of single architectures for two classes and two inputs.

    Attributes:
        grid: The points of a grid.
        probs: The probability of the second class at these points.
        names: A title for each architecture.
    """

    grid: Float[Tensor, "pixels 2"]
    probs: Float[Tensor, "architecture pixels"]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Band:
    """The predictive distribution of a regression with one input.

    Attributes:
        x: Inputs.
        components: The functions of the architectures, their weights, and the scale of the noise.
    """

    x: Float[Tensor, "batch 1"]
    components: tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Predictions:
    """The numbers in the figures of predictions; parts that do not fit the data are ``None`` or empty.

    Attributes:
        probs: Class probabilities of the test data, by the title of the prediction.
        functions: The functions of single architectures.
        pit: The probability integral transform of each test target.
        band: The predictive distribution over the range of the test inputs.
    """

    probs: Mapping[str, Float[Tensor, "batch classes"]]
    functions: Functions | None = None
    pit: Float[np.ndarray, " batch"] | None = None
    band: Band | None = None


def draw_run(
    folder: Path,
    model: VDSModel,
    guide: Guide,
    history: History,
    test: TensorPair,
    cut: Architecture,
    *,
    seed: int = 0,
    note: str = "",
) -> None:
    """Draw the figures of a run into its folder, with the posterior in the folder.

    Args:
        folder: The run folder.
        model: The model of the run.
        guide: The guide of the model.
        history: The record of training.
        test: The test data.
        cut: The chosen architecture.
        seed: Seed of the draws, where there are too many architectures to list.
        note: A sentence above the figures of the posterior.

    Raises:
        ValueError: If the posterior cannot be read, or has other architectures.
    """
    tree = None
    if model.axes and not model.by_input:
        with reading(folder, POSTERIOR):
            tree = load_datatree(folder / POSTERIOR)
            _check_tree(tree, model)
            tree = tree_in_data_units(tree)
    figures = folder / FIGURES
    figures.mkdir(parents=True, exist_ok=True)
    sites = {f"{name}_site": axis.plate.labels for name, axis in model.space.with_sites.items() if axis.plate}
    _save(plots.plot_history(history, coords=model.coords | sites)[0], figures / "history.png")
    if tree is not None and model.space.with_sites:
        for name, plot in SITE_FIGURES.items():
            _save(plot(tree), figures / f"{name}.png", note)
    elif tree is not None:
        _save(_draw_posterior(tree, cut), figures / "posterior.png", note)
    draw_predictions(predictions_to_draw(model, guide, test, cut, seed=seed), test, figures)


def _check_tree(tree: xr.DataTree, model: VDSModel) -> None:
    """Raise unless the posterior in a tree is over the architectures of a model."""
    exact = tree["architecture"]
    for axis in model.space.values() if model.space.with_sites else ():
        sizes = (axis.sites, len(axis)) if axis.has_sites else (len(axis),)
        if (found := exact[f"log_q_{axis.name}"].shape) != sizes:
            raise ValueError(f"log_q_{axis.name} is of {list(found)} entries, the network has {list(sizes)}")
    for name in () if model.space.with_sites else DRAWN:
        sizes = exact[name].shape[: len(model.sizes)]
        if sizes != model.sizes:
            raise ValueError(f"{name} is of {list(sizes)} architectures, the network has {list(model.sizes)}")


def predictions_to_draw(
    model: VDSModel, guide: Guide, test: TensorPair, cut: Architecture, *, seed: int = 0
) -> Predictions:
    """Return the numbers in the figures of predictions.

    Args:
        model: A trained model.
        guide: The guide of the model.
        test: Test data, with standardised targets for a regression.
        cut: The chosen architecture; empty for a plain network, and if each input has its own architecture.
        seed: Seed of the draws, where there are too many architectures to list.
    """
    x, y = test
    if model.space.count > LIMIT:
        return _of_draws(predictors(model, guide, cut, seed), test)
    if not model.likelihood.numeric:
        name = "the most probable" if model.space.with_sites else cut_text(cut)
        cases: dict[str, Cut] = {"all architectures": {}, f"pruned to {name}": cut} if cut else {"marginal": {}}
        predictions = predict(model, guide, x, cuts=list(cases.values()), want=["probs"])
        probs = {title: prediction["probs"].cpu() for title, prediction in zip(cases, predictions, strict=True)}
        return Predictions(probs, functions=_functions(model, x) if int(y.max()) == 1 else None)
    if y.ndim != 1:
        return Predictions({})
    return Predictions({}, pit=predict_pit(model, guide, x, y), band=_band(model, guide, x))


def _of_draws(models: Mapping[str, tuple[VDSModel, Guide]], test: TensorPair) -> Predictions:
    """Return the numbers in the figures of a model with too many architectures to list, from models of a few."""
    few, guide = models["full"]
    if few.likelihood.numeric:
        return predictions_to_draw(few, guide, test, {})
    titles = {"full": f"{len(few.coords['sample'])} drawn architectures", "pruned": "pruned to the most probable"}
    return Predictions({titles[name]: predict_proba(*pair, test[0]).cpu() for name, pair in models.items()})


def draw_predictions(predictions: Predictions, test: TensorPair, folder: Path) -> None:
    """Write reliability diagrams and decision functions, or the coverage of intervals and the band, as PNG files.

    Args:
        predictions: The numbers from :func:`predictions_to_draw`.
        test: The test data.
        folder: The folder of the files.
    """
    x, y = (part.cpu() for part in test)
    if predictions.probs:
        _save(_draw_reliability(predictions.probs, y), folder / "reliability.png")
    if predictions.functions is not None:
        shown = predictions.functions
        axes = plots.plot_functions(shown.grid, shown.probs, (x[:400], y[:400]), names=shown.names)
        _save(axes[0], folder / "functions.png")
    if predictions.pit is not None:
        _save(plots.plot_intervals(predictions.pit), folder / "intervals.png")
    if predictions.band is not None:
        ax = plots.plot_band(predictions.band.x, predictions.band.components, (x, y))
        _save(ax, folder / "band.png")


def _functions(model: VDSModel, x: Tensor) -> Functions | None:
    """Return the function of each entry of a model's only axis, for two inputs."""
    if len(model.axes) != 1 or model.space.with_sites or x.ndim != 2 or x.shape[1] != 2:
        return None
    (axis,) = model.axes
    grid = plots.grid_around(x[:400]).to(model.device_tensor())
    with eval_mode(model), torch.inference_mode():
        probs = model.likelihood.class_log_probs(model.outputs(grid)).exp()[..., 1]
    return Functions(grid.cpu(), probs.cpu(), tuple(f"{axis} {label}" for label in model.coords[axis]))


def _band(model: VDSModel, guide: Guide, x: Tensor) -> Band | None:
    """Return the predictive distribution over the range of the inputs, if there is one feature and normal noise."""
    if x.ndim != 2 or x.shape[1] != 1 or not isinstance(getattr(model.likelihood, "scale", None), Tensor):
        return None
    line = torch.linspace(float(x.min()) - 0.5, float(x.max()) + 0.5, 400)[:, None]
    return Band(line, predict_components(model, guide, line))


def _draw_posterior(tree: xr.DataTree, chosen: Mapping[str, Any]) -> Axes:
    """Draw the posterior over each axis in its own panel, one below the other."""
    axes = architecture_dims(tree["architecture"].to_dataset())
    grid = panels(len(axes), most=1, size=(5.6, 4.4))
    for axis, ax in zip(axes, grid, strict=True):
        plots.plot_posterior(tree, ax, axis=axis, chosen=chosen.get(axis), points="test", note="")
    return grid[0]


def _draw_reliability(probs: Mapping[str, Tensor], labels: Tensor) -> Axes:
    grid = panels(len(probs), size=(4, 4))
    for ax, (title, values) in zip(grid, probs.items(), strict=True):
        plots.plot_reliability(values, labels, ax, title=title)
    return grid[0]


def _save(ax: Axes, path: Path, note: str = "") -> None:
    """Write the figure of the axes with a note, and close it."""
    figure: Any = ax.get_figure(root=True)
    write_note(figure, note)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
