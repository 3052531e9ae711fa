"""A depth for each input: a guide that looks at the input, and a network that stops where its mass ends."""

import copy
import math

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pyro_vds.backbones import PerDepth
from pyro_vds.guides import Guide
from pyro_vds.model import VDSModel, refuse_svi
from pyro_vds.typing import Inputs
from pyro_vds.validation import check_inputs


class AutoPerInput(Guide):
    """``q(d | x) = softmax(network(x))``, a depth for each input, of a model with ``per_input=True``.

    The depth is a local latent in the plate of data, and the ELBO is still exact:
    ``sum_n [sum_i q(i|x_n) log p(y_n | x_n, d=i) - KL(q(.|x_n) || p)]``.

    Args:
        model: A model with one axis, built with ``per_input=True``, without replicates.
        network: Maps inputs ``(batch, ...)`` to logits ``(batch, D + 1)``; small, as it runs for every input first.

    Raises:
        ValueError: If the model is of another kind.
    """

    def __init__(self, model: VDSModel, network: nn.Module) -> None:
        if not model.per_input or len(model.axes) != 1 or model.replicates is not None:
            raise ValueError(
                f"Expected a model with one axis, built with per_input=True, without replicates; got axes "
                f"{list(model.axes)}, per_input={model.per_input} and replicates={model.replicates}."
            )
        super().__init__(model)
        self.num_data = model.num_data
        self._modules["network"] = network

    @property
    def network(self) -> nn.Module:
        """The network of the guide."""
        network = self._modules["network"]
        assert network is not None
        return network

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    def forward(self, x: Tensor | None = None, y: Tensor | None = None) -> dict[str, Tensor]:
        """Sample the depth of each input, or enumerate it under ``TraceEnum_ELBO``.

        Args:
            x: Inputs ``(batch, ...)``.
            y: With targets the plate rescales the batch to ``num_data`` points.

        Returns:
            The sampled index of each input.
        """
        refuse_svi()
        log_probs = self.by_input(_given(x))
        batch = len(log_probs)
        points = torch.arange(batch, device=log_probs.device)
        (axis,) = self.axes
        with pyro.plate("data", batch if y is None else self.num_data, dim=-1, subsample=points):
            return {axis: pyro.sample(axis, dist.Categorical(logits=log_probs), infer={"enumerate": "parallel"})}

    def by_input(self, x: Inputs) -> Float[Tensor, "batch size"]:
        """Return ``log q(d | x)`` for each input, in nats.

        Args:
            x: Inputs ``(batch, ...)``.

        Raises:
            ValueError: If the network's logits are not ``(batch, size)``.
        """
        logits = self.network(x)
        if tuple(logits.shape) != (len(x), *self.sizes):
            raise ValueError(
                f"Expected logits of shape {(len(x), *self.sizes)} from the guide's network, got {tuple(logits.shape)}."
            )
        return logits.log_softmax(-1)

    def stops(self, x: Inputs, threshold: float) -> Int[Tensor, " batch"]:
        """Return for each input the smallest depth ``k`` with ``q(d > k | x) < threshold``.

        Args:
            x: Inputs ``(batch, ...)``.
            threshold: Mass that may lie above the stop, ``[0, 1)``; with 0 the last depth that has mass.
        """
        above = self.by_input(x).exp().flip(-1).cumsum(-1).flip(-1)[:, 1:]  # q(d > k), k = 0..D-1
        return (above >= max(threshold, torch.finfo(above.dtype).tiny)).sum(-1)

    def joint_log_probs(self, x: Tensor | None = None) -> Float[Tensor, " size"]:
        """Return the log of the mean ``q(d | x)`` over some inputs, in nats."""
        log_probs = self.by_input(_given(x))
        return log_probs.logsumexp(0) - math.log(len(log_probs))

    def kl(self, model: VDSModel, x: Tensor | None = None) -> Float[Tensor, ""]:
        """Return ``sum_n KL(q(.|x_n) || p)`` over all data, estimated on some inputs, in nats."""
        log_q = self.by_input(_given(x))
        return (log_q.exp() * (log_q - model.log_prior())).sum(-1).mean() * self.num_data


class AdaptiveNetwork(nn.Module):
    """A network that stops at a depth of its own for each input (adaptive computation).

    The stop is the smallest depth ``k`` with ``q(d > k | x) < threshold``; that mass moves to ``k``, and shallower
    depths stay in the mixture, as in :func:`pyro_vds.prune`. Inputs that stop at the same depth run together, each
    through its own number of blocks only.

    Args:
        model: A trained model whose backbone is a :class:`pyro_vds.PerDepth`.
        guide: Its guide.
        threshold: Mass that may lie above the stop, ``[0, 1)``; 0 runs every input to the last depth with mass.

    Raises:
        TypeError: If the backbone or the guide is of another kind.
        ValueError: If the threshold is out of range.
    """

    def __init__(self, model: VDSModel, guide: AutoPerInput, threshold: float = 0.05) -> None:
        super().__init__()
        if not isinstance(model.backbone, PerDepth) or not isinstance(guide, AutoPerInput):
            raise TypeError(
                f"Expected a PerDepth backbone and an AutoPerInput guide, got {type(model.backbone).__name__} and "
                f"{type(guide).__name__}."
            )
        if not 0 <= threshold < 1:
            raise ValueError(f"Expected a threshold in [0, 1), got {threshold}.")
        networks = [model.backbone.truncated(k) for k in range(model.sizes[0])]
        for k, network in enumerate(networks):  # one copy of the blocks for all
            network.stem, network.pool, network.blocks = networks[-1].stem, networks[-1].pool, networks[-1].blocks[:k]
        self.networks = nn.ModuleList(networks)
        self.guide = copy.deepcopy(guide)
        self.likelihood = copy.deepcopy(model.likelihood)
        self.threshold = threshold
        self.eval()

    def stops(self, x: Inputs) -> Int[Tensor, " batch"]:
        """Return the depth at which each input stops.

        Args:
            x: Inputs ``(batch, ...)``.
        """
        return self.guide.stops(x, self.threshold)

    @torch.inference_mode()
    def forward(self, x: Inputs) -> tuple[Float[Tensor, "batch ..."], Int[Tensor, " batch"]]:
        """Return the prediction of each input and the depth at which it stopped.

        Args:
            x: Inputs ``(batch, ...)``.

        Raises:
            TypeError: If the inputs are neither floating point nor bytes.
            ValueError: If they are empty or not finite.

        Returns:
            Log class probabilities ``(batch, classes)``, for regression mean and variance ``(batch, 2, targets)``;
            and the depths.
        """
        check_inputs(x)
        log_q, stops = self.guide.by_input(x), self.stops(x)
        found: list[Tensor] = []
        order: list[Tensor] = []
        for depth in stops.unique().tolist():
            chosen = (stops == depth).nonzero()[:, 0]
            below, above = log_q[chosen].split([depth, log_q.shape[1] - depth], dim=1)
            weights = torch.cat([below, above.logsumexp(1, keepdim=True)], dim=1)
            outputs = self.networks[depth](x[chosen])
            # One mixture for each point: the points become replicates with weights of their own.
            mixed = self.likelihood.marginal(outputs[:, :, None], weights.T)
            found.append(mixed[:, 0] if isinstance(mixed, Tensor) else torch.stack([part[:, 0] for part in mixed], 1))
            order.append(chosen)
        return torch.cat(found)[torch.cat(order).argsort()], stops


def _given(x: Tensor | None) -> Tensor:
    if x is None:
        raise ValueError("Expected inputs: a guide with a depth for each input has no probabilities without them.")
    return x
