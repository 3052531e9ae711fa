"""The lesions of a finished run: their study, its file, its figure and its table."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from torch import Tensor

from pyro_vds import plots
from pyro_vds.backbones.lesions import deletable
from pyro_vds.pruning.lesions import lesion_study
from pyro_vds.pruning.path_gradients import path_gradients
from pyro_vds.runs.figures import DPI
from pyro_vds.runs.files import FIGURES, atomic
from pyro_vds.runs.folder import Run
from pyro_vds.runs.site_text import plural

LESIONS, FIGURE = "lesions.nc", "lesions.png"
PATH_POINTS = 500
"""The number of training points that the gradients along paths are measured on."""


def lesion_run(run: Run, *, draws: int = 20, seed: int = 0, overwrite: bool = False) -> xr.Dataset:
    """Measure a run with blocks deleted and reordered on its test data, and write a file and a figure into its folder.

    Args:
        run: A finished run of a network of residual blocks.
        draws: Number of reorderings, and the largest number of different lesions with each number of deleted blocks.
        seed: Seed of the lesions.
        overwrite: Whether to replace the file and the figure.

    Returns:
        The study of :func:`pyro_vds.lesion_study`, with an RMSE and densities in the units of the data, and over
        ``length`` the ``path_gradient`` of :func:`pyro_vds.path_gradients` on up to 500 training points, unless a block
        changes the shape of the activations. It is in ``lesions.nc``, and drawn in ``figures/lesions.png``.

    Raises:
        FileExistsError: If the file or the figure exists and ``overwrite`` is false.
        TypeError: If the network is no :class:`pyro_vds.PerDepth`, such as one with widths.
        ValueError: If the network has no block, ``draws`` is not positive, or the data have changed since the run.
    """
    path, picture = run.folder / LESIONS, run.folder / FIGURES / FIGURE
    for file in (path, picture):
        if file.exists() and not overwrite:
            raise FileExistsError(f"Expected a run without a study of lesions, but {file} exists. Pass --overwrite.")
    data, model = run.data, run.model
    study = lesion_study(model, run.guide, data.test, draws=draws, seed=seed)
    if len(deletable(model.backbone)) == model.backbone.max_depth:
        x, y = (part[:PATH_POINTS] for part in data.train)
        norms = path_gradients(model, x, y, seed=seed)
        study["path_gradient"] = ("length", norms.numpy(), {"points": len(x), "units": "nats per unit of activation"})
    study = _in_data_units(study, data.target_std)
    with atomic(path) as new_file, atomic(picture) as new_picture:
        study.to_netcdf(new_file, engine="h5netcdf")
        _draw(study, new_picture)
    return study


def lesions_text(study: xr.Dataset) -> str:
    """Return the study of a run as a short table.

    Args:
        study: What :func:`lesion_run` returned.
    """
    measures = [name for name in ("log_likelihood", "error", "rmse") if name in study["measure"]]
    predictions = [str(name) for name in study["prediction"].to_numpy()]
    columns = [(prediction, measure) for measure in measures for prediction in predictions]
    title = f"test ({plural(int(study.attrs['points']), 'point')})"
    lines = [title, "", f"{'':22}" + "".join(f"{m:>18}" for _, m in columns)]
    lines.append(f"{'':22}" + "".join(f"{p:>18}" for p, _ in columns))

    def row(title: str, values: xr.DataArray) -> str:
        cells = (_cell(float(values.sel(prediction=p, measure=m)), m) for p, m in columns)
        return f"{title:22}" + "".join(f"{cell:>18}" for cell in cells)

    lines.append(row("whole network", study["intact"]))
    lines += [row(f"without block {i}", study["single"].sel(block=i)) for i in study["block"].to_numpy()]
    for count in study["deleted"].to_numpy()[2:]:
        estimate = "" if bool(study["exact"].sel(deleted=count)) else ", estimate"
        lines.append(row(f"{count} deleted{estimate}", study["random"].sel(deleted=count).mean("draw")))
    if "reordered" in study:
        lines.append(row("reordered, estimate", study["reordered"].mean("draw")))
    return "\n".join(lines)


def _cell(value: float, measure: str) -> str:
    return "" if np.isnan(value) else f"{100 * value:.2f} %" if measure == "error" else f"{value:.4f}"


def _in_data_units(study: xr.Dataset, target_std: Tensor | None) -> xr.Dataset:
    """Return a study with the RMSE and the densities of targets before standardisation.

    Several targets have no common unit: their RMSE stays that of the standardised ones.
    """
    if target_std is None:
        return study
    std = target_std.double().cpu().numpy()
    scale = xr.ones_like(study["measure"], dtype=float)
    shift = xr.zeros_like(study["measure"], dtype=float)
    shift.loc["log_likelihood"] = np.log(std).sum()
    if len(std) == 1 and "rmse" in study["measure"]:
        scale.loc["rmse"] = std[0]
    parts = [name for name in ("intact", "single", "random", "reordered") if name in study]
    return study.assign({name: (study[name] * scale - shift).assign_attrs(study[name].attrs) for name in parts})


def _draw(study: xr.Dataset, path: Path) -> None:
    figure = plots.plot_lesions(study)[0].get_figure(root=True)
    assert figure is not None
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
