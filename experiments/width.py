"""Spirals: learnt depth networks of growing width (figure 5); the reduced form ends at 200 units."""

from experiments.engine import Grid, Scan, product
from experiments.engine.presets import REPEATS_SPIRALS, SPIRALS, TINY_SPIRALS

WIDTHS = (5, 10, 20, *range(40, 110, 10), 150, 200)

SCAN = Scan(
    paper=Grid(product({"width": (*WIDTHS, 500, 1000)}), SPIRALS, REPEATS_SPIRALS, compile=True),
    cpu=Grid(product({"width": WIDTHS}), SPIRALS, REPEATS_SPIRALS, compile=True),
    tiny=Grid(product({"width": (2, 5)}), SPIRALS | TINY_SPIRALS, repeats=2),
)
