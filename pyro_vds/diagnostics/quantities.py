"""The exact quantities of a DataTree, and their axes."""

from collections.abc import Iterable

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from pyro_vds.spaces.space import counted

Label = str | int | np.generic


def exact_quantities(tree: xr.DataTree) -> xr.Dataset:
    """Return the group ``architecture`` in float64, with ``log_q`` normalised in this precision.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree`.

    Returns:
        ``log_q``, ``log_prior``, ``log_exact_posterior``, ``log_likelihood`` and ``log_evidence``, nats.

    Raises:
        ValueError: If the group is absent, or has marginals of sites in place of a table of architectures.
    """
    group = _architecture(tree)
    if "log_q" not in group:
        raise ValueError(
            "Expected a tree with a table of all architectures, such as depths, got one of sites, which has the "
            f"marginals of {site_axes(group)}. For sites use pyro_vds.plots.plot_choices, plot_graph and "
            "plot_dependence, az.summary(tree), and exact_posterior(model, data).gap(guide)."
        )
    exact = group.astype(np.float64)
    log_q = exact["log_q"] - exact["log_q"].reduce(logsumexp, architecture_dims(exact))
    # The evidence is an attribute for one model, and a variable for replicates.
    return exact.assign(log_q=log_q, log_evidence=exact.get("log_evidence", exact.attrs.get("log_evidence")))


def _architecture(tree: xr.DataTree) -> xr.Dataset:
    """Return the group of exact quantities."""
    if "architecture" not in tree.children:
        raise ValueError(
            f"Expected a DataTree with a group 'architecture', got the groups {sorted(tree.children)}. Make one "
            "with pyro_vds.to_datatree."
        )
    return tree["architecture"].to_dataset()


def quantities_of_one_model(tree: xr.DataTree) -> xr.Dataset:
    """Return the :func:`exact_quantities` of a tree without replicates.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of one model.

    Raises:
        ValueError: If the tree is of replicates, or lacks the exact quantities.
    """
    exact = exact_quantities(tree)
    if "chain" in exact.dims:
        raise ValueError(
            "Expected the tree of one model, got the tree of replicates. Make a tree for each of them: for model, "
            "guide in pyro_vds.replicates(model, guide)."
        )
    return exact


def site_quantities(tree: xr.DataTree) -> xr.Dataset:
    """Return the group ``architecture`` of a tree of sites.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of a model with sites.

    Returns:
        For each axis ``log_q_NAME`` and ``log_prior_NAME``; with an exact posterior also ``log_exact_posterior_NAME``
        and ``dependence_NAME``.

    Raises:
        ValueError: If the group is absent, or is a table of architectures without sites.
    """
    group = _architecture(tree)
    if not site_axes(group):
        raise ValueError(
            f"Expected a tree of a model with sites, such as the edges of a graph, got the axes "
            f"{architecture_dims(group)}. For these use pyro_vds.plots.plot_posterior."
        )
    return group


def site_axes(group: xr.Dataset) -> list[str]:
    """Return the names of the axes with sites.

    Args:
        group: The group ``architecture`` of a tree.
    """
    names = [str(name).removeprefix("log_q_") for name in group.data_vars if str(name).startswith("log_q_")]
    return [name for name in names if len(set(group[f"log_q_{name}"].dims) - {"chain"}) == 2]


def site_axis_of(group: xr.Dataset, axis: str | None) -> str:
    """Return the name of an axis with sites, and check that it exists.

    Args:
        group: A dataset from :func:`site_quantities`.
        axis: The name; ``None`` is the first.

    Raises:
        ValueError: If there is no such axis.
    """
    return _known(axis, site_axes(group), " with sites")


def sites_of(group: xr.Dataset, axis: str) -> str:
    """Return the name of the dimension of an axis's sites.

    Args:
        group: A dataset from :func:`site_quantities`.
        axis: Name of the axis.
    """
    (found,) = [str(dim) for dim in group[f"log_q_{axis}"].dims if dim not in ("chain", axis)]
    return found


def probs_of_sites(group: xr.Dataset, axis: str, of: str = "q") -> xr.DataArray:
    """Return the probability of each entry at each site; the mean over chains.

    Args:
        group: A dataset from :func:`site_quantities`.
        axis: Name of the axis.
        of: ``"q"`` for the guide, ``"exact"`` for the exact posterior.

    Raises:
        ValueError: If the distribution is unknown, or the tree is an estimate and has no exact posterior.
    """
    if of not in ("q", "exact"):
        raise ValueError(f"Expected of='q' or of='exact', got {of!r}.")
    name = {"q": f"log_q_{axis}", "exact": f"log_exact_posterior_{axis}"}[of]
    if name not in group:
        raise ValueError(f"Expected a tree with an exact posterior, got an {estimate_of(group)}. Use of='q'.")
    probs = exp(group[name].astype(np.float64))
    return probs.mean("chain") if "chain" in probs.dims else probs


def estimate_of(group: xr.Dataset) -> str:
    """Return what a tree of sites was estimated from, ``""`` if it is exact.

    Args:
        group: A dataset from :func:`site_quantities`.
    """
    if group.attrs.get("exact"):
        return ""
    return f"estimate: {group.attrs['samples']} of {counted(int(group.attrs['architectures']))} architectures"


def architecture_dims(exact: xr.Dataset) -> list[str]:
    """Return the names of the axes of architectures, ``["depth"]`` for most models.

    Args:
        exact: A dataset from :func:`exact_quantities`.
    """
    return [str(dim) for dim in exact["log_q"].dims if dim != "chain"]


def axis_of(exact: xr.Dataset, axis: str | None) -> str:
    """Return the name of an axis of architectures, and check that it exists.

    Args:
        exact: A dataset from :func:`exact_quantities`.
        axis: The name; ``None`` is the first axis.

    Raises:
        ValueError: If there is no such axis.
    """
    return _known(axis, architecture_dims(exact))


def _known(axis: str | None, names: list[str], kind: str = "") -> str:
    """Return the name of an axis that exists, the first for ``None``."""
    if axis is not None and axis not in names:
        raise ValueError(f"Expected a tree with an axis {axis!r}{kind}, got the axes{kind} {names}.")
    return names[0] if axis is None else axis


def entry_index(exact: xr.Dataset, axis: str, label: Label) -> int:
    """Return the position of a label on its axis, counted from 0.

    Args:
        exact: A dataset from :func:`exact_quantities`.
        axis: Name of the axis.
        label: A depth, a width, the name of an operation.

    Raises:
        ValueError: If no entry has this label.
    """
    values = exact[axis].to_numpy()
    labels = values.tolist()
    if values.dtype.kind in "OU":  # xarray turns labels of several types into text
        wanted: Label = str(label)
    else:
        wanted = label.item() if isinstance(label, np.generic) else label
    # In Python True equals 1, but they are different labels.
    matches = [i for i, own in enumerate(labels) if own == wanted and isinstance(own, bool) == isinstance(wanted, bool)]
    if not matches:
        counted = values.dtype.kind in "iu" and labels == list(range(labels[0], labels[0] + len(labels)))
        known = f"{labels[0]}..{labels[-1]}" if counted else str(labels)
        raise ValueError(f"Expected a {axis} in {known}, got {label!r}.")
    return matches[0]


def as_labels(labels: Label | Iterable[Label]) -> list[Label]:
    """Return one label, or several, as a list."""
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        return [labels]
    return list(labels)


def log_likelihood_along(exact: xr.Dataset, axis: str) -> xr.DataArray:
    """Return the log-likelihood of each entry of one axis at each point, averaged over the other axes, nats.

    ``log p(y_n | x_n, a) = log sum_b q(b | a) p(y_n | x_n, a, b)``. For an entry without mass under the guide, all
    entries of the other axes have the same weight.

    Args:
        exact: A dataset from :func:`exact_quantities`.
        axis: Name of the axis to keep.

    Returns:
        Log-likelihoods over ``axis``, ``obs_id``, and ``chain`` with replicates.
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
    """Return ``exp`` of an xarray array, as an xarray array for type checkers too."""
    return xr.apply_ufunc(np.exp, log)
