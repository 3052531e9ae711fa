"""Families of priors over the entries of an axis."""

import ast
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import constraints

from pyro_vds.priors.base import Prior, check_length, check_positive, check_probs, store_numbers, store_sequence
from pyro_vds.priors.hierarchical import Beta, Dirichlet, Gamma, Hierarchical
from pyro_vds.priors.sites import Exchangeable, Price


@dataclass(frozen=True)
class Geometric(Prior):
    """The paper's exponentially decaying prior (appendix B): ``beta_i ∝ decay ** (1 + i)``.

    Args:
        decay: Ratio of the prior mass of neighbouring entries, ``0 < decay <= 1``; 1 is uniform.

    Raises:
        TypeError: If ``decay`` is not a number.
        ValueError: If ``decay`` is out of range.
    """

    learnable: ClassVar = {"decay": constraints.unit_interval}
    decay: float = 0.85

    def __post_init__(self) -> None:
        store_numbers(self, "decay")
        if not 0 < self.decay <= 1:
            raise ValueError(f"Expected 0 < decay <= 1, got decay={self.decay}. The paper uses 0.85.")

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return ``(1 + i) log decay`` for each entry, in nats."""
        decay = torch.as_tensor(self.decay, dtype=torch.float64)
        return (1 + torch.arange(size, dtype=torch.float64, device=decay.device)) * decay.log()


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

    learnable: ClassVar = {"rate": constraints.positive}
    rate: float

    def __post_init__(self) -> None:
        store_numbers(self, "rate")
        check_positive("rate", self.rate)

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return ``i log rate - log i!`` of each entry, in nats."""
        rate = torch.as_tensor(self.rate, dtype=torch.float64)
        entries = torch.arange(size, dtype=torch.float64, device=rate.device)
        return entries * rate.log() - torch.lgamma(entries + 1)


@dataclass(frozen=True)
class NegativeBinomial(Prior):
    """Negative binomial prior truncated to the axis: ``beta_i ∝ C(i + r - 1, i) probs ** i``.

    ``r`` is ``total_count``; the untruncated mean is ``r * probs / (1 - probs)``, as in Pyro. It is a
    Poisson prior with heavier tails: use it when, for example, the right depth is known only roughly.

    Args:
        total_count: ``r``, positive, not necessarily an integer.
        probs: Success probability, ``0 < probs < 1``.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range.
    """

    learnable: ClassVar = {"total_count": constraints.positive, "probs": constraints.unit_interval}
    total_count: float
    probs: float

    def __post_init__(self) -> None:
        store_numbers(self, "total_count", "probs")
        check_positive("total_count", self.total_count)
        if not 0 < self.probs < 1:
            raise ValueError(f"Expected 0 < probs < 1, got probs={self.probs}.")

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return ``log C(i + r - 1, i) + i log probs`` of each entry, in nats."""
        count, probs = (torch.as_tensor(value, dtype=torch.float64) for value in (self.total_count, self.probs))
        entries = torch.arange(size, dtype=torch.float64, device=probs.device)
        binomial = torch.lgamma(entries + count) - torch.lgamma(entries + 1) - torch.lgamma(count)
        return binomial + entries * probs.log()


@dataclass(frozen=True)
class Weights(Prior):
    """Explicit prior probabilities, one for each entry: ``beta_i = probs_i``.

    Args:
        probs: Positive probabilities that sum to one (to within 1e-6).

    Raises:
        TypeError: If ``probs`` is not a sequence of numbers.
        ValueError: If a probability is not positive, or the probabilities do not sum to one.
    """

    learnable: ClassVar = {"probs": constraints.simplex}
    probs: Sequence[float]

    def __post_init__(self) -> None:
        store_sequence(self, "probs")
        check_probs(torch.tensor(self.probs, dtype=torch.float64))

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return the log of the given probabilities, in nats."""
        check_length("probs", self.probs, size)
        return torch.as_tensor(self.probs, dtype=torch.float64).log()


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

    learnable: ClassVar = {"strength": constraints.positive}
    costs: Sequence[float]
    strength: float

    def __post_init__(self) -> None:
        store_sequence(self, "costs")
        store_numbers(self, "strength")
        values = torch.tensor([*self.costs, self.strength], dtype=torch.float64)
        if not len(self.costs) or not bool((torch.isfinite(values) & (values >= 0)).all()):
            raise ValueError(
                f"Expected one or more costs and a strength, all finite and not negative, got costs={self.costs}, "
                f"strength={self.strength}."
            )

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return ``-strength * costs``, in nats."""
        check_length("costs", self.costs, size)
        strength = torch.as_tensor(self.strength, dtype=torch.float64)
        return -strength * torch.tensor(self.costs, dtype=torch.float64, device=strength.device)


_OF_ENTRIES = (Geometric, Uniform, Poisson, NegativeBinomial, Weights, Cost, Dirichlet, Hierarchical)
PRIORS = {cls.__name__: cls for cls in (*_OF_ENTRIES, Price, Exchangeable)}


_CALLS = PRIORS | {cls.__name__: cls for cls in (Beta, Gamma)}


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
        node = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ValueError(expected) from error
    prior = _build(node, expected)
    if not isinstance(prior, Prior):
        raise ValueError(expected)
    return prior


def _build(node: ast.expr, expected: str) -> Any:
    """Return the value of a literal, or of a call of a known class."""
    if not isinstance(node, ast.Call):
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError) as error:
            raise ValueError(expected) from error
    if not isinstance(node.func, ast.Name) or node.func.id not in _CALLS or node.args:
        raise ValueError(expected)
    cls: Any = _CALLS[node.func.id]
    arguments = {str(k.arg): _build(k.value, expected) for k in node.keywords}
    unknown = arguments.keys() - {field.name for field in fields(cls)}
    if unknown:
        raise ValueError(f"{expected} {cls.__name__} has no argument {', '.join(sorted(unknown))}.")
    missing = {field.name for field in fields(cls) if field.default is MISSING} - arguments.keys()
    if missing:
        raise ValueError(f"{expected} {cls.__name__} needs {', '.join(sorted(missing))}.")
    return cls(**arguments)
