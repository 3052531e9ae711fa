"""Spirals: learnt depth networks of growing width (figure 5); the reduced form ends at 200 units."""

from experiments.engine.measures import measure_repeats
from experiments.engine.presets import REPEATS_SPIRALS, SPIRALS, TINY_SPIRALS
from pyro_vds.sweeps import Grid, Scan, product

WIDTHS = (5, 10, 20, *range(40, 110, 10), 150, 200)

SCAN = Scan(
    measure=measure_repeats,
    paper=Grid(product({"width": (*WIDTHS, 500, 1000)}), SPIRALS, REPEATS_SPIRALS, compile=True),
    cpu=Grid(product({"width": WIDTHS}), SPIRALS, REPEATS_SPIRALS, compile=True),
    tiny=Grid(product({"width": (2, 5)}), SPIRALS | TINY_SPIRALS, repeats=2),
)
