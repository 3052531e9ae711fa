"""A guide with an architecture for each input."""

import math

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyro_vds.guides.base import Guide
from pyro_vds.models.sites import enters_store
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.compat import held, hold
from pyro_vds.ops.inputs import as_inputs, points
from pyro_vds.ops.tensors import at_least_float32, dtype_of
from pyro_vds.spaces.typing import Inputs, InputsLike


class AutoPerInput(Guide):
    """``q(i | x) = softmax(network(x))``: an entry of one axis for each input.

    The entry is a local latent in the plate of the data, and the ELBO is still exact:
    ``sum_n [sum_i q(i|x_n) log p(y_n | x_n, d=i) - KL(q(.|x_n) || p)]``.

    Args:
        model: A model with one axis, built with ``plate=pyro_vds.DATA``, without replicates.
        network: Maps inputs ``(batch, ...)`` to logits ``(batch, size)``. It runs for every input: keep it small.

    Raises:
        ValueError: If the model has other axes, no plate of data, or replicates.
    """

    def __init__(self, model: VDSModel, network: nn.Module) -> None:
        if not model.by_input or len(model.space) != 1 or model.batch_shape:
            raise ValueError(
                f"Expected a model with one axis in the plate of the data, built with plate=pyro_vds.DATA, without "
                f"replicates; got {model.space} and batch_shape {tuple(model.batch_shape)}."
            )
        super().__init__(model)
        self.num_data = model.num_data
        hold(self, "network", network)

    @property
    def network(self) -> nn.Module:
        """The network of the guide."""
        return held(self, "network")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    def forward(self, x: Inputs | None = None, y: Tensor | None = None) -> dict[str, Tensor]:
        """Sample the entry of each input, or enumerate it under ``TraceEnum_ELBO``.

        Args:
            x: Inputs ``(batch, ...)``.
            y: Targets; the plate then rescales the batch to ``num_data`` points.

        Returns:
            The sampled index of each input.
        """
        enters_store(self, self.space)
        log_probs = self.by_input(_given(x))
        batch = len(log_probs)
        places = torch.arange(batch, device=log_probs.device)
        (axis,) = self.space
        with pyro.plate("data", batch if y is None else self.num_data, dim=-1, subsample=places):
            return {axis: pyro.sample(axis, dist.Categorical(logits=log_probs), infer={"enumerate": "parallel"})}

    def by_input(self, x: InputsLike) -> Float[Tensor, "batch size"]:
        """Return ``log q(i | x)`` for each input, in nats.

        Args:
            x: Inputs ``(batch, ...)``.

        Raises:
            ValueError: If the network's logits are not ``(batch, size)``.
        """
        inputs = as_inputs(x, dtype_of(self.network))
        logits, expected = self.network(inputs), (points(inputs), *self.space.sizes)
        if tuple(logits.shape) != expected:
            raise ValueError(
                f"Expected logits of shape {expected} from the guide's network, got {tuple(logits.shape)}."
            )
        return at_least_float32(logits).log_softmax(-1)

    def stops(self, x: InputsLike, threshold: float) -> Int[Tensor, " batch"]:
        """Return for each input the smallest entry ``k`` with ``q(i > k | x) < threshold``.

        Args:
            x: Inputs ``(batch, ...)``.
            threshold: Probability that may lie above the stop, in ``[0, 1)``; 0 stops at the last entry with mass.

        Raises:
            ValueError: If the axis is not nested: its entries have no order to stop in.
        """
        (axis,) = self.space.values()
        if not axis.nested:
            raise ValueError(f"Expected a nested axis, such as the depth, to stop along; got {axis}.")
        above = self.by_input(x).exp().flip(-1).cumsum(-1).flip(-1)[:, 1:]  # q(i > k), k = 0..size-2
        return (above >= max(threshold, torch.finfo(above.dtype).tiny)).sum(-1)

    def joint_log_probs(self, x: Inputs | None = None) -> Float[Tensor, " size"]:
        """Return the log of the mean of ``q(i | x)`` over inputs, in nats."""
        log_probs = self.by_input(_given(x))
        return log_probs.logsumexp(0) - math.log(len(log_probs))

    def kl(self, model: VDSModel, x: Inputs | None = None) -> Float[Tensor, ""]:
        """Return ``sum_n KL(q(.|x_n) || p)`` over all data, estimated on some of the inputs, in nats."""
        log_q = self.by_input(_given(x))
        return (log_q.exp() * (log_q - model.log_prior())).sum(-1).mean() * self.num_data


def _given(x: Inputs | None) -> Inputs:
    if x is None:
        raise ValueError("Expected inputs x, on which the probabilities of AutoPerInput depend, got None.")
    return x
