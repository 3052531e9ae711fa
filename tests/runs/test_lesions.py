"""The lesions of a run: its file and figure, and the numbers in the units of the data."""

import math

import numpy as np
import pytest
import xarray as xr

import pyro_vds as vds
from pyro_vds.runs.lesions import lesions_text
from tests.commands import FILES

pytestmark = pytest.mark.usefixtures("float32")


def test_a_run_gets_its_study_and_a_figure(run):
    opened = vds.load_run(run)
    study = vds.runs.lesion_run(opened, draws=3)
    assert {path.name for path in run.iterdir()} == {*FILES, "lesions.nc"}
    assert (run / "figures" / "lesions.png").read_bytes().startswith(b"\x89PNG")
    with xr.open_dataset(run / "lesions.nc", engine="h5netcdf") as stored:
        xr.testing.assert_identical(stored.load(), study)
    expected = vds.lesion_study(opened.model, opened.guide, opened.data.test, draws=3)
    xr.testing.assert_identical(study.drop_vars("path_gradient"), expected)
    x, y = opened.data.train
    np.testing.assert_allclose(study["path_gradient"], vds.path_gradients(opened.model, x[:500], y[:500]))


def test_the_report_of_a_run_shows_its_lesions(run):
    opened = vds.load_run(run)
    assert "Lesions" not in vds.runs.write_report(opened).read_text()
    study = vds.runs.lesion_run(opened, draws=1)
    page = vds.runs.write_report(opened, overwrite=True).read_text()
    assert "Test measures with blocks deleted or reordered" in page
    single = study["single"].sel(measure="error", prediction="marginal").to_numpy()
    assert f"largest for block {1 + single.argmax()} ({single.max():.3f})" in page


def test_a_study_is_not_replaced_unasked(run):
    opened = vds.load_run(run)
    first = vds.runs.lesion_run(opened, draws=1)
    with pytest.raises(FileExistsError, match=r"lesions\.nc exists\. Pass --overwrite"):
        vds.runs.lesion_run(opened, draws=2)
    assert vds.runs.lesion_run(opened, draws=1, overwrite=True).identical(first)


def test_a_study_that_fails_leaves_nothing(run, monkeypatch):
    def fails(*_):
        raise ValueError("no figure")

    monkeypatch.setattr("pyro_vds.plots.plot_lesions", fails)
    with pytest.raises(ValueError, match="no figure"):
        vds.runs.lesion_run(vds.load_run(run), draws=1)
    assert {path.name for path in run.iterdir()} == FILES


def test_numbers_are_in_the_units_of_the_data(tmp_path):
    settings = vds.runs.Settings(data="diabetes", max_epochs=2, max_depth=2, width=4)
    run = vds.runs.execute(settings, tmp_path / "run", progress=False)
    study = vds.runs.lesion_run(run, draws=1)
    whole = study["intact"].sel(prediction="marginal")
    full = run.metrics["test"]["full"]
    assert float(whole.sel(measure="rmse")) == pytest.approx(full["rmse"])
    assert float(whole.sel(measure="log_likelihood")) == pytest.approx(full["log_likelihood"], rel=1e-5)
    unit = float(run.data.target_std)
    inner = vds.lesion_study(run.model, run.guide, run.data.test, draws=1)
    for name in ("single", "random", "reordered"):
        np.testing.assert_allclose(study[name].sel(measure="rmse"), unit * inner[name].sel(measure="rmse"))
        shifted = inner[name].sel(measure="log_likelihood") - math.log(unit)
        np.testing.assert_allclose(study[name].sel(measure="log_likelihood"), shifted)
        assert study[name].attrs == inner[name].attrs
    assert "rmse" in lesions_text(study)


def test_the_table_has_a_row_for_each_lesion(run):
    study = vds.runs.lesion_run(vds.load_run(run), draws=1)
    lines = lesions_text(study).splitlines()
    names = [line[:22].strip() for line in lines[4:]]
    blocks = ["without block 1", "without block 2"]
    assert names == ["whole network", *blocks, "2 deleted", "reordered, estimate"]
    error = study["single"].sel(prediction="marginal", measure="error", block=2)
    assert lines[6].split()[-2:] == [f"{100 * float(error):.2f}", "%"]
