"""Figures. Every function takes matplotlib axes, or makes them, and returns them."""

from pyro_vds.plots.calibration import plot_intervals, plot_pava, plot_reliability, plot_risk_coverage
from pyro_vds.plots.functions import plot_band, plot_depth_functions
from pyro_vds.plots.posterior import (
    plot_depth_log_likelihood,
    plot_depth_posterior,
    plot_power_scaling,
    plot_prior_to_posterior,
    plot_stacking,
)
from pyro_vds.plots.training import plot_bound_gap, plot_history

__all__ = [
    "plot_band",
    "plot_bound_gap",
    "plot_depth_functions",
    "plot_depth_log_likelihood",
    "plot_depth_posterior",
    "plot_history",
    "plot_intervals",
    "plot_pava",
    "plot_power_scaling",
    "plot_prior_to_posterior",
    "plot_reliability",
    "plot_risk_coverage",
    "plot_stacking",
]
