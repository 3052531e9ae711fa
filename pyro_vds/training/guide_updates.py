"""The update of the guide in closed form, in place of gradient steps on its logits.

For fixed weights the best guide is known: ``log q(a) = log p(a) + N m(a) + const``, with ``m(a)`` the mean log
likelihood of architecture ``a`` over the data. Gradient steps need about ``N (1 - momentum) / (lr q)`` steps to get
there. Training keeps a running mean of ``m`` over its batches, and sets the guide to this optimum after each step.

From the first step on the optimum would commit to the architectures that learn first, the shallow ones. The posterior
is therefore annealed (deterministic annealing, Ueda and Nakano 1998; Mandt et al. 2016, "Variational Tempering").
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pyro_vds.guides.base import Guide
from pyro_vds.infer.exact import log_likelihood, posterior_of
from pyro_vds.infer.passes import ReadOut
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.compat import without_checks_of_arguments
from pyro_vds.ops.inputs import points
from pyro_vds.ops.modes import eval_mode
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Data, WeightedData
from pyro_vds.training.config import AnnealStart, TrainingConfig

logger = logging.getLogger(__name__)

RATE = 0.1
"""Weight of a new batch in the running mean."""

SWEEPS = 50
"""Sweeps of coordinate ascent over independent axes at the end."""

DEEP = 4
"""Power of the entry number in the start of the annealing."""


class ClosedForm(nn.Module):
    """Sets the guide to the optimum of a tempered bound, from a running mean of the log likelihoods.

    After each batch, with its mean log likelihood ``l(a)`` of each architecture::

        e <- 0.9 e + 0.1 l(a);  c <- 0.9 c + 0.1;  m(a) = e / c
        tau N = M ** min(1, points seen / (anneal_epochs N))
        log q(a) = tau N m(a) + s log p(a) + (1 - s) log r(a) + const,   s = tau N / M

    ``M`` is the number of data ``N``, or the bound ``tempered_num_data`` if that is smaller, and ``r`` is where the
    path starts. At ``tau N = N`` this is the exact optimum of the ELBO for the running mean.

    Args:
        model: The model.
        guide: Its guide, which starts at ``r``.
        config: The settings of training.

    Raises:
        TypeError: If the guide cannot be set to given probabilities.
    """

    mean: Tensor
    weight: Tensor
    points: Tensor

    def __init__(self, model: VDSModel, guide: Guide, config: TrainingConfig) -> None:
        super().__init__()
        like = model.device_tensor()
        dtype = torch.float32 if like.device.type == "mps" else torch.float64
        for name, shape in (("mean", model.batch_shape + model.sizes), ("weight", model.batch_shape)):
            self.register_buffer(name, torch.zeros(shape, dtype=dtype, device=like.device))
        self.register_buffer("points", torch.zeros_like(self.weight))
        self.num_data = model.num_data
        self.limit = limit_of(config, model.num_data)
        self.horizon = config.annealed_epochs * model.num_data
        self.reference = log_reference(model.space, config.anneal_start).to(self.mean)
        guide.follow(self.reference.expand(self.mean.shape))

    def counted(self) -> Float[Tensor, "*batch_shape"]:
        """Return ``tau N``, the number of points that the posterior counts at the moment."""
        if not self.horizon:
            return torch.full_like(self.points, self.limit)
        return self.limit ** (self.points / self.horizon).clamp(max=1)

    @torch.no_grad()
    def forward(
        self, guide: Guide, log_likelihood: Float[Tensor, "*batch_shape_and_axes"], log_prior: Tensor, points: int
    ) -> None:
        """Take in a batch, and set the guide.

        Args:
            guide: The guide.
            log_likelihood: Log likelihood of each architecture on the batch, scaled to all data, nats.
            log_prior: Log prior over the product of the axes, nats.
            points: Points in the batch.
        """
        counted = self.counted()
        self.mean.mul_(1 - RATE).add_(log_likelihood / self.num_data, alpha=RATE)
        self.weight.mul_(1 - RATE).add_(RATE)
        self.points.add_(points)
        axes = (..., *[None] * log_prior.ndim)
        share = (counted / self.limit)[axes]
        seen = (counted / self.weight)[axes] * self.mean
        guide.follow(seen + share * log_prior + (1 - share) * self.reference)


@contextmanager
def logits_set(guide: Guide, config: TrainingConfig) -> Iterator[None]:
    """Keep the optimiser from the logits of a guide in closed form.

    Args:
        guide: The guide.
        config: The settings of training.
    """
    learning = [p for p in guide.logits.values() if p.requires_grad and config.guide_update == "closed_form"]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


@torch.no_grad()
def settle(model: VDSModel, guide: Guide, batches: Iterable[Data | WeightedData], config: TrainingConfig) -> None:
    """Set the guide to the posterior of the weights, from one pass over the training data in eval mode.

    ``q(a) ∝ p(a) exp(M / N sum_n log p(y_n | x_n, a))``, with ``M`` as in :class:`ClosedForm`: with ``M = N`` the exact
    posterior. A guide of several independent axes ends at a fixed point of coordinate ascent. Where the densities in
    eval mode are not finite there is no posterior: the guide stays as it is, with a warning.

    Args:
        model: The model.
        guide: Its guide.
        batches: The batches of one epoch. If they leave points out, the others count in their place: an estimate.
        config: The settings of training.
    """
    if not model.space:
        return
    total, seen, dim = torch.zeros((), dtype=torch.float64), 0, len(model.batch_shape)
    with eval_mode(model), without_checks_of_arguments():
        for x, y, *weight in batches:
            total = total + log_likelihood(model, ReadOut(x, y, model.outputs(x), *weight)).double().sum(-1).cpu()
            seen += points(x, dim)
    log_probs = posterior_of(model, total * limit_of(config, model.num_data) / seen).log_joint_probs
    unknown = log_probs.isnan().flatten(dim).any(-1)
    if bool(unknown.any()):
        logger.warning(
            "The log likelihood of the training data is not finite in eval mode: the guide stays as the last step left "
            "it. Look for extreme inputs, or compute the batch-norm statistics again (recalibrate_batch_norm)."
        )
        log_probs = log_probs.where(~unknown[(..., *[None] * len(model.space))], guide.joint_log_probs().cpu().double())
    for _ in range(1 if len(model.space) == 1 and not model.space.with_sites else SWEEPS):
        guide.follow(log_probs)


def limit_of(config: TrainingConfig, num_data: int) -> float:
    """Return the number of points that the posterior counts at the end of annealing.

    Args:
        config: The settings of training.
        num_data: Number of training points.
    """
    return float(num_data if config.tempered_num_data is None else min(num_data, config.tempered_num_data))


def log_reference(space: Space, start: AnnealStart) -> Float[Tensor, "*axes"]:
    """Return the log weights from which the annealing starts, nats.

    Args:
        space: The axes.
        start: ``"deep"`` for weights ``(i + 1)**4`` along nested axes, ``"uniform"`` for equal weights.
    """
    total = torch.zeros(space.sizes, dtype=torch.float64)
    for place, axis in enumerate(space.values()):
        if axis.nested and start == "deep":
            weights = DEEP * torch.arange(1, len(axis) + 1, dtype=torch.float64).log()
            total = total + weights.reshape(-1, *[1] * (len(space) - place - 1))
    return total
