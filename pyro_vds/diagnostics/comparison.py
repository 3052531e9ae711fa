"""Comparison of depths, mixtures and other networks by predictive accuracy, in the form of ArviZ.

:func:`held_out_elpd` and :func:`elpd` give ArviZ's ``ELPDData`` with pointwise values, so that ``az.compare`` makes its
table, with standard errors of the differences, and ``az.plot_compare`` draws it::

    results = held_out_elpd(tree, prune=5)  # the tree of held-out data
    results["DDN 5"] = elpd(log_predictive(ddn, None, *test))
    az.plot_compare(az.compare(results))

With more than 11 results ``az.compare`` may warn that the best is best by chance; that is meant for you.

``az.loo`` is degenerate on draws of a depth and raises; :func:`loo_over_depth` is its closed form. ``az.compare``
refuses to mix it with held-out results, since the two are not comparable.
"""

import warnings
from collections.abc import Sequence
from typing import Literal, get_args

import arviz as az
import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from scipy.special import logsumexp
from torch import Tensor

from pyro_vds.diagnostics.summaries import architecture_dims, exact_quantities, exp
from pyro_vds.spaces.space import entry_index, fold

Weights = Literal["q", "exact"]


Scaled = Literal["prior", "likelihood"]


def elpd(log_probs: Float[Tensor, " N"] | Float[np.ndarray, " N"]) -> az.ELPDData:
    """Return the held-out expected log predictive density of any prediction in ArviZ's form.

    ``elpd = sum_n log p(y_n | x_n)`` in nats, ``se = sqrt(N var_n log p(y_n | x_n))`` (Vehtari et al. 2017, eq. 23).

    Args:
        log_probs: The log density of each held-out target, nats, for instance of ``log_predictive``; for a DDN
            ``log_predictive(ddn, None, x, y)``. All results of a comparison must have the same points.

    Returns:
        The sum, its standard error and the pointwise values; ``p`` is NaN, since held-out points need no correction.

    Raises:
        ValueError: If there are no points, or a value is not finite.
    """
    values = np.asarray(torch.as_tensor(log_probs).detach().cpu(), dtype=np.float64)
    return az.ELPDData(p=np.nan, **_totals(values))


def held_out_elpd(tree: xr.DataTree, *, prune: int | Sequence[int] = ()) -> dict[str, az.ELPDData]:
    """Return the held-out elpd of every depth, of the mixture, and of the mixture pruned to a depth.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree` of held-out data (pass it the posterior of the training data).
        prune: Depths ``k`` to prune to; the mass ``q(d > k)`` moves to ``k``.

    Returns:
        ``{"depth 0": ..., "depth D": ..., "mixture": ..., "pruned to k": ...}`` for ``az.compare``. Other axes are
        averaged over: ``p(y | d) = sum_w q(w | d) p(y | d, w)``.

    Raises:
        TypeError: If a depth is not an integer.
        ValueError: If the tree is not of one model with a depth axis, a depth is out of range, or a value not finite.
    """
    log_q, log_p = _by_depth(tree)
    named = {f"depth {d}": row for d, row in enumerate(log_p)} | {"mixture": _mixture(log_q, log_p)}
    for depth in np.atleast_1d(prune).tolist():
        index = entry_index("depth", depth, tuple(range(len(log_q))))
        kept = fold(torch.from_numpy(log_q), ("depth",), {"depth": index}).numpy()
        named[f"pruned to {depth}"] = _mixture(kept, log_p[: len(kept)])
    return {name: elpd(values) for name, values in named.items()}


def loo_over_depth(tree: xr.DataTree, *, weights: Weights = "q") -> az.ELPDDataLOO:
    """Return the leave-one-out elpd over the architecture only: the network's weights saw the point.

    ``elpd_loo,n = -log sum_d q(d) / p(y_n | d)``, nats: the prediction of ``y_n`` after its likelihood is taken out of
    ``q``. For the exact posterior that is leave-one-out cross-validation for the weights as they are, without
    importance sampling. It says how much the posterior over depth leans on single points; it is no estimate of
    accuracy on new data, for which the network would have to be trained anew.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree` of the training data.
        weights: ``"q"`` for the guide, ``"exact"`` for the exact posterior.

    Returns:
        What ``az.loo`` would return; ``p`` is the effective number of parameters ``lpd - elpd_loo``.

    Raises:
        ValueError: If the tree is not of one model, or a value is not finite.
    """
    exact = _single(tree)
    dims = architecture_dims(exact)
    log_q, log_p = exact[{"q": "log_q", "exact": "log_exact_posterior"}[weights]], exact["log_likelihood"]
    values = -(log_q - log_p).reduce(logsumexp, dims).to_numpy()
    lpd = (log_q + log_p).reduce(logsumexp, dims).to_numpy()
    return az.ELPDDataLOO(p=float((lpd - values).sum()), **_totals(values))


def stacking_weights(tree: xr.DataTree) -> xr.DataArray:
    """Return the weights over depth that maximise the log score of the mixture, to compare with ``q(d)``.

    ``max_w sum_n log sum_d w_d p(y_n | x_n, d)`` (Yao et al. 2018, "Using Stacking to Average Bayesian Predictive
    Distributions"), found by ``az.compare``. Depths that predict alike share the weight in any way.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree` of held-out data.

    Returns:
        Weights over ``depth`` that sum to one.

    Raises:
        ValueError: If the tree is not of one model with a depth axis, or a value is not finite.
    """
    log_p = _by_depth(tree)[1]
    if len(log_p) == 1:
        return xr.DataArray([1.0], {"depth": [0]}, name="stacking")
    # A constant for each point changes no weight, and keeps exp() away from zero.
    centred = log_p - log_p.max(0)
    with warnings.catch_warnings():
        # ArviZ warns of choosing one of many, and recommends stacking instead.
        warnings.filterwarnings("ignore", "Difference in performance|All models have nearly", UserWarning)
        table = az.compare({str(d): elpd(row) for d, row in enumerate(centred)}, method="stacking", round_to="none")
    found = table["weight"].reindex([str(d) for d in range(len(log_p))]).to_numpy()
    return xr.DataArray(found, {"depth": np.arange(len(log_p))}, name="stacking")


def power_scaled_posterior(
    tree: xr.DataTree, powers: Sequence[float] = (0.5, 1.0, 2.0), *, of: Scaled = "prior"
) -> xr.DataArray:
    """Return the exact posterior under the prior or the likelihood raised to a power: how much does each matter?

    ``q_a(d) ∝ p(d)**a L(d)``, or ``p(d) L(d)**a``, with ``L(d) = prod_n p(y_n | x_n, d)`` (Kallioinen et al. 2024,
    "Detecting and diagnosing prior and likelihood sensitivity with power-scaling"); in closed form, where ``az.psense``
    raises. The network's weights are as they are: a network trained under another prior has others.

    Args:
        tree: A DataTree of :func:`pyro_vds.to_datatree`; replicates are fine.
        powers: The exponents ``a``; 0 leaves the part out, 1 is the model's.
        of: What is scaled, ``"prior"`` or ``"likelihood"``.

    Returns:
        Probabilities over ``power`` and the axes.

    Raises:
        ValueError: If a power is negative or there is none, the part is unknown, or the tree lacks the exact
            quantities.
    """
    if of not in get_args(Scaled):
        raise ValueError(f"Expected to scale the 'prior' or the 'likelihood', got {of!r}.")
    if not len(powers) or min(powers) < 0:
        raise ValueError(f"Expected powers of at least 0, got {list(powers)}.")
    exact = exact_quantities(tree)
    log_prior, log_posterior = exact["log_prior"], exact["log_exact_posterior"]
    power = xr.DataArray(np.asarray(powers, dtype=np.float64), dims="power", coords={"power": list(powers)})
    # An architecture that the prior excludes stays so at every power.
    finite = log_prior.where(log_prior > -np.inf, 0.0)
    scaled = finite if of == "prior" else log_posterior - finite
    log_joint = (log_posterior + (power - 1) * scaled).transpose("power", ...)
    return exp(log_joint - log_joint.reduce(logsumexp, architecture_dims(exact))).rename("probability")


def _totals(values: Float[np.ndarray, " N"]) -> dict:
    """Return the fields of ArviZ's ``ELPDData`` that follow from pointwise values."""
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


def _single(tree: xr.DataTree) -> xr.Dataset:
    exact = exact_quantities(tree)
    if "chain" in exact.dims:
        raise ValueError(
            "Expected the tree of one model, got that of replicates. Make one for each: for model, guide in "
            "pyro_vds.replicates(model, guide)."
        )
    return exact


def _by_depth(tree: xr.DataTree) -> tuple[Float[np.ndarray, " depth"], Float[np.ndarray, "depth N"]]:
    """Return ``log q(d)`` and ``log p(y_n | x_n, d)``, averaged over the other axes given the depth."""
    exact = _single(tree)
    dims = architecture_dims(exact)
    if "depth" not in dims:
        raise ValueError(f"Expected a tree with an axis 'depth', got the axes {dims}.")
    log_q, others = exact["log_q"], [dim for dim in dims if dim != "depth"]
    log_p = exact["log_likelihood"]
    if others:
        joint, log_q = (log_q + log_p).reduce(logsumexp, others), log_q.reduce(logsumexp, others)
        log_p = joint - log_q
    return log_q.to_numpy(), log_p.transpose("depth", "obs_id").to_numpy()


def _mixture(log_q: Float[np.ndarray, " depth"], log_p: Float[np.ndarray, "depth N"]) -> Float[np.ndarray, " N"]:
    return np.logaddexp.reduce(log_q[:, None] + log_p, axis=0)
