"""The exact posterior over architectures, and everything as an ``xarray.DataTree`` for ArviZ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from pyro_vds.batches import as_pair
from pyro_vds.guides import Guide
from pyro_vds.model import VDSModel, eval_mode, outer_sum, refuse_per_input, refuse_replicates
from pyro_vds.predictive import BATCH_SIZE, log_prob_by_architecture
from pyro_vds.prior import Prior, PriorLike, as_categorical, priors_by_axis
from pyro_vds.randomness import isolated_rng
from pyro_vds.typing import Data, Inputs, Targets
from pyro_vds.unstack import replicates


@dataclass(frozen=True)
class ExactPosterior:
    """``p(d=i | data) ∝ beta_i prod_n p(y_n | x_n, d=i)`` for the weights as they are; float64, CPU.

    Attributes:
        axes: The names of the axes.
        log_prior: Log prior over the product of the axes, nats.
        log_likelihood: ``sum_n log p(y_n | x_n, d)`` over the product of the axes, nats.
    """

    axes: tuple[str, ...]
    log_prior: Float[Tensor, "*axes"]
    log_likelihood: Float[Tensor, "*axes"]

    @property
    def log_evidence(self) -> float:
        """``log sum_i beta_i exp(sum_n log p(y_n | x_n, d=i))``, nats."""
        return float((self.log_prior + self.log_likelihood).flatten().logsumexp(0))

    @property
    def log_joint_probs(self) -> Float[Tensor, "*axes"]:
        """Log posterior over the product of the axes, nats."""
        return self.log_prior + self.log_likelihood - self.log_evidence

    @property
    def probs(self) -> Mapping[str, Float[Tensor, " size"]]:
        """The marginal posterior of each axis, for example ``{"depth": (D + 1,)}``."""
        joint = self.log_joint_probs.exp()
        return {
            axis: joint.sum([j for j in range(joint.ndim) if j != i]) if joint.ndim > 1 else joint
            for i, axis in enumerate(self.axes)
        }

    def elbo(self, guide: Guide) -> float:
        """Return the ELBO of a guide on the same data and weights, in eval mode, nats (paper, eq. 1)."""
        log_q = guide.joint_log_probs().detach().double().cpu()
        log_q = log_q - log_q.flatten().logsumexp(0)  # float32 logits do not sum to one to double precision
        return float((log_q.exp() * (self.log_prior + self.log_likelihood - log_q)).sum())

    def gap(self, guide: Guide) -> float:
        """Return ``log evidence - ELBO = KL(q || exact posterior)``, nats: the tightness of the bound."""
        return self.log_evidence - self.elbo(guide)


def exact_posterior(model: VDSModel, data: Data | DataLoader, *, batch_size: int = BATCH_SIZE) -> ExactPosterior:
    """Compute the exact posterior over architectures in one pass over the data (paper, appendix A, eq. 5).

    The network runs in eval mode; log likelihoods are summed in float64.

    Args:
        model: A model with trained weights.
        data: The training data: inputs and targets, or a ``DataLoader`` of pairs.
        batch_size: Points in one forward pass.

    Returns:
        The posterior, the log evidence, and the gap to a guide's ELBO.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data are empty or do not fit the model.
    """
    refuse_replicates(model)
    refuse_per_input(model)
    pairs = data if isinstance(data, DataLoader) else [data]
    total = None
    for pair in pairs:
        x, y = as_pair(pair, "data")
        part = log_prob_by_architecture(model, x, y, batch_size=batch_size).double().sum(-1)
        total = part if total is None else total + part
    if total is None:
        raise ValueError("Expected a DataLoader with at least one batch, got none.")
    log_prior = model.log_prior().detach().double().cpu()
    return ExactPosterior(model.axes, log_prior, total.cpu().reshape(model.sizes))


def reweight(posterior: ExactPosterior, priors: PriorLike | Mapping[str, PriorLike]) -> ExactPosterior:
    """Return the exact posterior under another prior, for the same trained weights: nothing is trained again.

    ``p'(i | data) ∝ p'(i) prod_n p(y_n | x_n, d=i)``. It answers what the posterior over architectures would be; the
    weights themselves were trained under the first prior.

    Args:
        posterior: A posterior of :func:`exact_posterior`.
        priors: The new prior, or one for each axis.

    Raises:
        TypeError: If a prior is none.
        ValueError: If a prior is missing, or does not fit its axis.
    """
    by_axis = priors_by_axis(priors, posterior.axes).items()
    sizes = posterior.log_likelihood.shape
    logits = [as_categorical(prior, n, axis).logits for (axis, prior), n in zip(by_axis, sizes, strict=True)]
    return replace(posterior, log_prior=outer_sum(logits))


def to_datatree(
    model: VDSModel,
    guide: Guide,
    x: Inputs,
    y: Targets,
    *,
    posterior: ExactPosterior | Sequence[ExactPosterior] | None = None,
    draws: int = 1000,
    seed: int = 0,
    constant_data: bool = True,
) -> xr.DataTree:
    """Return the posterior and its predictions in ArviZ's form.

    A chain is a replicate; a single model has one. Groups: ``posterior`` and ``prior`` (draws of each axis, and of the
    uncertain parameters of hierarchical priors, such as ``depth_decay``),
    ``log_likelihood`` and ``posterior_predictive`` (of each draw at each point), ``observed_data``,
    ``constant_data``, and ``depth_posterior`` with the exact quantities, in nats: ``log_q``, ``log_prior`` and
    ``log_exact_posterior`` over the axes, ``log_likelihood`` over the axes and ``obs_id``.

    ``az.summary``, ``az.plot_dist``, ``az.plot_prior_posterior`` and the like work on it. ``az.loo`` and
    ``az.psense`` raise: Pareto smoothing needs many distinct draws, and a depth has only ``D + 1`` values.
    Both have closed forms: :func:`pyro_vds.comparison.loo_over_depth` and
    :func:`pyro_vds.comparison.power_scaled_posterior`. ``dt.to_netcdf(path)`` and ``az.from_netcdf(path)`` save
    and load.

    Args:
        model: A trained model with at least one axis.
        guide: Its guide.
        x: Inputs, the training data or held-out data.
        y: Their targets.
        posterior: The exact posterior given the training data; computed from ``x`` and ``y`` unless given,
            so pass it when they are held out. For replicates a list.
        draws: Number of draws from guide and prior. ``log_likelihood`` holds ``draws * N`` values.
        seed: Seeds the draws.
        constant_data: Whether the inputs are stored too; they can be large.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data do not fit the model, the model has no axes, or ``draws`` is not positive.
    """
    if not model.axes:
        raise ValueError("Expected a model with at least one axis, got a deterministic network: it has no posterior.")
    if draws < 1:
        raise ValueError(f"Expected a positive number of draws, got {draws}.")
    how: dict[str, Any] = {"draws": draws, "constant_data": constant_data}
    if model.replicates is not None:
        posteriors = [None] * model.replicates if posterior is None else posterior
        if not isinstance(posteriors, Sequence) or len(posteriors) != model.replicates:
            raise ValueError(f"Expected a list of {model.replicates} posteriors, one for each replicate.")
        pairs = zip(replicates(model, guide), posteriors, strict=True)
        return _as_chains([_one_chain(*one, x, y, p, seed=seed + r, **how) for r, (one, p) in enumerate(pairs)])
    if isinstance(posterior, Sequence):
        raise ValueError("Expected the exact posterior of one model, got a list.")
    return _one_chain(model, guide, x, y, posterior, seed=seed, **how)


def _one_chain(
    model: VDSModel,
    guide: Guide,
    x: Tensor,
    y: Tensor,
    posterior: ExactPosterior | None,
    *,
    seed: int,
    draws: int,
    constant_data: bool,
) -> xr.DataTree:
    """Return the DataTree of one model."""
    refuse_per_input(model)
    log_prob = log_prob_by_architecture(model, x, y).cpu()
    if posterior is None:
        total = log_prob.double().sum(-1).reshape(model.sizes)
        posterior = ExactPosterior(model.axes, model.log_prior().detach().double().cpu(), total)
    generator = torch.Generator().manual_seed(seed)
    log_q = guide.joint_log_probs().detach().cpu()
    from_q, from_prior = (_draw(log_p, draws, generator) for log_p in (log_q, posterior.log_prior))
    groups = {
        "posterior": _by_axis(from_q, model) | _prior_parameters(from_q, model, generator),
        "log_likelihood": {"obs": log_prob[from_q].numpy()[None]},
        "posterior_predictive": {"obs": _replicate(model, x, from_q, generator)[None]},
        "prior": _by_axis(from_prior, model) | _prior_parameters(from_prior, model, generator),
        "observed_data": {"obs": y.cpu().numpy()},
    }
    if constant_data:
        groups["constant_data"] = {"x": x.cpu().numpy()}
    return _assemble(groups, _exact_group(model, log_q, log_prob, posterior), x, y)


def _as_chains(trees: list[xr.DataTree]) -> xr.DataTree:
    """Join the trees of replicates: each becomes a chain."""
    joined = trees[0].copy()
    for group in ("posterior", "log_likelihood", "posterior_predictive", "prior"):
        parts = [tree[group].to_dataset().assign_coords(chain=[r]) for r, tree in enumerate(trees)]
        joined[group] = xr.DataTree(xr.concat(parts, dim="chain"))
    exact = [tree["depth_posterior"].to_dataset() for tree in trees]
    evidence = xr.DataArray([one.attrs["log_evidence"] for one in exact], dims="chain")
    chains = xr.concat(exact, dim="chain", combine_attrs="drop").assign(log_evidence=evidence)
    joined["depth_posterior"] = xr.DataTree(chains.assign_coords(chain=range(len(trees))).assign_attrs(units="nats"))
    return joined


def save_datatree(tree: xr.DataTree, path: Path) -> None:
    """Write a DataTree as a compressed NetCDF file, for ``az.from_netcdf``."""
    compressed = {
        group.path: {str(name): {"zlib": True} for name in group.data_vars} for group in tree.subtree if group.data_vars
    }
    tree.to_netcdf(path, engine="h5netcdf", encoding=compressed)


def load_datatree(path: Path) -> xr.DataTree:
    """Read a DataTree back from a file of :func:`save_datatree`, into memory."""
    with az.from_netcdf(path) as tree:
        return tree.load()


def _draw(log_probs: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """Return flat indices drawn from a table of log probabilities."""
    return torch.multinomial(log_probs.exp().flatten(), draws, replacement=True, generator=generator)


def _by_axis(flat: Tensor, model: VDSModel) -> dict[str, np.ndarray]:
    """Return what flat indices stand for along each axis, with a leading chain."""
    indices = torch.unravel_index(flat, model.sizes)
    return {
        axis: np.asarray(model.coords[axis])[index.numpy()][None]
        for axis, index in zip(model.axes, indices, strict=True)
    }


def _prior_parameters(flat: Tensor, model: VDSModel, generator: torch.Generator) -> dict[str, np.ndarray]:
    """Return draws of the uncertain parameters of hierarchical priors, given the drawn entries."""
    indices = torch.unravel_index(flat, model.sizes)
    return {
        f"{axis}_{name}": values.numpy()[None]
        for (axis, prior), size, index in zip(model.priors.items(), model.sizes, indices, strict=True)
        if isinstance(prior, Prior)
        for name, values in prior.draw_parameters(index, size, generator).items()
    }


def _replicate(model: VDSModel, x: Tensor, drawn: Tensor, generator: torch.Generator) -> np.ndarray:
    """Return one draw of every target from each drawn architecture, ``(draws, N, ...)``."""
    seed = int(torch.randint(2**31, (), generator=generator))
    device = model.device_tensor().device
    with eval_mode(model), torch.inference_mode(), isolated_rng(device, seed):
        outputs = torch.cat([model.outputs(batch.to(device)) for batch in x.split(BATCH_SIZE)], dim=1)
        samples = [model.likelihood(outputs[index]).sample().cpu() for index in drawn]
    return torch.stack(samples).numpy()


def _exact_group(model: VDSModel, log_q: Tensor, log_prob: Tensor, posterior: ExactPosterior) -> xr.Dataset:
    over_points = log_prob.reshape(*model.sizes, -1).numpy()
    variables = {
        "log_q": (model.axes, log_q.numpy()),
        "log_prior": (model.axes, posterior.log_prior.numpy()),
        "log_exact_posterior": (model.axes, posterior.log_joint_probs.numpy()),
        "log_likelihood": ((*model.axes, "obs_id"), over_points),
    }
    coords = {axis: np.asarray(model.coords[axis]) for axis in model.axes}
    coords["obs_id"] = np.arange(over_points.shape[-1])
    attrs = {"log_evidence": posterior.log_evidence, "units": "nats"}
    return xr.Dataset(variables, coords, attrs)


def _assemble(groups: dict[str, dict[str, np.ndarray]], exact: xr.Dataset, x: Tensor, y: Tensor) -> xr.DataTree:
    targets = [f"target_{i}" for i in range(y.ndim - 1)]
    features = [f"feature_{i}" for i in range(x.ndim - 1)]
    dims = {"obs": ["obs_id", *targets], "x": ["obs_id", *features]}
    tree = az.from_dict(groups, dims=dims)
    tree["log_likelihood"] = az.dict_to_dataset(
        groups["log_likelihood"], dims={"obs": ["obs_id"]}, skip_event_dims=True
    )
    tree["depth_posterior"] = xr.DataTree(exact)
    return tree
