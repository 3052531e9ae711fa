"""Figures of arrays, datasets and DataTrees. Every function draws in given or new matplotlib axes, and returns them."""

from pyro_vds.plots.calibration import plot_intervals, plot_pava, plot_reliability, plot_risk_coverage
from pyro_vds.plots.functions import grid_around, plot_band, plot_functions
from pyro_vds.plots.lesions import plot_lesions
from pyro_vds.plots.posterior import (
    plot_log_likelihood,
    plot_posterior,
    plot_power_scaling,
    plot_prior_to_posterior,
    plot_stacking,
)
from pyro_vds.plots.sites import plot_choices, plot_dependence, plot_graph
from pyro_vds.plots.style import BLUE, GREEN, GREY, ORANGE, RED
from pyro_vds.plots.training import plot_bound_gap, plot_history

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "RED",
    "grid_around",
    "plot_band",
    "plot_bound_gap",
    "plot_choices",
    "plot_dependence",
    "plot_functions",
    "plot_graph",
    "plot_history",
    "plot_intervals",
    "plot_lesions",
    "plot_log_likelihood",
    "plot_pava",
    "plot_posterior",
    "plot_power_scaling",
    "plot_prior_to_posterior",
    "plot_reliability",
    "plot_risk_coverage",
    "plot_stacking",
]
