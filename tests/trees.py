"""DataTrees with given probabilities."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

COLOURS = ("red", "green", "blue")


def tree_of(q, prior=None, exact=None, log_likelihood=None):
    """A tree with the given probabilities over depth; rows of ``q`` are replicates."""
    return tree_over({"depth": range(np.shape(q)[-1])}, q, prior, exact, log_likelihood, nested=("depth",))


def tree_over(
    labels: Mapping[str, Sequence], q, prior=None, exact=None, log_likelihood=None, *, nested: Sequence[str] = ()
):
    """A tree with the given probabilities over the axes; a leading dimension of ``q`` is one of replicates."""
    q = np.asarray(q, dtype=float)
    dims = ("chain", *labels)[-q.ndim :]
    with np.errstate(divide="ignore"):
        logs = [np.log(np.broadcast_to(q if p is None else p, q.shape)) for p in (q, prior, exact)]
    names = ("log_q", "log_prior", "log_exact_posterior")
    variables = {name: (dims, values) for name, values in zip(names, logs, strict=True)}
    points = np.zeros((*q.shape, 2)) if log_likelihood is None else log_likelihood
    variables["log_likelihood"] = ((*dims, "obs_id"), points)
    coords = {axis: (axis, list(names), {"nested": 1} if axis in nested else {}) for axis, names in labels.items()}
    return xr.DataTree.from_dict({"architecture": xr.Dataset(variables, coords, {"log_evidence": -7.0})})


def random_tree(labels: Mapping[str, Sequence], points: int = 30, seed: int = 0, *, nested: Sequence[str] = ()):
    """A tree over the axes with random probabilities and log-likelihoods."""
    rng = np.random.default_rng(seed)
    shape = tuple(len(names) for names in labels.values())
    q, prior, exact = (rng.dirichlet(np.ones(np.prod(shape))).reshape(shape) for _ in range(3))
    log_likelihood = np.log(rng.uniform(0.05, 1, (*shape, points)))
    return tree_over(labels, q, prior, exact, log_likelihood, nested=nested)
