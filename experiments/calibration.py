"""Images: calibration of a plain network, and of learnt depth with both kinds of head statistics (figure 10)."""

from experiments.engine.measures import measure_repeats
from experiments.engine.presets import CPU_CONVERGED, DATA_SETS, DEPTHS_CPU, REPEATS_CPU, REPEATS_IMAGES, TINY_IMAGES
from pyro_vds.sweeps import Grid, Scan, product

NETWORKS = ({"readout": "last"}, {}, {"head_statistics": "shared"})

SCAN = Scan(
    measure=measure_repeats,
    paper=Grid(product({"data": DATA_SETS}, NETWORKS), {"max_depth": 50}, REPEATS_IMAGES, compile=True),
    cpu=Grid(product({"data": DATA_SETS}, NETWORKS), CPU_CONVERGED | {"max_depth": DEPTHS_CPU[-1]}, REPEATS_CPU),
    tiny=Grid(product({"data": ("digits",)}, NETWORKS), TINY_IMAGES | {"max_depth": 2}, repeats=2),
)
