"""Figures of calibration show the numbers that they are given, in the axes that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import oracles
import pytest

import pyro_vds as vds
from pyro_vds import plots
from pyro_vds.metrics import uncertainty


def test_reliability_diagram_draws_the_table(trained):
    model, guide, x, y, _ = trained
    probs = vds.predict_proba(model, guide, x).numpy()
    ax = vds.plots.plot_reliability(probs, y.numpy(), bins=5, title="marginal")
    table = vds.calibration.reliability_table(probs, y.numpy(), 5)
    assert ax.get_title() == f"marginal: ECE {100 * table.ece:.1f} %"
    drawn = next(line for line in ax.lines if line.get_label() == "accuracy")
    np.testing.assert_allclose(drawn.get_ydata(), table.accuracy[table.counts > 0])


def test_reliability_diagram_has_counts_and_an_interval_for_each_bin():
    """Wilson's interval by its formula: a bin of two points says next to nothing, one of 1,200 nearly all."""
    p = np.repeat([0.55, 0.75, 1.0], [2, 40, 1200])
    labels = np.concatenate([np.zeros(2), np.arange(40) % 4 == 0, np.zeros(1200)]).astype(int)
    ax = plots.plot_reliability(np.stack([p, 1 - p], 1), labels, bins=10)
    (intervals,) = [part for part in ax.collections if part.get_label() == "95 % interval"]
    drawn = [(segment[0, 1], segment[1, 1]) for segment in intervals.get_segments()]
    share, n, z = np.array([1.0, 0.75, 1.0]), np.array([2, 40, 1200]), 1.959964
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    np.testing.assert_allclose(drawn, np.stack([centre - half, centre + half], 1), atol=1e-6)
    (strip,) = ax.child_axes
    assert [int(bar.get_height()) for bar in strip.patches] == [0, 0, 0, 0, 0, 2, 0, 40, 0, 1200]
    assert [text.get_text() for text in strip.texts] == ["2", "40", "1.2k"]
    assert ax.get_xlim()[1] > 1  # a marker at 1 is drawn whole
    assert ax.get_ylim()[1] > 1


def test_reliability_diagram_of_bins_of_equal_mass(trained):
    model, guide, x, y, _ = trained
    probs = vds.predict_proba(model, guide, x).numpy()
    ax = vds.plots.plot_reliability(probs, y.numpy(), bins=3, binning="mass")
    table = vds.calibration.reliability_table(probs, y.numpy(), 3, binning="mass")
    (strip,) = ax.child_axes
    np.testing.assert_allclose([bar.get_height() for bar in strip.patches], table.counts)
    np.testing.assert_allclose([bar.get_width() for bar in strip.patches], np.diff(table.edges))


def test_intervals_are_drawn_with_their_error():
    pit = np.linspace(0.0005, 0.9995, 1000)
    ax = vds.plots.plot_intervals(pit, title="test")
    table = vds.intervals.interval_table(pit)
    coverage = next(line for line in ax.lines if line.get_label() == "coverage")
    np.testing.assert_allclose(coverage.get_ydata(), table.coverage)
    assert ax.get_title() == "test: error 0.0 %"


def test_risk_coverage_curves_have_their_areas_in_the_legend():
    curve = uncertainty.risk_coverage([0.1, 0.2, 0.3], [0, 0, 1])
    ax = plots.plot_risk_coverage({"entropy": curve})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), curve.risk)
    assert ax.get_legend().get_texts()[0].get_text() == "entropy: area 0.1111"


def test_pava_draws_an_isotonic_curve_in_the_axes_given():
    model, guide, x, y = oracles.problem(3, 60)
    tree = vds.to_datatree(model, guide, x, y, draws=200)
    _, ax = plt.subplots()
    assert plots.plot_pava(tree, 1, ax) is ax
    curves = [np.asarray(line.get_ydata(), dtype=float) for line in ax.lines]
    curve = next(values for values in curves if len(values) == 60)
    assert (np.diff(curve) >= 0).all()
    assert curve.mean() == pytest.approx(float((tree["observed_data"]["obs"] == 1).mean()))
    assert len(ax.collections) == 1


def test_axes_are_taken_and_returned(trained):
    model, guide, x, y, _ = trained
    ax = plt.subplots()[1]
    assert plots.plot_intervals([0.2, 0.7], ax) is ax
    assert plots.plot_reliability(vds.predict_proba(model, guide, x), y, ax) is ax
