"""Spirals that turn further and further (figures 6, left, and 7)."""

from experiments.engine.measures import measure_repeats
from experiments.engine.presets import LESS_NOISE, REPEATS_SPIRALS, TINY_SPIRALS
from pyro_vds.sweeps import Grid, Scan, product

SCAN = Scan(
    measure=measure_repeats,
    # All settings have the same graph, which is compiled once.
    paper=Grid(product({"rotation": range(180, 1620, 180)}), LESS_NOISE, REPEATS_SPIRALS, compile=True),
    tiny=Grid(product({"rotation": (180, 360)}), LESS_NOISE | TINY_SPIRALS, repeats=2),
)
