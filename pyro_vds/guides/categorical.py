"""Guides that hold tables of logits for the axes."""

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.tensors import outer_sum

SUM_TOLERANCE = 1e-4
NEVER = -1e30  # the log weight of an architecture that cannot be, in means over other axes


def _positive(log_weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Return normalised log probabilities over the last dimension, none below the smallest positive number."""
    return log_weights.log_softmax(-1).clamp_min(math.log(torch.finfo(dtype).tiny))


class AutoCategorical(Guide):
    """Independent categorical guide, ``q(d) = Categorical(softmax(logits))`` for each axis of the model.

    Args:
        model: The model. The guide of a model without axes is empty.
    """

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: (len(axis),) for name, axis in self.space.items()}

    def conditionals(self) -> list[Float[Tensor, "*replicate size"]]:
        """Return ``log q`` of each axis, in nats."""
        return [self.logits[axis].log_softmax(-1) for axis in self.space]

    def log_probs(self, x: Tensor | None = None) -> dict[str, Float[Tensor, "*replicate size"]]:
        """Return ``log q`` of each entry of each axis, in nats."""
        return dict(zip(self.space, self.conditionals(), strict=True))

    @torch.no_grad()
    def follow(self, log_weights: Float[Tensor, "*replicate_and_axes"]) -> None:
        """Make one sweep of coordinate ascent towards given weights; with one axis ``q`` becomes equal to them.

        Args:
            log_weights: Logarithms of weights that need not sum to one, ``(*batch_shape, *sizes)``, nats.
        """
        leading, sizes = len(self.batch_shape), self.space.sizes
        finite = log_weights.clamp_min(NEVER)
        for place, axis in enumerate(self.space):
            expected = finite
            for other, name in enumerate(self.space):
                if other != place:
                    q = self.logits[name].softmax(-1).to(finite)
                    q = q.reshape(*q.shape[:leading], *(n if i == other else 1 for i, n in enumerate(sizes)))
                    expected = (expected * q).sum(leading + other, keepdim=True)
            self.logits[axis].copy_(_positive(expected.reshape(self.logits[axis].shape), self.logits[axis].dtype))

    @torch.no_grad()
    def set_probs(self, probs: Mapping[str, Float[Tensor, "*replicate size"]]) -> None:
        """Set the marginal of each axis, for example to ``exact_posterior(model, data).probs``.

        Args:
            probs: Probabilities for every axis. A zero becomes the smallest positive number: ``q`` has no zeros.

        Raises:
            ValueError: If an axis is missing or unknown, a size does not fit, or the values are not probabilities.
        """
        expected = {axis: tuple(logits.shape) for axis, logits in self.logits.items()}
        given = {axis: tuple(p.shape) for axis, p in probs.items()}
        if given != expected:
            raise ValueError(f"Expected probabilities for the axes and shapes {expected}, got {given}.")
        for axis, p in probs.items():
            if not bool((p >= 0).all()) or float((p.sum(-1) - 1).abs().max()) > SUM_TOLERANCE:
                raise ValueError(f"Expected probabilities of {axis!r} that sum to one, got {p.tolist()}.")
        for axis, p in probs.items():
            smallest = torch.finfo(self.logits[axis].dtype).tiny
            self.logits[axis].copy_(p.to(self.logits[axis]).clamp_min(smallest).log())


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
        for axis, log_probs in zip(self.space, _chain(self._table(log_weights), len(self.space)), strict=True):
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

    def joint_log_probs(self, x: Tensor | None = None) -> Float[Tensor, "*replicate_and_axes"]:
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
            self.logits["joint"].copy_(self._table(log_weights))

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


def guide_or_empty(model: VDSModel, guide: Guide | None) -> Guide:
    """Return the guide, or the empty guide of a model without axes.

    Raises:
        ValueError: If ``guide`` is ``None`` for a model with axes, or belongs to other axes.
    """
    if guide is None and model.space:
        raise ValueError(
            f"Expected a guide for the model's axes {list(model.axes)}, got None. Make one with "
            "pyro_vds.AutoCategorical(model)."
        )
    if guide is None:
        return AutoCategorical(model)
    guide.require_space(model.space)
    if guide.batch_shape != model.batch_shape:
        raise ValueError(
            f"Expected a guide for the model's batch_shape {tuple(model.batch_shape)}, got a guide for "
            f"{tuple(guide.batch_shape)}. Make one with pyro_vds.AutoCategorical(model)."
        )
    return guide
