"""Spirals: deterministic depth networks of each depth (figure 2, left)."""

from experiments.engine.measures import measure_repeats
from experiments.engine.presets import REPEATS_SPIRALS, SPIRALS, TINY_SPIRALS
from pyro_vds.sweeps import Grid, Scan, product

PLAIN = SPIRALS | {"readout": "last"}

SCAN = Scan(
    measure=measure_repeats,
    paper=Grid(product({"max_depth": range(41)}), PLAIN, REPEATS_SPIRALS, compile=True),
    tiny=Grid(product({"max_depth": (0, 2)}), PLAIN | TINY_SPIRALS, repeats=2),
)
