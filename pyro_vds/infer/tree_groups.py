"""What a DataTree says of drawn architectures: their labels, their log priors, and the parameters of their priors."""

from contextlib import suppress

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from pyro_vds.infer.site_tree import by_site
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.priors.base import Prior
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.tables import choices


def by_axis(flat: Tensor, model: VDSModel) -> dict[str, np.ndarray]:
    """Return the labels of flat indices along each axis, with a leading chain.

    Args:
        flat: Flat indices of architectures.
        model: The model.
    """
    found: dict[str, np.ndarray] = {}
    for (name, axis), index in zip(model.space.items(), torch.unravel_index(flat, model.sizes), strict=True):
        if axis.has_sites:
            found |= by_site(choices(Space([axis]))[name][index], axis)
        else:
            found[name] = np.asarray(axis.labels)[index.numpy()][None]
    return found


def log_priors(flat: Tensor, model: VDSModel) -> dict[str, np.ndarray]:
    """Return the log prior of flat indices along each axis, with a leading chain.

    Args:
        flat: Flat indices of architectures.
        model: The model.
    """
    indices = zip(model.space.items(), torch.unravel_index(flat, model.sizes), strict=True)
    return {
        name: log_prior_of(model, name, choices(Space([axis]))[name][index] if axis.has_sites else index)
        for (name, axis), index in indices
    }


def log_prior_of(model: VDSModel, axis: str, entries: Tensor) -> np.ndarray:
    """Return the log prior of drawn entries of an axis, nats, with a leading chain.

    Args:
        model: The model.
        axis: Name of the axis.
        entries: Drawn entries ``(draw,)``, of an axis with sites ``(draw, sites)``.
    """
    return model.prior(axis).log_prob(entries.to(model.device_tensor().device)).detach().cpu().numpy()[None]


def prior_parameters(flat: Tensor, model: VDSModel, generator: torch.Generator) -> dict[str, np.ndarray]:
    """Return draws of the uncertain parameters of hierarchical priors, given the drawn entries.

    Args:
        flat: Flat indices of architectures.
        model: The model.
        generator: Of the draws.
    """
    indices = torch.unravel_index(flat, model.sizes)
    return {
        f"{axis}_{name}": values.numpy()[None]
        for (axis, prior), size, index in zip(model.priors.items(), model.sizes, indices, strict=True)
        if isinstance(prior, Prior)
        for name, values in prior.draw_parameters(index, size, generator).items()
    }


def with_classes(model: VDSModel, outputs: Tensor, group: xr.Dataset) -> xr.Dataset:
    """Return a group with a coordinate for the classes, if it holds targets that are classes.

    Args:
        model: The model.
        outputs: Outputs of the network.
        group: The group of a tree.
    """
    if model.likelihood.numeric or "obs" not in group or np.issubdtype(group["obs"].dtype, np.floating):
        return group
    classes = outputs.shape[-1]
    with suppress(TypeError):  # a likelihood of one's own may not say its classes
        classes = model.likelihood.class_log_probs(outputs.flatten(0, -2)[:1]).shape[-1]
    return group.assign_coords({"class": np.arange(classes)})
