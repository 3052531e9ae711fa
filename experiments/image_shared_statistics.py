"""Images: learnt depth of growing max depth, with one set of head statistics for all depths, as in the paper's code.

Beside ``image_max_depth``, which keeps statistics for each depth.
"""

from dataclasses import replace

from experiments.engine import Grid, Scan
from experiments.image_max_depth import SCAN as PER_DEPTH

SHARED = {"head_statistics": "shared"}


def _shared(grid: Grid) -> Grid:
    """Return the settings of a grid with at least one block: a stem alone has one depth."""
    points = [point for point in grid.points if point["max_depth"]]
    return replace(grid, points=points, base={**grid.base, **SHARED})


SCAN = Scan(paper=_shared(PER_DEPTH.paper), cpu=_shared(PER_DEPTH.grid("cpu")), tiny=_shared(PER_DEPTH.tiny))
