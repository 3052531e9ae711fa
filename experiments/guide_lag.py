"""Spirals: does the guide lag behind the exact posterior in training, and does a larger step of its own help?

Training does not stop early: after some epochs the guide is recorded, and the exact posterior for the weights as they
are then.
"""

from functools import partial

from experiments.engine.lag import FACTOR, in_eval_mode, measure_lag
from experiments.engine.presets import LESS_NOISE, REPEATS_SPIRALS, TINY_SPIRALS
from pyro_vds.sweeps import Grid, Scan, product

SCAN = Scan(
    paper=Grid(product({"num_points": (2000,), FACTOR: (1, 10, 100)}), LESS_NOISE, REPEATS_SPIRALS, compile=True),
    tiny=Grid(product({FACTOR: (1, 10)}), LESS_NOISE | TINY_SPIRALS | {"max_epochs": 11}, repeats=2),
    measure=partial(measure_lag, checkpoints=(1, 10, 30, 100, 300, 1000, 3000), compare=in_eval_mode),
)
