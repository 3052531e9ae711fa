"""Spirals: learnt depth networks of growing max depth (figure 2, right)."""

from experiments.engine.measures import measure_repeats
from experiments.engine.presets import REPEATS_SPIRALS, SPIRALS, TINY_SPIRALS
from pyro_vds.sweeps import Grid, Scan, product

SCAN = Scan(
    measure=measure_repeats,
    paper=Grid(product({"max_depth": (*range(5, 45, 5), *range(50, 110, 10))}), SPIRALS, REPEATS_SPIRALS, compile=True),
    tiny=Grid(product({"max_depth": (1, 3)}), SPIRALS | TINY_SPIRALS, repeats=2),
)
