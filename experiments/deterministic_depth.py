"""Spirals: deterministic depth networks of each depth (figure 2, left)."""

from experiments.engine import Grid, Scan, product
from experiments.engine.presets import REPEATS_SPIRALS, SPIRALS, TINY_SPIRALS

PLAIN = SPIRALS | {"readout": "last"}

SCAN = Scan(
    paper=Grid(product({"max_depth": range(41)}), PLAIN, REPEATS_SPIRALS, compile=True),
    tiny=Grid(product({"max_depth": (0, 2)}), PLAIN | TINY_SPIRALS, repeats=2),
)
