"""Exact summaries of the posterior over architectures, without Monte Carlo error."""

import numpy as np
import xarray as xr
from jaxtyping import Float, Shaped
from scipy.special import entr

from pyro_vds.diagnostics.quantities import architecture_dims, axis_of, exact_quantities, exp, log_likelihood_along


def guide_gap(tree: xr.DataTree) -> xr.Dataset:
    """Compare the guide with the exact posterior for the same weights.

    ``gap = log evidence - ELBO = KL(q || p(a | data))``, for the data of the exact posterior in the tree. A large gap
    with a small ``total_variation`` comes from architectures that are very improbable under the exact posterior.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree`.

    Returns:
        In nats ``log_evidence``, ``elbo`` (eval mode), ``gap`` and ``reverse_kl = KL(p(a | data) || q)``; and
        ``total_variation = sum_a |q(a) - p(a | data)| / 2``, 0 to 1.

    Raises:
        ValueError: If the tree lacks the exact quantities.
    """
    exact = exact_quantities(tree)
    dims = architecture_dims(exact)
    log_q, log_p = exact["log_q"], exact["log_exact_posterior"]
    gap = _kl(log_q, log_p, dims)
    return xr.Dataset(
        {
            "log_evidence": exact["log_evidence"],
            "elbo": exact["log_evidence"] - gap,
            "gap": gap,
            "reverse_kl": _kl(log_p, log_q, dims),
            "total_variation": _total_variation(log_q, log_p, dims),
        }
    )


def summary(tree: xr.DataTree, axis: str | None = None, *, prob: float = 0.89) -> xr.Dataset:
    """Summarise the prior, the guide and the exact posterior over one axis.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree`.
        axis: Name of the axis of architectures; ``None`` is the first of the tree. Other axes are summed over.
        prob: Smallest mass of the interval; ArviZ's default.

    Returns:
        Over the dimension ``distribution`` (``prior``, ``q``, ``exact``): the label ``mode`` of the most probable
        entry, the ``entropy`` in nats, and ``effective_entries = exp(entropy)``, the perplexity, from 1 to the number
        of entries. If labels are numbers, also the ``mean`` ``sum_a a q(a)`` and the ``sd`` in their units, and
        ``hdi_low`` and ``hdi_high``, the ends of the shortest run of entries with a mass of at least ``prob``.

    Raises:
        ValueError: If the tree lacks the exact quantities or the axis, or ``prob`` is not in ``(0, 1]``.
    """
    if not 0 < prob <= 1:
        raise ValueError(f"Expected the mass of the interval in (0, 1], got prob={prob}.")
    p = axis_probs(tree, axis)
    axis = str(p.dims[-1])
    labels, entropy = p[axis], _entropy(p, [axis])
    return xr.Dataset(
        _of_numbers(p, axis, prob)
        | {
            "mode": labels[p.argmax(axis)].drop_vars(axis).drop_attrs(),
            "entropy": entropy,
            "effective_entries": exp(entropy),
        }
    ).assign_attrs(hdi_prob=prob)


def _of_numbers(p: xr.DataArray, axis: str, prob: float) -> dict[str, xr.DataArray]:
    """Return the part of a summary that needs numeric labels; empty for names and booleans."""
    labels = p[axis]
    if not np.issubdtype(labels.dtype, np.number):
        return {}
    mean = (p * labels).sum(axis)
    low, high = xr.apply_ufunc(
        _shortest_interval,
        p,
        labels,
        float(prob),
        input_core_dims=[[axis], [axis], []],
        output_core_dims=[[], []],
        vectorize=True,
    )
    return {"mean": mean, "sd": (p * (labels - mean) ** 2).sum(axis) ** 0.5, "hdi_low": low, "hdi_high": high}


def axis_probs(tree: xr.DataTree, axis: str | None = None) -> xr.DataArray:
    """Return the marginal probability of each entry of one axis under the prior, the guide and the exact posterior.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree`.
        axis: Name of the axis of architectures; ``None`` is the first of the tree.

    Returns:
        Probabilities over ``distribution`` (``prior``, ``q``, ``exact``), ``chain`` with replicates, and the axis.

    Raises:
        ValueError: If the tree lacks the exact quantities or the axis.
    """
    exact = exact_quantities(tree)
    axis = axis_of(exact, axis)
    others = [dim for dim in architecture_dims(exact) if dim != axis]
    logs = {"prior": "log_prior", "q": "log_q", "exact": "log_exact_posterior"}
    parts = [exp(exact[name]).sum(others) for name in logs.values()]
    return xr.concat(parts, dim=xr.Variable("distribution", list(logs))).rename("probability").transpose(..., axis)


def log_likelihood(tree: xr.DataTree, axis: str | None = None) -> xr.Dataset:
    """Return the mean log-likelihood of each architecture over the tree's points, with its standard error.

    ``mean_n log p(y_n | x_n, a)`` and ``sd_n / sqrt(N)``, nats per point. The standard error is for sampling the points
    with fixed weights. Architectures share the points: compare them with :mod:`pyro_vds.comparison`.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree`.
        axis: Name of an axis, whose entries are then averaged over the other axes by the guide: ``p(y | a) = sum_b
            q(b | a) p(y | a, b)``. ``None`` is every architecture.

    Returns:
        ``mean`` and ``se`` over all axes, or over the given one; ``se`` is NaN for one point.

    Raises:
        ValueError: If the tree lacks the exact quantities or the axis.
    """
    exact = exact_quantities(tree)
    values = exact["log_likelihood"] if axis is None else log_likelihood_along(exact, axis_of(exact, axis))
    count = values.sizes["obs_id"]
    sd = values.std("obs_id", ddof=1) if count > 1 else values.mean("obs_id") * np.nan
    return xr.Dataset({"mean": values.mean("obs_id"), "se": sd / np.sqrt(count)})


def replicate_agreement(tree: xr.DataTree) -> xr.Dataset:
    """Measure how much the guides of replicates agree.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of a model with replicates.

    Returns:
        ``jensen_shannon = H(mean_r q_r) - mean_r H(q_r)`` in nats, from 0 (all guides are the same) to the log of the
        number of replicates (each is certain of another architecture); ``total_variation`` between each two guides,
        ``(chain, other_chain)``, 0 to 1. Both are over the product of the axes.

    Raises:
        ValueError: If the tree lacks the exact quantities or replicates.
    """
    exact = exact_quantities(tree)
    log_q, dims = exact["log_q"], architecture_dims(exact)
    if "chain" not in log_q.dims:
        raise ValueError(
            "Expected the tree of replicates, got the tree of one model. Train a pyro_vds.Replicated(net, n), "
            "or join the trees of several trainings with pyro_vds.as_chains."
        )
    q = exp(log_q)
    return xr.Dataset(
        {
            "jensen_shannon": _entropy(q.mean("chain"), dims) - _entropy(q, dims).mean("chain"),
            "total_variation": _total_variation(log_q, log_q.rename(chain="other_chain"), dims),
        }
    )


def _kl(log_a: xr.DataArray, log_b: xr.DataArray, dims: list[str]) -> xr.DataArray:
    """Return ``sum a (log a - log b)``, in log space because ``b`` may be too small for a float."""
    a = exp(log_a)
    with np.errstate(invalid="ignore"):  # 0 (log 0 - log b) counts as 0
        return (a * (log_a - log_b)).where(a > 0, 0.0).sum(dims)


def _entropy(p: xr.DataArray, dims: list[str]) -> xr.DataArray:
    return xr.apply_ufunc(entr, p).sum(dims)


def _total_variation(log_a: xr.DataArray, log_b: xr.DataArray, dims: list[str]) -> xr.DataArray:
    return abs(exp(log_a) - exp(log_b)).sum(dims) / 2


def _shortest_interval(
    p: Float[np.ndarray, " entries"], labels: Shaped[np.ndarray, " entries"], prob: float
) -> tuple[np.number, np.number]:
    """Return the end labels of the shortest run of entries with a mass; of equally short runs, the most probable."""
    index = np.arange(len(p))
    above = p.cumsum()
    mass = above[None, :] - (above - p)[:, None]  # from entry (row) to entry (column)
    length = index[None, :] - index[:, None]
    # Because of rounding the whole range may have slightly less than its mass.
    enough = (length >= 0) & (mass >= prob * above[-1] - 1e-12)
    low, high = np.unravel_index(np.where(enough, mass - 2.0 * length, -np.inf).argmax(), mass.shape)
    return labels[low], labels[high]
