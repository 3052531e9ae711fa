"""The base class of priors over an axis, and the checks of their arguments."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sized
from contextlib import suppress
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions.constraints import Constraint

from pyro_vds.spaces.axis import Axis

SUM_TOLERANCE = 1e-6


class Prior(ABC):
    """A categorical prior ``p(i) = Categorical(beta)`` over the entries ``i`` of an axis.

    Subclasses are frozen dataclasses with a method for the unnormalised log weights. ``repr`` shows a call that
    makes an equal prior, and :func:`pyro_vds.priors.parse` reads it back. ``learnable`` gives the parameters that
    empirical Bayes can fit, with their supports; ``log_weights`` is differentiable in them.
    """

    learnable: ClassVar[Mapping[str, Constraint]] = {}

    @abstractmethod
    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return the unnormalised log prior of each entry, in nats and float64.

        Args:
            size: Number of entries of the axis (``max_depth + 1`` for depth).

        Raises:
            ValueError: If the prior does not fit an axis of this size.
        """

    @property
    def is_uncertain(self) -> bool:
        """Whether the prior has uncertain parameters, which :meth:`draw_parameters` draws."""
        return type(self).draw_parameters is not Prior.draw_parameters

    def over_sites(self, sites: int, size: int) -> TorchDistributionMixin:
        """Return the prior over the choices at all sites of a plate, independent and alike unless a subclass differs.

        Args:
            sites: Number of sites, such as the edges of a graph.
            size: Number of entries at each site.

        Returns:
            A distribution over entries ``(sites,)``, one event.
        """
        return dist.Categorical(logits=self(size).logits.expand(sites, -1)).to_event(1)

    def expected_log_prob(self, probs: Float[Tensor, "sites size"]) -> Float[Tensor, ""]:
        """Return ``E_q[log p]`` of independent choices at the sites of a plate, nats; exact.

        Args:
            probs: The probability of each entry at each site.
        """
        independent = self.over_sites(*probs.shape)
        assert isinstance(independent, dist.Independent)
        return (probs * independent.base_dist.logits.to(probs)).sum()

    def draw_parameters(
        self, entries: Int[Tensor, " draws"], size: int, generator: torch.Generator
    ) -> dict[str, Float[Tensor, "draws ..."]]:
        """Draw the uncertain parameters of the prior given entries of the axis; only hierarchical priors have any.

        Args:
            entries: Drawn entries.
            size: Number of entries of the axis.
            generator: Generator of the draws.
        """
        return {}

    def with_parameters(self, **values: Tensor) -> "Prior":
        """Return the prior with tensors as parameters, unchecked, so that gradients flow through them.

        Args:
            values: Parameters by name.
        """
        other = copy.copy(self)
        for name, value in values.items():
            object.__setattr__(other, name, value)
        return other

    def __call__(self, size: int) -> dist.Categorical:
        """Return the normalised prior over an axis of ``size`` entries, in float64.

        Args:
            size: Number of entries of the axis (``max_depth + 1`` for depth), at least 1.

        Raises:
            ValueError: If ``size`` is not positive or the prior does not fit an axis of this size.
        """
        if size < 1:
            raise ValueError(f"Expected an axis with at least one entry, got size={size}.")
        return dist.Categorical(logits=self.log_weights(size))


PriorLike = Prior | torch.distributions.Categorical


def as_categorical(prior: PriorLike, size: int, axis: str) -> dist.Categorical:
    """Return the distribution of a prior over an axis, checked against the size of the axis.

    Args:
        prior: A :class:`Prior`, or any ``Categorical`` of ``size`` entries.
        size: Number of entries of the axis.
        axis: Name of the axis, for messages.

    Raises:
        TypeError: If ``prior`` is neither a :class:`Prior` nor a ``Categorical``.
        ValueError: If ``prior`` does not fit the axis or has entries without mass.
    """
    if not isinstance(prior, torch.distributions.Categorical):
        if isinstance(prior, Prior):
            categorical = prior(size)
            if categorical.logits.shape != (size,):
                raise ValueError(
                    f"Expected log_weights of shape ({size},) from {prior!r} for axis {axis!r}, got "
                    f"{tuple(categorical.logits.shape)}."
                )
            return categorical
        raise TypeError(
            f"Expected a prior for axis {axis!r} from pyro_vds.priors, or a pyro.distributions.Categorical; "
            f"got {type(prior).__name__}."
        )
    if prior.probs.shape != (size,):
        raise ValueError(
            f"Expected a prior of {size} probabilities for axis {axis!r} (a depth axis has max_depth + 1 "
            f"entries), got shape {tuple(prior.probs.shape)}."
        )
    check_probs(prior.probs)
    return dist.Categorical(logits=prior.logits.double())


def prior_over_sites(prior: PriorLike, axis: Axis) -> TorchDistributionMixin:
    """Return the prior over the entries at all sites of an axis, ``(sites,)``.

    Args:
        prior: A :class:`Prior`, or a ``Categorical`` of one site, the same for all.
        axis: The axis.

    Raises:
        ValueError: If the prior does not fit the axis.
    """
    if isinstance(prior, Prior):
        if prior.is_uncertain:
            raise ValueError(
                f"Expected a prior without uncertain parameters for axis {axis.name!r} with sites, got {prior!r}. For "
                "gates, Exchangeable(a, b) has a common probability that is integrated out."
            )
        return prior.over_sites(axis.sites, len(axis))
    return dist.Categorical(logits=prior.logits.double().expand(axis.sites, -1)).to_event(1)


def priors_by_axis(priors: PriorLike | Mapping[str, PriorLike], axes: tuple[str, ...]) -> dict[str, PriorLike]:
    """Return the prior of each axis, in the order of the axes.

    Args:
        priors: One prior for all axes, or a mapping with a prior for each.
        axes: Names of the axes.

    Raises:
        ValueError: If an axis has no prior, or a prior has no axis.
    """
    if not isinstance(priors, Mapping):
        priors = dict.fromkeys(axes, priors)
    if priors.keys() != set(axes):
        raise ValueError(
            f"Expected priors for the axes {list(axes)}, got {list(priors)}. Give one prior for each axis, or a "
            "single prior for all."
        )
    return {axis: priors[axis] for axis in axes}


def check_probs(probs: Float[Tensor, " size"]) -> None:
    """Raise ``ValueError`` unless the probabilities are positive and sum to one."""
    if not bool((probs > 0).all()):
        raise ValueError(
            f"Expected positive prior probabilities, got {probs.tolist()}. An entry without prior mass makes "
            "the ELBO minus infinity: to rule an entry out, build the network without it."
        )
    total = float(probs.double().sum())
    if not abs(total - 1) <= SUM_TOLERANCE:
        raise ValueError(
            f"Expected prior probabilities that sum to one, got a sum of {total:.8g}. Divide them by their sum."
        )


def store_numbers(prior: object, *names: str) -> None:
    """Replace arguments of a prior by floats, so that equal priors have equal representations."""
    for name in names:
        object.__setattr__(prior, name, _number(name, getattr(prior, name)))


def store_sequence(prior: object, name: str) -> None:
    """Replace an argument of a prior by a tuple of floats."""
    given = getattr(prior, name)
    try:
        values = tuple(given)
    except TypeError as error:
        raise TypeError(f"Expected a sequence of numbers as {name}, got {given!r}.") from error
    object.__setattr__(prior, name, tuple(_number(name, value) for value in values))


def _number(name: str, value: Any) -> float:
    with suppress(TypeError, ValueError, RuntimeError):
        if not isinstance(value, str):  # which float() would read
            return float(value)
    raise TypeError(f"Expected a number as {name}, got {value!r}.")


def check_positive(name: str, value: float) -> None:
    """Raise ``ValueError`` unless an argument of a prior is positive and finite."""
    if not 0 < value < float("inf"):
        raise ValueError(f"Expected a positive, finite {name}, got {name}={value}.")


def check_length(name: str, values: Sized, size: int) -> None:
    """Raise ``ValueError`` unless there is a value for each entry of an axis."""
    if len(values) != size:
        raise ValueError(
            f"Expected {size} {name}, one for each entry of the axis (a depth axis has max_depth + 1 entries), "
            f"got {len(values)}."
        )
