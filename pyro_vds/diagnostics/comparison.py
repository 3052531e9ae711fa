"""Comparison of architectures, mixtures and other networks by predictive accuracy, with ArviZ.

:func:`held_out_elpd` and :func:`elpd` return ArviZ's ``ELPDData`` with pointwise values. ``az.compare`` makes a table
of them with standard errors of the differences, and ``az.plot_compare`` draws it::

    results = held_out_elpd(tree, prune=5)  # the tree of held-out data
    results["DDN 5"] = elpd(log_predictive(ddn, None, *test))
    az.plot_compare(az.compare(results))

With more than 11 results ``az.compare`` may warn that the best result is best by chance; take this seriously.

``az.loo`` raises for draws of few architectures; :func:`loo_over_architectures` is its closed form. ``az.compare``
refuses a mixture of its results and held-out results, since the two are not comparable.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import arviz as az
import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from scipy.special import logsumexp
from torch import Tensor

from pyro_vds.diagnostics.quantities import (
    Label,
    architecture_dims,
    as_labels,
    axis_of,
    entry_index,
    exact_quantities,
    exp,
    log_likelihood_along,
    quantities_of_one_model,
)
from pyro_vds.ops.stacking import maximise_log_score

Weights = Literal["q", "exact"]


Scaled = Literal["prior", "likelihood"]


def elpd(log_probs: Float[Tensor, " N"] | Float[np.ndarray, " N"]) -> az.ELPDData:
    """Return the held-out expected log predictive density of a prediction as ArviZ's ``ELPDData``.

    ``elpd = sum_n log p(y_n | x_n)`` in nats, ``se = sqrt(N var_n log p(y_n | x_n))`` (Vehtari et al. 2017, eq. 23).

    Args:
        log_probs: The log density of each held-out target, nats, for instance ``log_predictive(model, guide, x, y)``.
            All results of a comparison must have the same points.

    Returns:
        The sum, its standard error and the pointwise values; ``p`` is NaN, since held-out points need no correction.

    Raises:
        ValueError: If there are no points, or a value is not finite.
    """
    values = np.asarray(torch.as_tensor(log_probs).detach().cpu(), dtype=np.float64)
    return az.ELPDData(p=np.nan, **_totals(values))


def held_out_elpd(
    tree: xr.DataTree, axis: str | None = None, *, prune: Label | Iterable[Label] = ()
) -> dict[str, az.ELPDData]:
    """Return the held-out elpd of every entry of an axis, of the mixture, and of the mixture cut to an entry.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` for held-out data, with the posterior of the training data.
        axis: Name of the axis of architectures; ``None`` is the first of the tree.
        prune: One or several labels to cut to. A nested axis, such as a depth, keeps the entries up to the label,
            which takes over the probability above it; any other axis keeps only the labelled entry.

    Returns:
        ``{"depth 0": ..., "depth D": ..., "mixture": ..., "pruned to k": ...}`` for ``az.compare``. The guide
        averages over other axes: ``p(y | a) = sum_b q(b | a) p(y | a, b)``.

    Raises:
        ValueError: If the tree is of replicates or lacks the axis, no entry has a label, or a value is not finite.
    """
    exact = quantities_of_one_model(tree)
    axis = axis_of(exact, axis)
    along = log_likelihood_along(exact, axis).transpose(axis, "obs_id").to_numpy()
    rows = {f"{axis} {label}": row for label, row in zip(exact[axis].to_numpy().tolist(), along, strict=True)}
    rows["mixture"] = (exact["log_q"] + exact["log_likelihood"]).reduce(logsumexp, architecture_dims(exact)).to_numpy()
    for label in as_labels(prune):
        rows[f"pruned to {label}"] = _log_prob_of_cut(exact, axis, entry_index(exact, axis, label))
    return {name: elpd(values) for name, values in rows.items()}


def loo_over_architectures(tree: xr.DataTree, *, weights: Weights = "q") -> az.ELPDDataLOO:
    """Return the leave-one-out elpd over the architecture only, for weights that were trained on all points.

    ``elpd_loo,n = -log sum_a q(a) / p(y_n | a)``, nats, predicts ``y_n`` after its likelihood is removed from ``q``.
    For the exact posterior this is leave-one-out cross-validation with fixed weights, without importance sampling. It
    shows how much the posterior depends on single points. It does not estimate accuracy on new data, for which each
    network would have to be trained without the point.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of the training data.
        weights: ``"q"`` for the guide, ``"exact"`` for the exact posterior.

    Returns:
        The same object as ``az.loo``; ``p`` is the effective number of parameters ``lpd - elpd_loo``.

    Raises:
        ValueError: If the tree is of replicates, or of a model with class weights, or a value is not finite.
    """
    exact = quantities_of_one_model(tree)
    if exact.attrs.get("tempered"):
        raise ValueError(
            "Expected a posterior from log densities, got one of a likelihood with class weights, from which no point "
            "can be removed by its density. Compare on held-out data with held_out_elpd."
        )
    dims = architecture_dims(exact)
    log_q, log_p = exact[{"q": "log_q", "exact": "log_exact_posterior"}[weights]], exact["log_likelihood"]
    values = -(log_q - log_p).reduce(logsumexp, dims).to_numpy()
    lpd = (log_q + log_p).reduce(logsumexp, dims).to_numpy()
    return az.ELPDDataLOO(p=float((lpd - values).sum()), **_totals(values))


def stacking_weights(tree: xr.DataTree, axis: str | None = None) -> xr.DataArray:
    """Return the weights over one axis that maximise the log score of the mixture, to compare with the guide.

    ``max_w sum_n log sum_a w_a p(y_n | x_n, a)`` (Yao et al. 2018, "Using Stacking to Average Bayesian Predictive
    Distributions"), by the solver of :func:`pyro_vds.stacked_weights`. Entries with the same predictions share their
    weight. The guide averages over other axes.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree` of held-out data.
        axis: Name of the axis of architectures; ``None`` is the first of the tree.

    Returns:
        Weights over the axis that sum to one.

    Raises:
        ValueError: If the tree is of replicates or lacks the axis, a value is NaN, or a point is impossible.
    """
    exact = quantities_of_one_model(tree)
    axis = axis_of(exact, axis)
    log_p = log_likelihood_along(exact, axis).transpose(axis, "obs_id").to_numpy()
    weights = maximise_log_score(torch.as_tensor(log_p, dtype=torch.float64))
    if weights.isnan().any():
        raise ValueError("Expected log densities that are numbers, and no point that every entry thinks impossible.")
    return xr.DataArray(weights.numpy(), {axis: exact[axis]}, name="stacking")


def power_scaled_posterior(
    tree: xr.DataTree, powers: Sequence[float] = (0.5, 1.0, 2.0), *, of: Scaled = "prior"
) -> xr.DataArray:
    """Return the exact posterior with the prior or the likelihood raised to a power, to see how much each matters.

    ``q_c(a) ∝ p(a)**c L(a)``, or ``p(a) L(a)**c``, with ``L(a) = prod_n p(y_n | x_n, a)`` (Kallioinen et al. 2024,
    "Detecting and diagnosing prior and likelihood sensitivity with power-scaling"). This is the closed form of
    ``az.psense``, which raises. The weights stay fixed; training under another prior would change them.

    Args:
        tree: A DataTree from :func:`pyro_vds.to_datatree`; replicates are fine.
        powers: The exponents ``c``; 0 removes the part, 1 gives the model's posterior.
        of: The part to scale, ``"prior"`` or ``"likelihood"``.

    Returns:
        Probabilities over ``power`` and the axes.

    Raises:
        ValueError: If a power is negative, there are no powers, the part is unknown, or the tree lacks the exact
            quantities.
    """
    if of not in get_args(Scaled):
        raise ValueError(f"Expected of='prior' or of='likelihood' to scale, got {of!r}.")
    if not len(powers) or min(powers) < 0:
        raise ValueError(f"Expected one or more powers of at least 0, got {list(powers)}.")
    exact = exact_quantities(tree)
    log_prior, log_posterior = exact["log_prior"], exact["log_exact_posterior"]
    power = xr.DataArray(np.asarray(powers, dtype=np.float64), dims="power", coords={"power": list(powers)})
    # An architecture that the prior excludes stays excluded at every power.
    finite = log_prior.where(log_prior > -np.inf, 0.0)
    scaled = finite if of == "prior" else log_posterior - finite
    log_joint = (log_posterior + (power - 1) * scaled).transpose("power", ...)
    return exp(log_joint - log_joint.reduce(logsumexp, architecture_dims(exact))).rename("probability")


def _totals(values: Float[np.ndarray, " N"]) -> dict:
    """Return the fields of ArviZ's ``ELPDData`` for pointwise values."""
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        finite = int(np.isfinite(values).sum())
        raise ValueError(
            f"Expected finite log densities (N,), N > 0, got shape {values.shape} with {finite} finite values. Pass "
            "log_predictive(...) of one model."
        )
    return {
        "elpd": float(values.sum()),
        "se": float(np.sqrt(len(values) * values.var())),
        "n_samples": 1,
        "n_data_points": len(values),
        "scale": "log",
        "warning": False,
        "good_k": None,
        "elpd_i": xr.DataArray(values, dims="obs_id"),
    }


def _log_prob_of_cut(exact: xr.Dataset, axis: str, index: int) -> Float[np.ndarray, " N"]:
    """Return the log density of each point under the mixture cut to one entry of an axis, nats."""
    others = [dim for dim in architecture_dims(exact) if dim != axis]
    size = exact.sizes[axis]
    log_q = exact["log_q"].transpose(axis, *others).to_numpy().reshape(size, -1)
    log_p = exact["log_likelihood"].transpose(axis, *others, "obs_id").to_numpy().reshape(*log_q.shape, -1)
    below = index if exact[axis].attrs.get("nested") else 0
    moved = logsumexp(log_q[below:], axis=0, keepdims=True)
    log_weights = np.concatenate([log_q[:below], moved])
    return logsumexp(log_weights[..., None] + log_p[[*range(below), index]], axis=(0, 1))
