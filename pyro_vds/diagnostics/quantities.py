"""The exact quantities of a DataTree, and the axes that they are given over."""

from collections.abc import Iterable

import numpy as np
import xarray as xr
from scipy.special import logsumexp

Label = str | int | np.generic


def exact_quantities(tree: xr.DataTree) -> xr.Dataset:
    """Return the group ``architecture`` in float64, ``log_q`` normalised to that precision.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree`.

    Returns:
        ``log_q``, ``log_prior``, ``log_exact_posterior``, ``log_likelihood`` and ``log_evidence``, nats.

    Raises:
        ValueError: If the group is absent.
    """
    if "architecture" not in tree.children:
        raise ValueError(
            f"Expected a DataTree with a group 'architecture', got the groups {sorted(tree.children)}. Make it "
            "with pyro_vds.to_datatree."
        )
    exact = tree["architecture"].to_dataset().astype(np.float64)
    log_q = exact["log_q"] - exact["log_q"].reduce(logsumexp, architecture_dims(exact))
    # One model has its evidence among the attributes, replicates have a variable.
    return exact.assign(log_q=log_q, log_evidence=exact.get("log_evidence", exact.attrs.get("log_evidence")))


def quantities_of_one_model(tree: xr.DataTree) -> xr.Dataset:
    """Return what :func:`exact_quantities` returns, of a tree without replicates.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree` of one model.

    Raises:
        ValueError: If the tree is of replicates, or lacks the exact quantities.
    """
    exact = exact_quantities(tree)
    if "chain" in exact.dims:
        raise ValueError(
            "Expected the tree of one model, got that of replicates. Make one for each: for model, guide in "
            "pyro_vds.replicates(model, guide)."
        )
    return exact


def architecture_dims(exact: xr.Dataset) -> list[str]:
    """Return the names of the axes of architectures, ``["depth"]`` for most models.

    Args:
        exact: A dataset of :func:`exact_quantities`.
    """
    return [str(dim) for dim in exact["log_q"].dims if dim != "chain"]


def axis_of(exact: xr.Dataset, axis: str | None) -> str:
    """Return the name of an axis of architectures: the given one, or the first.

    Args:
        exact: A dataset of :func:`exact_quantities`.
        axis: A name; the first axis unless given.

    Raises:
        ValueError: If there is no such axis.
    """
    dims = architecture_dims(exact)
    if axis is None:
        return dims[0]
    if axis not in dims:
        raise ValueError(f"Expected a tree with an axis {axis!r}, got the axes {dims}.")
    return axis


def entry_index(exact: xr.Dataset, axis: str, label: Label) -> int:
    """Return where the entry with a label stands on its axis, counted from 0.

    Args:
        exact: A dataset of :func:`exact_quantities`.
        axis: The name of the axis.
        label: The label of the entry: a depth, a width, a name.

    Raises:
        ValueError: If no entry has this label.
    """
    values = exact[axis].to_numpy()
    labels = values.tolist()
    if values.dtype.kind in "OU":  # xarray turns labels of several types into text
        wanted: Label = str(label)
    else:
        wanted = label.item() if isinstance(label, np.generic) else label
    # In Python True equals 1, but it does not name a depth of 1.
    found = [i for i, one in enumerate(labels) if one == wanted and isinstance(one, bool) == isinstance(wanted, bool)]
    if not found:
        counted = values.dtype.kind in "iu" and labels == list(range(labels[0], labels[0] + len(labels)))
        there = f"{labels[0]}..{labels[-1]}" if counted else str(labels)
        raise ValueError(f"Expected a {axis} in {there}, got {label!r}.")
    return found[0]


def as_labels(labels: Label | Iterable[Label]) -> list[Label]:
    """Return one label, or several, as a list."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        return [labels]
    return list(labels)


def log_likelihood_along(exact: xr.Dataset, axis: str) -> xr.DataArray:
    """Return the log-likelihood of each entry of one axis at each point, averaged over the other axes, nats.

    ``log p(y_n | x_n, a) = log sum_b q(b | a) p(y_n | x_n, a, b)``. The other axes count evenly for an entry to which
    the guide gives no mass.

    Args:
        exact: A dataset of :func:`exact_quantities`.
        axis: The name of the axis that stays.

    Returns:
        Dimensions ``axis``, ``obs_id``, and ``chain`` for replicates.
    """
    others = [dim for dim in architecture_dims(exact) if dim != axis]
    log_p, log_q = exact["log_likelihood"], exact["log_q"]
    if not others:
        return log_p
    marginal = log_q.reduce(logsumexp, others)
    evenly = -np.log(np.prod([exact.sizes[dim] for dim in others]))
    with np.errstate(invalid="ignore"):
        given = (log_q - marginal).where(marginal > -np.inf, evenly)
    return (given + log_p).reduce(logsumexp, others)


def exp(log: xr.DataArray) -> xr.DataArray:
    """Return ``exp`` of an array of xarray, whose type NumPy's own function hides from type checkers."""
    return xr.apply_ufunc(np.exp, log)
