"""Many runs: grids of settings, and a runner that can be interrupted and continued."""

from pyro_vds.sweeps.grid import Grid, Resources, Scan, Trial, product
from pyro_vds.sweeps.runner import results, run

__all__ = ["Grid", "Resources", "Scan", "Trial", "product", "results", "run"]
