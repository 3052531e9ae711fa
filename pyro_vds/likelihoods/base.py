"""Likelihoods: what the network's outputs say about a target.

A likelihood maps outputs ``(*axes, batch, event)`` to a Pyro distribution of batch shape ``(*axes, batch)``
whose ``log_prob(y)`` is ``log p(y | x, d)`` in nats, and mixes the architectures for prediction.
"""

import copy
from abc import ABC, abstractmethod

from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn

from pyro_vds.spaces.typing import Outputs


class Likelihood(nn.Module, ABC):
    """The distribution of a target given the network's outputs."""

    @abstractmethod
    def forward(self, outputs: Outputs) -> TorchDistributionMixin:
        """Return the distribution of the target, batch shape ``(*axes, batch)``."""

    @abstractmethod
    def check_targets(self, y: Tensor, outputs: Outputs) -> None:
        """Raise if targets do not suit the likelihood and the network's outputs.

        Args:
            y: All targets of a data set, ``(N, ...)``.
            outputs: Outputs for at least one input, ``(*axes, batch, *event)``.

        Raises:
            TypeError: If the targets have the wrong type.
            ValueError: If their shape or values do not fit.
        """

    @abstractmethod
    def marginal(
        self,
        outputs: Float[Tensor, "architecture *replicate batch event"],
        log_weights: Float[Tensor, "architecture *replicate"],
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return the prediction of the mixture ``p(y|x) = sum_i q_i p(y|x,d=i)`` over architectures.

        Args:
            outputs: Outputs of each architecture.
            log_weights: Log mixture weights ``log q_i``, nats.
        """

    def replicated(self, n: int) -> "Likelihood":
        """Return the likelihood of ``n`` replicates, with parameters of its own for each.

        Args:
            n: Number of replicates.

        Raises:
            TypeError: If it has parameters or buffers and does not say how to replicate them.
        """
        if self.state_dict():
            raise TypeError(
                f"Expected a likelihood that can be replicated, but {type(self).__name__} has the tensors "
                f"{list(self.state_dict())}. Override its methods replicated() and single()."
            )
        return self

    def single(self, replicate: int) -> "Likelihood":
        """Return the likelihood of one replicate, as a copy.

        Args:
            replicate: Its number.
        """
        return copy.deepcopy(self)
