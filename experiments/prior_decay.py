"""Spirals: sensitivity to the prior, which falls off by a factor of 0.5 to 1 (uniform) from depth to depth."""

from experiments.engine.measures import measure_repeats
from experiments.engine.presets import REPEATS_SPIRALS, SPIRALS, TINY_SPIRALS
from pyro_vds.priors.families import Geometric
from pyro_vds.sweeps import Grid, Scan, product

SCAN = Scan(
    measure=measure_repeats,
    paper=Grid(
        product({"prior": [Geometric(d) for d in (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 1.0)]}),
        SPIRALS,
        REPEATS_SPIRALS,
        compile=True,
    ),
    tiny=Grid(product({"prior": [Geometric(d) for d in (0.5, 1.0)]}), SPIRALS | TINY_SPIRALS, repeats=2),
)
