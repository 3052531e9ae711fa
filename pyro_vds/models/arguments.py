"""Checks of the arguments of a model."""

from numbers import Integral

from torch import nn

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.likelihoods.classification import Classification
from pyro_vds.ops.parts import require_known_shapes, require_uncompiled
from pyro_vds.spaces.axis import DATA, Plate
from pyro_vds.spaces.space import Space


def checked_space(backbone: nn.Module, plate: Plate | None) -> Space:
    """Return the space of a backbone, with its axes in a plate if one is given.

    Args:
        backbone: A backbone.
        plate: The plate of all axes; ``None`` keeps the plates of the backbone's space.

    Raises:
        TypeError: If ``backbone`` is not a backbone, or compiled.
        ValueError: If a module is lazy, an axis without sites is not read out, or a network whose axes have sites has
            replicates or no way to run given architectures.
    """
    space = getattr(backbone, "space", None)
    if isinstance(backbone, nn.Module):
        require_uncompiled(backbone)
    if not (isinstance(backbone, nn.Module) and isinstance(space, Space)):
        raise TypeError(
            f"Expected a torch.nn.Module with a pyro_vds.Space as attribute 'space', got {type(backbone).__name__}. "
            "Wrap stem, blocks and head in pyro_vds.PerDepth."
        )
    require_known_shapes(backbone)
    if space.with_sites:
        _check_sites(backbone, space, plate)
    space = space if plate is None else space.in_plate(plate)
    if not all(axis.read_out or axis.has_sites for axis in space.values()):
        raise ValueError(f"Expected axes that are read out or have sites, Plate(name, size), got {space}.")
    return space


def _check_sites(backbone: nn.Module, space: Space, plate: Plate | None) -> None:
    """Raise unless a network can run given architectures of an axis with sites."""
    if getattr(backbone, "batch_shape", ()) or plate is not None or DATA in space.plates:
        raise ValueError(
            f"Expected a network whose axes have sites, {list(space.with_sites)}, without replicates and without "
            "plate=DATA, got one with them. Train several networks with seeds of their own instead."
        )
    if not callable(getattr(backbone, "at", None)):
        raise TypeError(
            f"Expected a backbone with at(x, architectures) for the axes with sites {list(space.with_sites)}, got "
            f"{type(backbone).__name__}."
        )


def check_num_data(num_data: int) -> None:
    """Raise unless the number of training points is a positive integer.

    Raises:
        TypeError: If ``num_data`` is not an integer.
        ValueError: If ``num_data`` is not positive.
    """
    if isinstance(num_data, bool) or not isinstance(num_data, Integral):
        raise TypeError(f"Expected num_data, the number of training points, as an int; got {num_data!r}.")
    if num_data < 1:
        raise ValueError(f"Expected num_data, the number of training points, to be positive; got {num_data}.")


def checked_likelihood(likelihood: Likelihood | None) -> Likelihood:
    """Return the likelihood, or ``Classification()`` for ``None``.

    Raises:
        TypeError: If ``likelihood`` is not a likelihood.
    """
    if likelihood is None:
        return Classification()
    if not isinstance(likelihood, Likelihood):
        raise TypeError(
            f"Expected a likelihood such as pyro_vds.likelihoods.Classification(), got {likelihood!r}. Derive your "
            "own from pyro_vds.likelihoods.Likelihood."
        )
    return likelihood
