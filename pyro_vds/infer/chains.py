"""Trees of several trainings as the chains of one."""

from collections.abc import Sequence

import xarray as xr

OF_EACH_CHAIN = ("log_evidence", "elbo", "total_correlation")
"""The attributes of the group architecture that are numbers of one training."""


def as_chains(trees: Sequence[xr.DataTree]) -> xr.DataTree:
    """Join the trees of several trainings of the same model, each as a chain, so that ``az.rhat`` compares them.

    Draws from a guide are independent, so that ``az.rhat`` says nothing of a sampler here: near 1 the trainings found
    the same posterior, and above it they found different ones. Data are those of the first tree. ``log_evidence``,
    ``elbo`` and ``total_correlation`` become variables over ``chain``.

    Args:
        trees: DataTrees from :func:`pyro_vds.to_datatree` of one chain each, with the same points and number of draws.

    Raises:
        ValueError: If there are no trees, one has several chains, or they differ in axes, points or draws.
    """
    _check_chains(trees)
    joined = trees[0].copy()
    for group in [name for name, child in trees[0].children.items() if "draw" in child.dims]:
        parts = [tree[group].to_dataset().assign_coords(chain=[r]) for r, tree in enumerate(trees)]
        joined[group] = xr.DataTree(xr.concat(parts, dim="chain"))
    parts = [tree["architecture"].to_dataset() for tree in trees]
    attrs = parts[0].attrs
    each = {
        name: xr.DataArray([part.attrs[name] for part in parts], dims="chain")
        for name in OF_EACH_CHAIN
        if name in attrs
    }
    chains = xr.concat(parts, dim="chain", combine_attrs="drop").assign(each)
    shared = {name: value for name, value in attrs.items() if name not in OF_EACH_CHAIN}
    joined["architecture"] = xr.DataTree(chains.assign_coords(chain=range(len(trees))).assign_attrs(shared))
    return joined


def _check_chains(trees: Sequence[xr.DataTree]) -> None:
    """Raise unless trees can be the chains of one."""
    if not trees:
        raise ValueError("Expected one or more trees to join, got none.")
    found = [tree["posterior"].sizes["chain"] for tree in trees]
    if set(found) != {1}:
        raise ValueError(f"Expected trees of one chain each, got {found} chains.")
    targets = trees[0]["observed_data"].to_dataset()
    first, *others = ((tree["architecture"].to_dataset(), tree["log_likelihood"].sizes) for tree in trees)
    for place, (group, sizes) in enumerate(others, start=1):
        alike = group.coords.equals(first[0].coords) and set(group.data_vars) == set(first[0].data_vars)
        if not alike or sizes != first[1]:
            raise ValueError(
                "Expected trees of the same model with the same points and number of draws, got "
                f"{dict(first[1])} over {list(first[0].dims)} in the first and {dict(sizes)} over {list(group.dims)} "
                f"in tree {place}."
            )
        if not trees[place]["observed_data"].to_dataset().equals(targets):
            raise ValueError(f"Expected trees of the same points, got other targets in tree {place}.")
