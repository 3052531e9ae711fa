"""Posterior and predictions as an ``xarray.DataTree`` for ArviZ."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import arviz as az
import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.guides.base import Guide
from pyro_vds.guides.categorical import guide_or_empty
from pyro_vds.guides.replicates import replicates
from pyro_vds.infer.chains import as_chains
from pyro_vds.infer.drawn import given, sample_sites
from pyro_vds.infer.exact import ExactPosterior, log_likelihood, posterior_of, require_one_posterior
from pyro_vds.infer.passes import ReadOut, read_out
from pyro_vds.infer.site_tree import as_variables, assemble, by_site, site_coords, site_dims, sites_group
from pyro_vds.infer.tree_groups import by_axis, log_prior_of, log_priors, prior_parameters, with_classes
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.inputs import joined
from pyro_vds.ops.loaders import gathered
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.ops.tensors import at_least_float32
from pyro_vds.spaces.space import LIMIT
from pyro_vds.spaces.typing import InputsLike, TargetsLike


def to_datatree(
    model: VDSModel,
    guide: Guide,
    x: InputsLike | DataLoader,
    y: TargetsLike | None = None,
    *,
    posterior: ExactPosterior | Sequence[ExactPosterior] | None = None,
    draws: int = 1000,
    seed: int = 0,
    constant_data: bool = True,
) -> xr.DataTree:
    """Return the posterior and its predictions as ArviZ stores them.

    A chain is a replicate; a single model has one chain. Groups:

    - ``posterior`` and ``prior``: draws of each axis as its labels, ``(chain, draw)``, for an axis with sites also over
      its sites; and of the uncertain parameters of hierarchical priors, such as ``depth_decay``.
    - ``log_prior``: the log prior of each draw of the posterior, nats, one number for all sites of an axis.
    - ``log_likelihood`` and ``posterior_predictive``: for each draw and point. ``prior_predictive`` is the same with
      draws of the prior over architectures; the weights stay those that were trained, so that it is no prediction
      without data. It is left out where the architectures are too many to list.
    - ``observed_data`` and ``constant_data``. The coordinate ``class`` of the targets counts classes, ``feature_0`` the
      features; :func:`pyro_vds.diagnostics.with_names` gives them names.
    - ``architecture``: the exact quantities, in nats: ``log_q``, ``log_prior`` and ``log_exact_posterior`` over the
      axes, and ``log_likelihood`` over the axes and ``obs_id``. Class weights are a part of ``log_exact_posterior``;
      each ``log_likelihood`` is without them, the log density of the target.

    A depth is discrete: draw it by ``az.plot_dist(tree, kind="ecdf")``, or by bars with a bin for each label: ``kind=
    "hist", stats={"dist": {"bins": np.arange(depths + 1) - 0.5}}``. With bins of ArviZ's own the two deepest depths
    share a bar. :func:`pyro_vds.plots.plot_posterior` draws the exact probabilities.
    ``az.loo`` and ``az.psense`` raise or mislead: Pareto smoothing needs many distinct draws, and an axis has few
    values. Both have closed forms: :func:`pyro_vds.comparison.loo_over_architectures` and
    :func:`pyro_vds.comparison.power_scaled_posterior`. The page ``docs/arviz.md`` has a row for each function of ArviZ.
    Save with ``dt.to_netcdf(path)``, load with ``az.from_netcdf(path)``.

    Args:
        model: A trained model with at least one axis.
        guide: The guide of the model.
        x: Inputs of training or held-out data, or a ``DataLoader`` of pairs.
        y: Targets of the inputs; ``None`` for a ``DataLoader``.
        posterior: The exact posterior given the training data, or a list with one for each replicate. ``None``
            computes it from ``x`` and ``y``: pass it if these are held out.
        draws: Number of draws from guide and prior. ``log_likelihood`` holds ``draws * N`` values.
        seed: Seed of the draws.
        constant_data: Whether to store the inputs too; they can be large. One tensor is ``x``, and several are ``x_0``,
            ``x_1`` or ``x_NAME``.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If data or guide do not fit the model, the model has no axes, or ``draws`` is not positive.
    """
    if not model.axes:
        raise ValueError("Expected a model with at least one axis, got a plain network, which has no posterior.")
    if draws < 1:
        raise ValueError(f"Expected a positive number of draws, got {draws}.")
    require_one_posterior(model)
    guide = guide_or_empty(model, guide)
    options: dict[str, Any] = {"draws": draws, "constant_data": constant_data}
    if model.space.count > LIMIT:
        if posterior is not None:
            raise ValueError("Expected no posterior for a space that is too large for an exact one, got one.")
        return _of_draws(model, guide, x, y, seed=seed, **options)
    if model.batch_shape:
        if isinstance(x, DataLoader):  # read once: each time it may shuffle its points anew
            x, y = model.as_pair(gathered(x, "data", model.device_tensor().device, model.device_tensor().dtype), "data")
        posteriors = _of_each(model, posterior)
        pairs = zip(replicates(model, guide), posteriors, strict=True)
        return as_chains([_one_chain(*pair, x, y, p, seed=seed + r, **options) for r, (pair, p) in enumerate(pairs)])
    if isinstance(posterior, Sequence):
        raise ValueError("Expected the exact posterior of one model, got a list.")
    return _one_chain(model, guide, x, y, posterior, seed=seed, **options)


def _of_each(
    model: VDSModel, posterior: ExactPosterior | Sequence[ExactPosterior] | None
) -> Sequence[ExactPosterior | None]:
    """Return the exact posterior of each replicate; ``None`` for each if none is given."""
    (count,) = model.batch_shape
    if posterior is None:
        return [None] * count
    if isinstance(posterior, ExactPosterior) and posterior.log_likelihood.ndim == posterior.log_prior.ndim + 1:
        posterior = [replace(posterior, log_likelihood=row) for row in posterior.log_likelihood]
    if not isinstance(posterior, Sequence) or len(posterior) != count:
        given = f"{len(posterior)}" if isinstance(posterior, Sequence) else "the posterior of a single model"
        raise ValueError(f"Expected {count} posteriors, one for each replicate, got {given}.")
    return posterior


def _one_chain(
    model: VDSModel,
    guide: Guide,
    x: InputsLike | DataLoader,
    y: TargetsLike | None,
    posterior: ExactPosterior | None,
    *,
    seed: int,
    draws: int,
    constant_data: bool,
) -> xr.DataTree:
    """Return the DataTree of one model."""
    with torch.inference_mode():
        batches = list(read_out(model, x, y))
        _require_plain(model, batches[0])
        terms = torch.cat([log_likelihood(model, batch) for batch in batches], -1).cpu()
        log_prob = _log_density(model, batches).cpu() if model.likelihood.tempered else terms
    inputs, targets = joined([b.x for b in batches]), torch.cat([b.y for b in batches if b.y is not None])
    outputs = torch.cat([b.outputs for b in batches], 1)
    posterior = posterior_of(model, terms.double().sum(-1)) if posterior is None else posterior
    generator = torch.Generator().manual_seed(seed)
    log_q = guide.joint_log_probs().detach().cpu()
    from_q, from_prior = (_draw(log_p, draws, generator) for log_p in (log_q, posterior.log_prior))
    groups = {
        "posterior": by_axis(from_q, model) | prior_parameters(from_q, model, generator),
        "log_likelihood": {"obs": log_prob[from_q].numpy()[None]},
        "posterior_predictive": {"obs": _replicate(model, outputs, from_q, generator)[None]},
        "prior": by_axis(from_prior, model) | prior_parameters(from_prior, model, generator),
        "log_prior": log_priors(from_q, model),
        "prior_predictive": {"obs": _replicate(model, outputs, from_prior, generator)[None]},
        "observed_data": {"obs": at_least_float32(targets).cpu().numpy()},
    }
    if constant_data:
        groups["constant_data"] = as_variables(inputs)
    if model.space.with_sites:
        exact = sites_group(model, guide, posterior)
    else:
        exact = _exact_group(model, log_q, log_prob, posterior)
    return assemble(groups, exact, model.space).map_over_datasets(partial(with_classes, model, outputs))


def _of_draws(
    model: VDSModel,
    guide: Guide,
    x: InputsLike | DataLoader,
    y: TargetsLike | None,
    *,
    seed: int,
    draws: int,
    constant_data: bool,
) -> xr.DataTree:
    """Return the DataTree of a model with too many architectures to list, from draws of the guide."""
    device = model.device_tensor().device
    with isolated_rng(device, seed):
        drawn = sample_sites(guide, draws)
        from_prior = {name: model.prior(name).sample((draws,)) for name in model.space.with_sites}
    few, weights = given(model, guide, drawn)
    tree = _one_chain(few, weights, x, y, None, seed=seed, draws=draws, constant_data=constant_data)
    places = tree["posterior"].to_dataset()["sample"].to_numpy()[0]
    for group, found in (("posterior", {n: drawn[n][places] for n in from_prior}), ("prior", from_prior)):
        sites = az.dict_to_dataset(
            {k: v for n, entries in found.items() for k, v in by_site(entries, model.space[n]).items()},
            dims=site_dims(model.space), coords=site_coords(model.space),
        )  # fmt: skip
        tree[group] = xr.DataTree(tree[group].to_dataset().drop_vars("sample").merge(sites))
    log_prior = {name: log_prior_of(model, name, drawn[name][places]) for name in from_prior}
    tree["log_prior"] = xr.DataTree(az.dict_to_dataset(log_prior))
    tree["architecture"] = xr.DataTree(sites_group(model, guide, None, draws))
    del tree["prior_predictive"]  # of the draws of the guide, which are all that the network ran
    return tree


def _require_plain(model: VDSModel, batch: ReadOut) -> None:
    """Raise unless targets are what the likelihood draws, each counted once: ArviZ knows no others."""
    assert batch.y is not None
    event = model.likelihood(batch.outputs).event_shape
    if batch.y.shape[len(model.batch_shape) + 1 :] != event:
        raise ValueError(
            f"Expected targets of the shape that the likelihood draws, {tuple(event)} for each point, got soft labels "
            f"of shape {tuple(batch.y.shape)}, which have no density. Pass labels, such as y.argmax(-1)."
        )
    if batch.weight is not None:
        raise ValueError("Expected data without weights, got some. Pass a DataLoader of pairs, or the tensors x and y.")


def _log_density(model: VDSModel, batches: Sequence[ReadOut]) -> Tensor:
    """Return ``log p(y_n | x_n, d)`` without the weights that make the likelihood a tempered one; axes flattened."""
    scores = [model.likelihood.log_scores(b.outputs, b.y)[0] for b in batches if b.y is not None]
    return torch.cat(scores, -2)[..., 0]  # a label is one outcome


def _draw(log_probs: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """Return flat indices drawn from a table of log probabilities."""
    return torch.multinomial(log_probs.exp().flatten(), draws, replacement=True, generator=generator)


def _replicate(model: VDSModel, outputs: Tensor, drawn: Tensor, generator: torch.Generator) -> np.ndarray:
    """Return one draw of every target from each drawn architecture, ``(draws, N, ...)``."""
    seed = int(torch.randint(2**31, (), generator=generator))
    counted = drawn.unique(return_counts=True)
    with torch.inference_mode(), isolated_rng(outputs.device, seed):
        parts = [model.likelihood(outputs[index]).sample((int(n),)).cpu() for index, n in zip(*counted, strict=True)]
    # The draws of one architecture are made together, and go to the places of the architecture.
    samples = torch.cat(parts)
    return torch.empty_like(samples).index_copy(0, drawn.argsort(stable=True), samples).numpy()


def _exact_group(model: VDSModel, log_q: Tensor, log_prob: Tensor, posterior: ExactPosterior) -> xr.Dataset:
    over_points = log_prob.reshape(*model.sizes, -1).numpy()
    variables = {
        "log_q": (model.axes, log_q.numpy()),
        "log_prior": (model.axes, posterior.log_prior.numpy()),
        "log_exact_posterior": (model.axes, posterior.log_joint_probs.numpy()),
        "log_likelihood": ((*model.axes, "obs_id"), over_points),
    }
    coords: dict[str, Any] = {
        name: (name, np.asarray(axis.labels), {"nested": int(axis.nested)}) for name, axis in model.space.items()
    }
    coords["obs_id"] = np.arange(over_points.shape[-1])
    attrs = {"log_evidence": posterior.log_evidence, "units": "nats"}
    attrs |= {"tempered": 1} if model.likelihood.tempered else {}
    return xr.Dataset(variables, coords, attrs)
