"""Priors over one axis of architectures: small immutable objects that become a Pyro ``Categorical``.

A prior does not know the size of its axis until a model asks for it: ``Poisson(rate=6)(21)`` is the
distribution over 21 entries (depths 0..20). Entry ``i`` is depth ``i`` on a depth axis.

Equation numbers refer to Antorán, Allingham and Hernández-Lobato, "Variational Depth Search in ResNets",
2020 (arXiv 2002.02797).
"""

import ast
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from typing import Any

import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor

SUM_TOLERANCE = 1e-6


class Prior(ABC):
    """A categorical prior ``p(i) = Categorical(beta)`` over the entries ``i`` of an axis.

    Subclasses are frozen dataclasses that give the unnormalised log weights; ``repr`` shows the call that
    makes an equal prior, and :func:`parse` reads it back.
    """

    @abstractmethod
    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return the unnormalised log prior of each entry, in nats and float64.

        Args:
            size: Number of entries of the axis (``max_depth + 1`` for depth).

        Raises:
            ValueError: If the prior does not fit an axis of this size.
        """

    def __call__(self, size: int) -> dist.Categorical:
        """Return the normalised prior over an axis of ``size`` entries, in float64.

        Args:
            size: Number of entries of the axis (``max_depth + 1`` for depth), at least 1.

        Raises:
            ValueError: If ``size`` is not positive or the prior does not fit it.
        """
        if size < 1:
            raise ValueError(f"Expected an axis with at least one entry, got size={size}.")
        return dist.Categorical(logits=self.log_weights(size))


@dataclass(frozen=True)
class Geometric(Prior):
    """Exponentially decaying prior, the paper's (its appendix B): ``beta_i ∝ decay ** (1 + i)``.

    Args:
        decay: Ratio of the prior mass of neighbouring entries, ``0 < decay <= 1``; 1 is uniform.

    Raises:
        TypeError: If ``decay`` is not a number.
        ValueError: If ``decay`` is out of range.
    """

    decay: float = 0.85

    def __post_init__(self) -> None:
        _store_numbers(self, "decay")
        if not 0 < self.decay <= 1:
            raise ValueError(f"Expected 0 < decay <= 1, got decay={self.decay}. Use 0.85 for the paper's.")

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return ``(1 + i) log decay`` for each entry, in nats."""
        decay = torch.tensor(self.decay, dtype=torch.float64)
        return (1 + torch.arange(size, dtype=torch.float64)) * decay.log()


@dataclass(frozen=True)
class Uniform(Prior):
    """The same mass for every entry: ``beta_i = 1 / size``."""

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return zeros, in nats."""
        return torch.zeros(size, dtype=torch.float64)


@dataclass(frozen=True)
class Poisson(Prior):
    """Poisson prior truncated to the axis: ``beta_i ∝ rate ** i / i!``.

    Args:
        rate: Mean of the untruncated distribution, positive.

    Raises:
        TypeError: If ``rate`` is not a number.
        ValueError: If ``rate`` is not positive and finite.
    """

    rate: float

    def __post_init__(self) -> None:
        _store_numbers(self, "rate")
        _check_positive("rate", self.rate)

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return the Poisson log density of each entry, in nats."""
        entries = torch.arange(size, dtype=torch.float64)
        return dist.Poisson(torch.tensor(self.rate, dtype=torch.float64)).log_prob(entries)


@dataclass(frozen=True)
class NegativeBinomial(Prior):
    """Negative binomial prior truncated to the axis: ``beta_i ∝ C(i + r - 1, i) probs ** i``.

    ``r`` is ``total_count``; the untruncated mean is ``r * probs / (1 - probs)``, as in Pyro. It is a
    Poisson with heavier tails: use it when the right depth is known only roughly.

    Args:
        total_count: ``r``, positive, not necessarily an integer.
        probs: Success probability, ``0 < probs < 1``.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range.
    """

    total_count: float
    probs: float

    def __post_init__(self) -> None:
        _store_numbers(self, "total_count", "probs")
        _check_positive("total_count", self.total_count)
        if not 0 < self.probs < 1:
            raise ValueError(f"Expected 0 < probs < 1, got probs={self.probs}.")

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return the negative binomial log density of each entry, in nats."""
        count, probs = torch.tensor([self.total_count, self.probs], dtype=torch.float64)
        return dist.NegativeBinomial(count, probs).log_prob(torch.arange(size, dtype=torch.float64))


@dataclass(frozen=True)
class Weights(Prior):
    """Explicit prior probabilities, one for each entry: ``beta_i = probs_i``.

    Args:
        probs: Positive probabilities that sum to one (to within 1e-6).

    Raises:
        TypeError: If ``probs`` is not a sequence of numbers.
        ValueError: If a probability is not positive or they do not sum to one.
    """

    probs: Sequence[float]

    def __post_init__(self) -> None:
        _store_sequence(self, "probs")
        check_probs(torch.tensor(self.probs, dtype=torch.float64))

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return the log of the given probabilities, in nats."""
        _check_length("probs", self.probs, size)
        return torch.tensor(self.probs, dtype=torch.float64).log()


@dataclass(frozen=True)
class Cost(Prior):
    """Prior mass that falls with the compute of an entry: ``beta_i ∝ exp(-strength * costs_i)``.

    Args:
        costs: The cost of each entry in any unit (multiply-adds, milliseconds), finite and not negative.
        strength: Nats of log prior per unit of cost, not negative; 0 is uniform.

    Raises:
        TypeError: If ``costs`` is not a sequence of numbers, or ``strength`` not a number.
        ValueError: If a cost or the strength is negative or not finite.
    """

    costs: Sequence[float]
    strength: float

    def __post_init__(self) -> None:
        _store_sequence(self, "costs")
        _store_numbers(self, "strength")
        values = torch.tensor([*self.costs, self.strength], dtype=torch.float64)
        if not len(self.costs) or not bool((torch.isfinite(values) & (values >= 0)).all()):
            raise ValueError(
                f"Expected finite costs and a finite strength, none negative and at least one cost, got "
                f"costs={self.costs}, strength={self.strength}."
            )

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return ``-strength * costs``, in nats."""
        _check_length("costs", self.costs, size)
        return -self.strength * torch.tensor(self.costs, dtype=torch.float64)


PriorLike = Prior | torch.distributions.Categorical
PRIORS = {cls.__name__: cls for cls in (Geometric, Uniform, Poisson, NegativeBinomial, Weights, Cost)}


def parse(text: str) -> Prior:
    """Read a prior back from its ``repr``, without executing code.

    Args:
        text: For example ``"Poisson(rate=6.0)"``.

    Returns:
        A prior for which ``parse(repr(prior)) == prior``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the text is not a call of a known prior with literal keyword arguments, or a value is out
            of range.
    """
    expected = f"Expected a prior such as 'Geometric(decay=0.85)', one of {', '.join(PRIORS)}; got {text!r}."
    try:
        call = ast.parse(text, mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args):
            raise ValueError(expected)
        cls = PRIORS[call.func.id]
        arguments = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, KeyError, TypeError, ValueError) as error:
        raise ValueError(expected) from error
    unknown = arguments.keys() - {field.name for field in fields(cls)}
    if unknown:
        raise ValueError(f"{expected} {cls.__name__} has no argument {', '.join(sorted(unknown))}.")
    missing = {field.name for field in fields(cls) if field.default is MISSING} - arguments.keys()
    if missing:
        raise ValueError(f"{expected} {cls.__name__} needs {', '.join(sorted(missing))}.")
    return cls(**arguments)


def as_categorical(prior: PriorLike, size: int, axis: str) -> dist.Categorical:
    """Return the distribution of a prior over an axis, checked against the size of the axis.

    Args:
        prior: A :class:`Prior`, or any ``Categorical`` of ``size`` entries.
        size: Number of entries of the axis.
        axis: Name of the axis, for messages.

    Raises:
        TypeError: If ``prior`` is neither.
        ValueError: If it does not fit the axis or has entries without mass.
    """
    if not isinstance(prior, torch.distributions.Categorical):
        if isinstance(prior, Prior):
            return prior(size)
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


def check_probs(probs: Float[Tensor, " size"]) -> None:
    """Raise ``ValueError`` unless the probabilities are positive and sum to one."""
    if not bool((probs > 0).all()):
        raise ValueError(
            f"Expected positive prior probabilities, got {probs.tolist()}. An entry without prior mass makes "
            "the ELBO minus infinity: to rule a depth out, build the network without it."
        )
    total = float(probs.double().sum())
    if not abs(total - 1) <= SUM_TOLERANCE:
        raise ValueError(
            f"Expected prior probabilities that sum to one, got a sum of {total:.8g}. Divide them by their sum."
        )


def _store_numbers(prior: Prior, *names: str) -> None:
    """Replace arguments of a prior by floats, so that equal priors have equal representations."""
    for name in names:
        object.__setattr__(prior, name, _number(name, getattr(prior, name)))


def _store_sequence(prior: Prior, name: str) -> None:
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


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"Expected a positive, finite {name}, got {name}={value}.")


def _check_length(name: str, values: Sequence[float], size: int) -> None:
    if len(values) != size:
        raise ValueError(
            f"Expected {size} {name}, one for each entry of the axis (a depth axis has max_depth + 1 entries), "
            f"got {len(values)}."
        )
