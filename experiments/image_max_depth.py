"""Images: learnt depth networks of growing max depth (figures 4, 9 and 10).

SVHN is the stand-in ``svhn_test_digits`` here. On the full set, with ``train_32x32.mat`` and ``test_32x32.mat`` in DIR
(what is missing is downloaded): ``python -m experiments image_max_depth --data svhn --data-root DIR``, and so
``image_deterministic_depth`` and ``calibration``.
"""

from experiments.engine.measures import measure_repeats
from experiments.engine.presets import (
    CPU_IMAGES,
    DATA_SETS,
    DEPTHS_CPU,
    DEPTHS_IMAGES,
    REPEATS_CPU,
    REPEATS_IMAGES,
    TINY_IMAGES,
)
from pyro_vds.sweeps import Grid, Scan, product

SCAN = Scan(
    measure=measure_repeats,
    paper=Grid(product({"data": DATA_SETS, "max_depth": DEPTHS_IMAGES}), {}, REPEATS_IMAGES, compile=True),
    cpu=Grid(product({"data": DATA_SETS, "max_depth": DEPTHS_CPU}), CPU_IMAGES, REPEATS_CPU),
    tiny=Grid(product({"data": ("digits",), "max_depth": (0, 2)}), TINY_IMAGES, repeats=2),
)
