"""DataTrees with given probabilities."""

import numpy as np
import xarray as xr


def tree_of(q, prior=None, exact=None, log_likelihood=None):
    """A tree with the given probabilities over depth; rows of ``q`` are replicates."""
    q = np.asarray(q, dtype=float)
    dims = ("chain", "depth")[-q.ndim :]
    with np.errstate(divide="ignore"):
        logs = [np.log(np.broadcast_to(q if p is None else p, q.shape)) for p in (q, prior, exact)]
    names = ("log_q", "log_prior", "log_exact_posterior")
    variables = {name: (dims, values) for name, values in zip(names, logs, strict=True)}
    points = np.zeros((*q.shape, 2)) if log_likelihood is None else log_likelihood
    variables["log_likelihood"] = ((*dims, "obs_id"), points)
    exact_group = xr.Dataset(variables, {"depth": np.arange(q.shape[-1])}, {"log_evidence": -7.0})
    return xr.DataTree.from_dict({"depth_posterior": exact_group})
