"""Many runs: settings as grids, and a runner that goes on where it was stopped."""

from pyro_vds.sweeps.grid import Grid, Resources, Scan, Trial, product
from pyro_vds.sweeps.runner import results, run

__all__ = ["Grid", "Resources", "Scan", "Trial", "product", "results", "run"]
