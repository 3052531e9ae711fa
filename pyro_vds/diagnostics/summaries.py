"""Summaries of the posterior over architectures, exact: without Monte Carlo error."""

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.special import entr, logsumexp


def exact_quantities(tree: xr.DataTree) -> xr.Dataset:
    """Return the group ``depth_posterior`` in float64, ``log_q`` normalised to that precision.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree`.

    Returns:
        ``log_q``, ``log_prior``, ``log_exact_posterior``, ``log_likelihood`` and ``log_evidence``, nats.

    Raises:
        ValueError: If the group is absent.
    """
    if "depth_posterior" not in tree.children:
        raise ValueError(
            f"Expected a DataTree with a group 'depth_posterior', got the groups {sorted(tree.children)}. Make it "
            "with pyro_vds.to_datatree."
        )
    exact = tree["depth_posterior"].to_dataset().astype(np.float64)
    log_q = exact["log_q"] - exact["log_q"].reduce(logsumexp, architecture_dims(exact))
    # One model has its evidence among the attributes, replicates have a variable.
    return exact.assign(log_q=log_q, log_evidence=exact.get("log_evidence", exact.attrs.get("log_evidence")))


def architecture_dims(exact: xr.Dataset) -> list[str]:
    """Return the names of the axes of architectures, ``["depth"]`` for most models.

    Args:
        exact: A dataset of :func:`exact_quantities`.
    """
    return [str(dim) for dim in exact["log_q"].dims if dim != "chain"]


def exp(log: xr.DataArray) -> xr.DataArray:
    """Return ``exp`` of an array of xarray, whose type NumPy's own function hides from type checkers."""
    return xr.apply_ufunc(np.exp, log)


def guide_gap(tree: xr.DataTree) -> xr.Dataset:
    """Compare the guide with the exact posterior for the same weights.

    ``gap = log evidence - ELBO = KL(q || p(d | data))``, for the data of the exact posterior in the tree. A large gap
    with a small ``total_variation`` comes from depths that are very improbable under the exact posterior.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree`.

    Returns:
        In nats ``log_evidence``, ``elbo`` (eval mode), ``gap`` and ``reverse_kl = KL(p(d | data) || q)``; and
        ``total_variation = sum_d |q(d) - p(d | data)| / 2``, 0 to 1.

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


def depth_summary(tree: xr.DataTree, prob: float = 0.89) -> xr.Dataset:
    """Summarise the prior, the guide and the exact posterior over depth.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree`.
        prob: The mass that the interval holds at least; ArviZ's default.

    Returns:
        Over the dimension ``distribution`` (``prior``, ``q``, ``exact``): the ``mean`` ``sum_d d q(d)``, the ``sd``
        and the ``mode`` in residual blocks; ``hdi_low`` and ``hdi_high``, the fewest neighbouring depths that hold
        ``prob``; the ``entropy`` in nats; and ``effective_depths = exp(entropy)``, the perplexity, 1 to ``D + 1``.

    Raises:
        ValueError: If the tree lacks the exact quantities or a depth axis, or ``prob`` is not in ``(0, 1]``.
    """
    if not 0 < prob <= 1:
        raise ValueError(f"Expected the mass of the interval in (0, 1], got prob={prob}.")
    p = depth_probs(tree)
    depth = p["depth"]
    mean = (p * depth).sum("depth")
    low, high = xr.apply_ufunc(
        _shortest_interval, p, float(prob), input_core_dims=[["depth"], []], output_core_dims=[[], []], vectorize=True
    )
    entropy = _entropy(p, ["depth"])
    return xr.Dataset(
        {
            "mean": mean,
            "sd": (p * (depth - mean) ** 2).sum("depth") ** 0.5,
            "mode": depth[p.argmax("depth")].drop_vars("depth"),
            "hdi_low": low,
            "hdi_high": high,
            "entropy": entropy,
            "effective_depths": exp(entropy),
        }
    ).assign_attrs(hdi_prob=prob)


def depth_probs(tree: xr.DataTree) -> xr.DataArray:
    """Return the marginal probability of each depth under the prior, the guide and the exact posterior.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree`.

    Returns:
        Dimensions ``distribution`` (``prior``, ``q``, ``exact``), ``depth``, and ``chain`` for replicates.

    Raises:
        ValueError: If the tree lacks the exact quantities or a depth axis.
    """
    exact = exact_quantities(tree)
    others = [dim for dim in architecture_dims(exact) if dim != "depth"]
    if "depth" not in exact["log_q"].dims:
        raise ValueError(f"Expected a tree with an axis 'depth', got the axes {others}.")
    logs = {"prior": "log_prior", "q": "log_q", "exact": "log_exact_posterior"}
    parts = [exp(exact[name]).sum(others) for name in logs.values()]
    return xr.concat(parts, dim=xr.Variable("distribution", list(logs))).rename("probability")


def depth_log_likelihood(tree: xr.DataTree) -> xr.Dataset:
    """Return the mean log-likelihood of each architecture over the tree's points, with its standard error.

    ``mean_n log p(y_n | x_n, d)`` and ``sd_n / sqrt(N)``, nats per point. The error is that of sampling the points,
    for the weights as they are; depths share points, so judge their differences with :mod:`pyro_vds.comparison`.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree`.

    Returns:
        ``mean`` and ``se`` over the axes; ``se`` is NaN for one point.

    Raises:
        ValueError: If the tree lacks the exact quantities.
    """
    values = exact_quantities(tree)["log_likelihood"]
    count = values.sizes["obs_id"]
    sd = values.std("obs_id", ddof=1) if count > 1 else values.mean("obs_id") * np.nan
    return xr.Dataset({"mean": values.mean("obs_id"), "se": sd / np.sqrt(count)})


def replicate_agreement(tree: xr.DataTree) -> xr.Dataset:
    """Say how far the guides of replicates agree.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree` of a model with replicates.

    Returns:
        ``jensen_shannon = H(mean_r q_r) - mean_r H(q_r)`` in nats, from 0 (all the same) to the log of their number
        (all certain, and of different depths); ``total_variation`` between each two, ``(chain, other_chain)``, 0 to
        1. Architectures are compared on the product of the axes.

    Raises:
        ValueError: If the tree lacks the exact quantities or replicates.
    """
    exact = exact_quantities(tree)
    log_q, dims = exact["log_q"], architecture_dims(exact)
    if "chain" not in log_q.dims:
        raise ValueError("Expected the tree of replicates, got that of one model. Train pyro_vds.Replicated(net, n).")
    q = exp(log_q)
    return xr.Dataset(
        {
            "jensen_shannon": _entropy(q.mean("chain"), dims) - _entropy(q, dims).mean("chain"),
            "total_variation": _total_variation(log_q, log_q.rename(chain="other_chain"), dims),
        }
    )


def _kl(log_a: xr.DataArray, log_b: xr.DataArray, dims: list[str]) -> xr.DataArray:
    """Return ``sum a (log a - log b)``; in log space, where ``b`` may be too small for a float."""
    a = exp(log_a)
    with np.errstate(invalid="ignore"):  # 0 (log 0 - log b) counts as 0
        return (a * (log_a - log_b)).where(a > 0, 0.0).sum(dims)


def _entropy(p: xr.DataArray, dims: list[str]) -> xr.DataArray:
    return xr.apply_ufunc(entr, p).sum(dims)


def _total_variation(log_a: xr.DataArray, log_b: xr.DataArray, dims: list[str]) -> xr.DataArray:
    return abs(exp(log_a) - exp(log_b)).sum(dims) / 2


def _shortest_interval(p: Float[np.ndarray, " depth"], prob: float) -> tuple[int, int]:
    """Return the bounds of the fewest neighbouring entries that hold a mass; of several the most probable."""
    index = np.arange(len(p))
    above = p.cumsum()
    mass = above[None, :] - (above - p)[:, None]  # from entry (row) to entry (column)
    length = index[None, :] - index[:, None]
    # Rounding must not make the whole range fall short of all its mass.
    enough = (length >= 0) & (mass >= prob * above[-1] - 1e-12)
    low, high = np.unravel_index(np.where(enough, mass - 2.0 * length, -np.inf).argmax(), mass.shape)
    return int(low), int(high)
