"""What a DataTree says of axes with sites: the draws of each site, and the quantities of the group architecture."""

from collections.abc import Hashable
from typing import Any

import arviz as az
import numpy as np
import xarray as xr
from jaxtyping import Int
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.infer.exact import ExactPosterior
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.inputs import tensors
from pyro_vds.ops.tensors import at_least_float32
from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.tables import log_marginals
from pyro_vds.spaces.typing import Inputs


def by_site(entries: Int[Tensor, "draw sites"], axis: Axis) -> dict[str, np.ndarray]:
    """Return the draws of an axis with sites, with a leading chain.

    Gates are 0 and 1, so that a mean is the probability to be open. Labels that are no numbers come twice: as text, and
    as ``NAME_is``, 0 or 1 for each label, whose mean is its probability.

    Args:
        entries: The entry at each site.
        axis: The axis.
    """
    places = entries.cpu().numpy()[None]
    labels = np.asarray(axis.labels)
    if labels.dtype == bool:
        return {axis.name: labels[places].astype(np.int8)}
    if np.issubdtype(labels.dtype, np.number):
        return {axis.name: labels[places]}
    is_label = (places[..., None] == np.arange(len(axis))).astype(np.int8)
    return {axis.name: labels.astype(str)[places], f"{axis.name}_is": is_label}


def site_dims(space: Space) -> dict[Any, Any]:
    """Return the dimensions of the variables of :func:`by_site`, beside chain and draw."""
    plates = {name: _plate(axis) for name, axis in space.with_sites.items()}
    return {name: [plate] for name, plate in plates.items()} | {
        f"{name}_is": [plate, f"{name}_label"] for name, plate in plates.items()
    }


def site_coords(space: Space) -> dict[str, Any]:
    """Return the labels of sites and of entries, by dimension."""
    found: dict[str, Any] = {}
    for name, axis in space.with_sites.items():
        assert axis.plate is not None
        found |= {axis.plate.name: _texts(axis.plate.labels), f"{name}_label": _texts(axis.labels)}
    return found


def sites_group(
    model: VDSModel, guide: Guide, posterior: ExactPosterior | None, samples: int | None = None
) -> xr.Dataset:
    """Return the group architecture of a model with sites: marginals of each axis, never a table of all architectures.

    ``log_q_NAME``, ``log_prior_NAME`` over ``(site, entry)`` in nats. With an exact posterior also
    ``log_exact_posterior_NAME``, ``dependence_NAME`` (mutual information of each pair of sites), and as attributes
    ``log_evidence``, ``elbo`` and ``total_correlation``. The attribute ``exact`` says which, ``samples`` is the number
    of draws of an estimate, and ``architectures`` the size of the space.

    Args:
        model: The model.
        guide: Its guide.
        posterior: The exact posterior; ``None`` where there are too many architectures.
        samples: Number of drawn architectures without it.
    """
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    exact = {} if posterior is None else log_marginals(posterior.space, posterior.log_joint_probs)
    log_q = {name: q.detach().cpu().numpy() for name, q in guide.log_probs().items()}
    for name, axis in model.space.items():
        dims = (_plate(axis), name) if axis.has_sites else (name,)
        coords[name] = (name, _texts(axis.labels), {"nested": int(axis.nested)})
        variables[f"log_q_{name}"] = (dims, log_q[name])
        log_prior = model.prior_logits(name).detach().log_softmax(-1).cpu().expand(log_q[name].shape)
        variables[f"log_prior_{name}"] = (dims, log_prior.numpy())
        if posterior is not None:
            variables[f"log_exact_posterior_{name}"] = (dims, exact[name].numpy())
        if axis.has_sites:
            assert axis.plate is not None
            coords[axis.plate.name] = _texts(axis.plate.labels)
            if posterior is not None:
                variables[f"dependence_{name}"] = (
                    (dims[0], f"other_{dims[0]}"),
                    posterior.mutual_information(name).numpy(),
                )
    attrs: dict[str, Any] = {"units": "nats", "exact": int(posterior is not None)}
    attrs["architectures"] = float(model.space.count)
    if posterior is not None:
        attrs |= {"log_evidence": posterior.log_evidence, "elbo": posterior.elbo(guide)}
        attrs["total_correlation"] = posterior.total_correlation
    elif samples is not None:
        attrs["samples"] = samples
    return xr.Dataset(variables, coords, attrs)


def as_variables(x: Inputs) -> dict[str, np.ndarray]:
    """Return inputs by the names of their variables: ``x``, or ``x_0``, ``x_1``, or ``x_NAME`` of several.

    Numbers of 16 bit become float32, since neither NumPy nor netCDF has all of them.

    Args:
        x: Inputs.
    """
    keys = x if isinstance(x, dict) else range(len(tensors(x)))
    names = ["x"] if isinstance(x, Tensor) else [f"x_{key}" for key in keys]
    return {name: at_least_float32(part).cpu().numpy() for name, part in zip(names, tensors(x), strict=True)}


def assemble(groups: dict[str, dict[str, np.ndarray]], architecture: xr.Dataset, space: Space) -> xr.DataTree:
    """Return the groups as ArviZ stores them.

    Args:
        groups: The variables of each group, with leading chain and draw where a group has them.
        architecture: The group of exact quantities.
        space: The axes.
    """
    dims = {"obs": ["obs_id", *_dims("target", groups["observed_data"]["obs"])]} | site_dims(space)
    for name, part in groups.get("constant_data", {}).items():
        dims[name] = ["obs_id", *_dims("feature" if name == "x" else f"{name}_feature", part)]
    with_event = {name: group for name, group in groups.items() if not name.startswith("log_")}
    tree = az.from_dict(with_event, dims=dims, coords=site_coords(space))
    tree["log_prior"] = xr.DataTree(az.dict_to_dataset(groups["log_prior"]))
    tree["log_likelihood"] = az.dict_to_dataset(
        groups["log_likelihood"], dims={"obs": ["obs_id"]}, skip_event_dims=True
    )
    tree["architecture"] = xr.DataTree(architecture)
    return tree


def _dims(name: str, values: np.ndarray) -> list[str]:
    """Return names of the dimensions of one point."""
    return [f"{name}_{i}" for i in range(values.ndim - 1)]


def _plate(axis: Axis) -> str:
    assert axis.plate is not None
    return axis.plate.name


def _texts(labels: tuple[Hashable, ...]) -> np.ndarray:
    """Return labels as an array; gates as 0 and 1, since files have no truth values."""
    found = np.asarray(labels)
    return found.astype(np.int8) if found.dtype == bool else found
