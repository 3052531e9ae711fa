"""Names of classes, features and targets in a DataTree."""

from collections.abc import Hashable, Mapping, Sequence

import xarray as xr


def with_names(tree: xr.DataTree, names: Mapping[str, Sequence[Hashable]]) -> xr.DataTree:
    """Return a tree whose coordinates have names in place of numbers, in all of its groups.

    Classes are stored as numbers, as ArviZ needs them; with names, ``observed["class"][observed["obs"]]`` for
    ``observed = tree["observed_data"].dataset`` has the name of each target.

    Example::

        tree = with_names(tree, {"class": ["cat", "dog"], "feature_0": ["age", "height", "weight"]})

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree`.
        names: The names along each dimension: ``class``, ``feature_0``, ``target_0`` or ``obs_id``.

    Raises:
        ValueError: If no group has such a dimension, or there are too many or too few names.
    """
    sizes = {dim: size for group in tree.subtree for dim, size in group.dataset.sizes.items()}
    for dim, values in names.items():
        if dim not in sizes:
            raise ValueError(f"Expected names of dimensions of the tree, {sorted(map(str, sizes))}, got {dim!r}.")
        if len(values) != sizes[dim]:
            raise ValueError(f"Expected {sizes[dim]} names for {dim}, got {len(values)}.")

    def named(group: xr.Dataset) -> xr.Dataset:
        return group.assign_coords({dim: list(values) for dim, values in names.items() if dim in group.sizes})

    return tree.map_over_datasets(named)
