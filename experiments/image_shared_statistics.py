"""Images: learnt depth of growing max depth, with one set of head statistics for all depths, as in the paper's code.

Beside ``image_max_depth``, which keeps statistics for each depth.
"""

from dataclasses import replace

from experiments.engine.measures import measure_repeats
from experiments.image_max_depth import SCAN as PER_DEPTH
from pyro_vds.sweeps import Grid, Scan
from pyro_vds.sweeps.grid import Form

SHARED = {"head_statistics": "shared"}


def _shared(form: Form) -> Grid:
    """Return those of ``image_max_depth`` but D = 0, one depth, where both kinds agree."""
    grid = PER_DEPTH.grid(form)
    points = [point for point in grid.points if point["max_depth"]]
    return replace(grid, points=points, base={**grid.base, **SHARED})


SCAN = Scan(measure=measure_repeats, paper=_shared("paper"), cpu=_shared("cpu"), tiny=_shared("tiny"))
