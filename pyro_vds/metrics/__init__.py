"""Measures of predictions: numpy in, numpy out."""

from pyro_vds.metrics import calibration, dependence, intervals, resampling, temperature, uncertainty

__all__ = [
    "calibration",
    "dependence",
    "intervals",
    "resampling",
    "temperature",
    "uncertainty",
]
