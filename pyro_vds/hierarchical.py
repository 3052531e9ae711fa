"""Priors whose own parameter is uncertain, with that parameter summed out exactly.

One architecture is drawn for all data, so the hyperparameter ``eta`` meets them only through it:
``p(i) = E[p(i | eta)]`` is a prior like any other, the ELBO over it is tighter than one with a factor ``q(eta)``, and
``p(eta | i)`` gives the posterior over ``eta`` from the one over ``i`` afterwards. Nothing is sampled in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import scipy.stats
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pyro_vds.prior import Prior, check_length, check_positive, store_numbers, store_sequence

NODES = 512


@dataclass(frozen=True)
class Beta:
    """Beta distribution of a hyperparameter in (0, 1).

    Args:
        a: First concentration, positive.
        b: Second concentration, positive; the mean is ``a / (a + b)``.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is not positive and finite.
    """

    a: float
    b: float

    def __post_init__(self) -> None:
        store_numbers(self, "a", "b")
        check_positive("a", self.a)
        check_positive("b", self.b)

    def quantiles(self, levels: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
        """Return the quantiles at some levels."""
        return scipy.stats.beta.ppf(levels, self.a, self.b)


@dataclass(frozen=True)
class Gamma:
    """Gamma distribution of a positive hyperparameter.

    Args:
        shape: Shape, positive.
        rate: Rate, positive; the mean is ``shape / rate``.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is not positive and finite.
    """

    shape: float
    rate: float

    def __post_init__(self) -> None:
        store_numbers(self, "shape", "rate")
        check_positive("shape", self.shape)
        check_positive("rate", self.rate)

    def quantiles(self, levels: Float[np.ndarray, " K"]) -> Float[np.ndarray, " K"]:
        """Return the quantiles at some levels."""
        return scipy.stats.gamma.ppf(levels, self.shape, scale=1 / self.rate)


Hyperprior = Beta | Gamma


@dataclass(frozen=True)
class Hierarchical(Prior):
    """A prior with one uncertain parameter: ``p(i) = E[p(i | eta)]``, ``eta`` of a hyperprior.

    The expectation is the mean over 512 quantiles of the hyperprior (midpoint rule).

    Args:
        prior: The family, for instance ``Geometric()``; what it has for the uncertain parameter does not matter.
        parameter: Name of that parameter, for instance ``"decay"``.
        hyperprior: ``Beta(a, b)`` for one in (0, 1), ``Gamma(shape, rate)`` for a positive one.

    Raises:
        TypeError: If the prior or the hyperprior is none.
        ValueError: If the prior has no such parameter, or the hyperprior reaches values that it does not allow.
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
    def nodes(self) -> Float[Tensor, " K"]:
        """Values of the parameter that are equally probable; float64."""
        levels = (np.arange(NODES) + 0.5) / NODES
        # The tails of a wide hyperprior may round to 0 or 1, which the family does not allow.
        values = np.clip(self.hyperprior.quantiles(levels), 1e-12, None)
        values = np.minimum(values, 1 - 1e-12) if isinstance(self.hyperprior, Beta) else values
        for value in values[[0, -1]]:
            self._at(value)
        return torch.from_numpy(values)

    def given(self, size: int) -> Float[Tensor, "K size"]:
        """Return ``log p(i | eta)`` of each entry for each node, nats."""
        return torch.stack([self._at(value).log_weights(size) for value in self.nodes.tolist()]).log_softmax(-1)

    def log_weights(self, size: int) -> Float[Tensor, " size"]:
        """Return ``log E[p(i | eta)]``, in nats."""
        return self.given(size).logsumexp(0) - float(np.log(NODES))

    def draw_parameters(
        self, entries: Int[Tensor, " draws"], size: int, generator: torch.Generator
    ) -> dict[str, Float[Tensor, " draws"]]:
        """Draw the parameter given entries of the axis, ``p(eta | i)``.

        Args:
            entries: Drawn entries.
            size: Number of entries of the axis.
            generator: Draws.
        """
        weights = self.given(size).softmax(0)  # over nodes, which are equally probable before
        nodes = torch.multinomial(weights.T[entries], 1, generator=generator)[:, 0]
        return {self.parameter: self.nodes[nodes]}

    def _at(self, value: float) -> Prior:
        return replace(cast(Any, self.prior), **{self.parameter: value})


@dataclass(frozen=True)
class Dirichlet(Prior):
    """Uncertain probabilities of a Dirichlet distribution; ``p(i) = concentration_i / sum_j concentration_j``.

    Given entry ``i`` the probabilities have a ``Dirichlet(concentration + e_i)``.

    Args:
        concentration: A positive number for each entry.

    Raises:
        TypeError: If it is not a sequence of numbers.
        ValueError: If one is not positive and finite.
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
            generator: Draws.
        """
        counts = torch.nn.functional.one_hot(entries, size) + torch.tensor(self.concentration, dtype=torch.float64)
        return {"probs": torch._sample_dirichlet(counts, generator)}
