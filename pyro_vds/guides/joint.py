"""Guides that hold a table of logits over the product of all axes."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.guides.tables import positive_log_probs
from pyro_vds.guides.weights import SUM_TOLERANCE
from pyro_vds.ops.tensors import outer_sum
from pyro_vds.spaces.typing import Inputs


class AutoConditionalCategorical(Guide):
    """Each axis given the axes before it, ``q(depth) q(width | depth) ...``; it can be any joint distribution.

    ``logits[axis]`` has shape ``(*sizes of the axes before it, size)``.

    Args:
        model: The model. The guide of a model without axes is empty.
    """

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {axis: self.space.sizes[: i + 1] for i, axis in enumerate(self.space)}

    def conditionals(self) -> list[Float[Tensor, "..."]]:
        """Return ``log q`` of each axis given the axes before it, in nats."""
        return [self.logits[axis].log_softmax(-1) for axis in self.space]

    @torch.no_grad()
    def follow(self, log_weights: Float[Tensor, "*replicate_and_axes"]) -> None:
        """Set ``q`` to given weights over all architectures.

        Args:
            log_weights: Logarithms of weights that need not sum to one, ``(*batch_shape, *sizes)``, nats.
        """
        for axis, log_probs in zip(self.space, _chain(_normalised(log_weights, self), len(self.space)), strict=True):
            self.logits[axis].copy_(log_probs)

    @torch.no_grad()
    def set_joint_probs(self, probs: Float[Tensor, "*replicate_and_axes"]) -> None:
        """Set the joint probabilities, for example to ``exact_posterior(model, data).log_joint_probs.exp()``.

        Args:
            probs: Probabilities over the product of the axes. A zero becomes the smallest positive number.

        Raises:
            ValueError: If the shape does not fit, or the values are not probabilities.
        """
        for axis, log_probs in zip(self.space, _chain(_checked_table(probs, self), len(self.space)), strict=True):
            self.logits[axis].copy_(log_probs)


class AutoJointCategorical(Guide):
    """One table over the product of all axes, ``q(depth, width) = softmax(logits)``.

    It is the same family as :class:`AutoConditionalCategorical` with other gradients: each logit is one architecture.

    Args:
        model: The model. The guide of a model without axes is empty.
    """

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"joint": self.space.sizes} if self.space else {}

    def conditionals(self) -> list[Float[Tensor, "..."]]:
        """Return ``log q`` of each axis given the axes before it, in nats."""
        return _chain(self.joint_log_probs(), len(self.space)) if self.space else []

    def joint_log_probs(self, x: Inputs | None = None) -> Float[Tensor, "*replicate_and_axes"]:
        """Return ``log q`` over the product of all axes, shape ``(*replicate, *sizes)``, in nats."""
        if not self.space:
            return outer_sum([])
        table = self.logits["joint"]
        return table.flatten(-len(self.space)).log_softmax(-1).view_as(table)

    @torch.no_grad()
    def follow(self, log_weights: Float[Tensor, "*replicate_and_axes"]) -> None:
        """Set ``q`` to given weights over all architectures.

        Args:
            log_weights: Logarithms of weights that need not sum to one, ``(*batch_shape, *sizes)``, nats.
        """
        if self.space:
            self.logits["joint"].copy_(_normalised(log_weights, self))

    @torch.no_grad()
    def set_joint_probs(self, probs: Float[Tensor, "*replicate_and_axes"]) -> None:
        """Set the joint probabilities, for example to ``exact_posterior(model, data).log_joint_probs.exp()``.

        Args:
            probs: Probabilities over the product of the axes. A zero becomes the smallest positive number.

        Raises:
            ValueError: If the shape does not fit, or the values are not probabilities.
        """
        self.logits["joint"].copy_(_checked_table(probs, self))


def _chain(log_joint: Tensor, axes: int) -> list[Tensor]:
    """Return the log probabilities of each axis given the axes before it."""
    marginals = [log_joint.logsumexp(list(range(i + 1 - axes, 0))) if i + 1 < axes else log_joint for i in range(axes)]
    return [marginals[0], *(after - before[..., None] for before, after in pairwise(marginals))]


def _normalised(log_weights: Tensor, guide: Guide) -> Tensor:
    """Return normalised log probabilities over all axes, none below the smallest positive number."""
    flat = log_weights.flatten(-len(guide.space))
    return positive_log_probs(flat, next(guide.parameters()).dtype).view_as(log_weights)


def _checked_table(probs: Tensor, guide: Guide) -> Tensor:
    """Return the logarithm of a table of probabilities that fits a guide."""
    expected = (*guide.batch_shape, *guide.space.sizes)
    if tuple(probs.shape) != expected:
        raise ValueError(
            f"Expected probabilities of shape {expected}, for the axes {list(guide.space)}; got {(*probs.shape,)}."
        )
    sums = probs.flatten(-len(guide.space)).sum(-1)
    if not bool((probs >= 0).all()) or float((sums - 1).abs().max()) > SUM_TOLERANCE:
        raise ValueError(f"Expected probabilities that sum to one, got a sum of {sums.tolist()}.")
    like = next(guide.parameters())
    return probs.to(like).clamp_min(torch.finfo(like.dtype).tiny).log()
