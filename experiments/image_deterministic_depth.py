"""Images: deterministic depth networks at the depths of the scan over max depth (figures 4, 9 and 10)."""

from dataclasses import replace

from experiments import image_max_depth
from experiments.engine.measures import measure_repeats
from pyro_vds.sweeps import Grid, Scan


def _plain(grid: Grid) -> Grid:
    return replace(grid, base={**grid.base, "readout": "last"})


LEARNT = image_max_depth.SCAN

SCAN = Scan(
    measure=measure_repeats, paper=_plain(LEARNT.paper), tiny=_plain(LEARNT.tiny), cpu=_plain(LEARNT.grid("cpu"))
)
