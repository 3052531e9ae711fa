"""Measures of predictions: numpy in, numpy out."""

from pyro_vds.metrics import calibration, intervals, resampling, temperature, uncertainty

__all__ = [
    "calibration",
    "intervals",
    "resampling",
    "temperature",
    "uncertainty",
]
