"""Priors with an uncertain parameter, which is summed out.

One architecture is drawn for all data, so the data depend on the hyperparameter ``eta`` only through the architecture.
``p(i) = E[p(i | eta)]`` is therefore a prior like any other, and its ELBO is tighter than an ELBO with a factor
``q(eta)``. After training, ``p(eta | i)`` turns the posterior over ``i`` into one over ``eta``. Nothing is sampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pyro_vds.priors.base import Prior, check_length, check_positive, store_numbers, store_sequence

NODES = 1024


@dataclass(frozen=True)
class Beta:
    """Beta distribution of a hyperparameter in (0, 1).

    Args:
        a: First concentration, positive.
        b: Second concentration, positive; the mean is ``a / (a + b)``.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is not positive and finite.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        store_numbers(self, "a", "b")
        check_positive("a", self.a)
        check_positive("b", self.b)

    def nodes(self) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
        """Return the values and log weights of the trapezoidal rule for the logit."""
        from scipy import special, stats

        low, high = special.logit(np.clip(_tails(stats.beta(self.a, self.b)), 1e-15, 1 - 1e-15))
        logits = np.linspace(low, high, NODES)
        # d eta / d logit = eta (1 - eta) raises both exponents of the density by one.
        log_weights = self.a * special.log_expit(logits) + self.b * special.log_expit(-logits)
        return special.expit(logits), log_weights - special.logsumexp(log_weights)


@dataclass(frozen=True)
class Gamma:
    """Gamma distribution of a positive hyperparameter.

    Args:
        shape: Shape, positive.
        rate: Rate, positive; the mean is ``shape / rate``.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is not positive and finite.
    """

    shape: float
    rate: float

    def __post_init__(self) -> None:
        store_numbers(self, "shape", "rate")
        check_positive("shape", self.shape)
        check_positive("rate", self.rate)

    def nodes(self) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
        """Return the values and log weights of the trapezoidal rule for the logarithm."""
        from scipy import special, stats

        low, high = np.log(np.clip(_tails(stats.gamma(self.shape, scale=1 / self.rate)), 1e-30, None))
        logs = np.linspace(low, high, NODES)
        log_weights = self.shape * logs - self.rate * np.exp(logs)
        return np.exp(logs), log_weights - special.logsumexp(log_weights)


Hyperprior = Beta | Gamma


def _tails(distribution: Any) -> np.ndarray:
    """Return values so far out that hardly any mass lies beyond, even given a large entry."""
    return np.array([distribution.ppf(1e-18), distribution.isf(1e-18)])


@dataclass(frozen=True)
class Hierarchical(Prior):
    """A prior with one uncertain parameter: ``p(i) = E[p(i | eta)]``, where ``eta`` has a hyperprior.

    The expectation is a sum over 1,024 values of the parameter (trapezoidal rule on the whole line).

    Args:
        prior: The family, for instance ``Geometric()``; its own value of the uncertain parameter is ignored.
        parameter: Name of the uncertain parameter, for instance ``"decay"``.
        hyperprior: ``Beta(a, b)`` for a parameter in (0, 1), ``Gamma(shape, rate)`` for a positive one.

    Raises:
        TypeError: If ``prior`` is not a prior, or ``hyperprior`` is not a hyperprior.
        ValueError: If the prior has no such parameter, or does not allow all values of the hyperprior.
    """

    prior: Prior
    parameter: str
    hyperprior: Hyperprior

    def __post_init__(self) -> None:
        if not isinstance(self.prior, Prior) or not isinstance(self.hyperprior, Hyperprior):
            raise TypeError(
                f"Expected a prior and Beta(a, b) or Gamma(shape, rate), got {self.prior!r} and {self.hyperprior!r}."
            )
        names = [field.name for field in fields(cast(Any, self.prior)) if field.type is float]
        if self.parameter not in names:
            raise ValueError(f"Expected a parameter of {self.prior!r}, one of {names}, got {self.parameter!r}.")
        _ = self.nodes

    @cached_property
    def nodes(self) -> tuple[Float[Tensor, " K"], Float[Tensor, " K"]]:
        """Values of the parameter and their log weights, which sum to one; float64."""
        values, log_weights = self.hyperprior.nodes()
        for value in values[[0, -1]].tolist():
            self._at(value)
        return torch.from_numpy(values), torch.from_numpy(log_weights)

    def given(self, size: int) -> Float[Tensor, "K size"]:
        """Return ``log p(i | eta)`` of each entry for each node, nats."""
        return torch.stack([self._at(value).log_weights(size) for value in self.nodes[0].tolist()]).log_softmax(-1)

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return ``log E[p(i | eta)]``, in nats."""
        return (self.given(size) + self.nodes[1][:, None]).logsumexp(0)

    def draw_parameters(
        self, entries: Int[Tensor, " draws"], size: int, generator: torch.Generator
    ) -> dict[str, Float[Tensor, " draws"]]:
        """Draw the parameter given entries of the axis, ``p(eta | i)``.

        Args:
            entries: Drawn entries.
            size: Number of entries of the axis.
            generator: Generator of the draws.
        """
        values, log_weights = self.nodes
        weights = (self.given(size) + log_weights[:, None]).softmax(0)
        drawn = torch.multinomial(weights.T[entries], 1, generator=generator)[:, 0]
        return {self.parameter: values[drawn]}

    def _at(self, value: float) -> Prior:
        return replace(cast(Any, self.prior), **{self.parameter: value})


@dataclass(frozen=True)
class Dirichlet(Prior):
    """Uncertain probabilities of a Dirichlet distribution; ``p(i) = concentration_i / sum_j concentration_j``.

    Given entry ``i``, the probabilities are ``Dirichlet(concentration + e_i)``.

    Args:
        concentration: A positive number for each entry.

    Raises:
        TypeError: If ``concentration`` is not a sequence of numbers.
        ValueError: If a number is not positive and finite.
    """

    concentration: Sequence[float]

    def __post_init__(self) -> None:
        store_sequence(self, "concentration")
        for value in self.concentration or [0.0]:
            check_positive("concentration", value)

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return the log of the concentrations, in nats."""
        check_length("concentration", self.concentration, size)
        return torch.tensor(self.concentration, dtype=torch.float64).log()

    def draw_parameters(
        self, entries: Int[Tensor, " draws"], size: int, generator: torch.Generator
    ) -> dict[str, Float[Tensor, "draws size"]]:
        """Draw the probabilities given entries of the axis.

        Args:
            entries: Drawn entries.
            size: Number of entries of the axis.
            generator: Generator of the draws.
        """
        counts = torch.nn.functional.one_hot(entries, size) + torch.tensor(self.concentration, dtype=torch.float64)
        # The distributions of torch take no generator; numpy's do.
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        gammas = torch.from_numpy(rng.standard_gamma(counts.numpy()))
        return {"probs": gammas / gammas.sum(-1, keepdim=True)}
