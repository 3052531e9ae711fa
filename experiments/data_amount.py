"""Spirals with more and more points, a tenth of them to train on: 50 to 800 (figures 6, right, and 8)."""

from experiments.engine.measures import measure_repeats
from experiments.engine.presets import LESS_NOISE, REPEATS_SPIRALS, TINY_SPIRALS
from pyro_vds.sweeps import Grid, Scan, product

SCAN = Scan(
    measure=measure_repeats,
    paper=Grid(product({"num_points": range(500, 8500, 500)}), LESS_NOISE, REPEATS_SPIRALS, compile=True),
    tiny=Grid(product({"num_points": (100, 200)}), TINY_SPIRALS | LESS_NOISE, repeats=2),
)
