"""Writing a DataTree to a file, and reading it."""

from pathlib import Path

import arviz as az
import xarray as xr


def save_datatree(tree: xr.DataTree, path: Path) -> None:
    """Write a DataTree as a compressed NetCDF file, for ``az.from_netcdf``."""
    compressed = {
        group.path: {str(name): {"zlib": True} for name in group.data_vars} for group in tree.subtree if group.data_vars
    }
    tree.to_netcdf(path, engine="h5netcdf", encoding=compressed)


def load_datatree(path: Path) -> xr.DataTree:
    """Read a DataTree into memory from a file written by :func:`save_datatree`."""
    with az.from_netcdf(path) as tree:
        return tree.load()
