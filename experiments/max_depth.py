"""Spirals: learnt depth networks of growing max depth (figure 2, right)."""

from experiments.engine import Grid, Scan, product
from experiments.engine.presets import REPEATS_SPIRALS, SPIRALS, TINY_SPIRALS

SCAN = Scan(
    paper=Grid(product({"max_depth": (*range(5, 45, 5), *range(50, 110, 10))}), SPIRALS, REPEATS_SPIRALS, compile=True),
    tiny=Grid(product({"max_depth": (1, 3)}), SPIRALS | TINY_SPIRALS, repeats=2),
)
