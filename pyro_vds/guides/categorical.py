"""Guides: the variational posterior ``q`` over architectures, enumerated exactly."""

from collections.abc import Mapping
from itertools import pairwise
from typing import cast

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.nn import PyroModule
from pyro.ops.indexing import Vindex
from torch import Tensor, nn

from pyro_vds.models.vds_model import VDSModel, refuse_svi, replicate_plate
from pyro_vds.ops.tensors import outer_sum

SUM_TOLERANCE = 1e-4


class Guide(PyroModule):
    """A categorical guide over the axes of a model, ``q(a_1) q(a_2 | a_1) ...``, enumerated in parallel.

    The parameters are ``torch.nn.Parameter`` s that start at zero, which makes ``q`` uniform. Pyro enumerates every
    site, so that the ELBO is exact (paper, eq. 1).

    Args:
        model: The model whose axes the guide covers. A model without axes has an empty guide.
    """

    def __init__(self, model: VDSModel) -> None:
        super().__init__()
        self.axes = model.axes
        self.sizes = model.sizes
        self.replicates = model.replicates
        like = model.device_tensor()
        rows = () if self.replicates is None else (self.replicates,)
        logits = {name: nn.Parameter(like.new_zeros(*rows, *shape)) for name, shape in self._shapes().items()}
        self._modules["logits"] = nn.ParameterDict(logits)

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of the logits of one replicate, by name."""
        raise NotImplementedError

    def conditionals(self) -> list[Tensor]:
        """Return the log probabilities of each axis, ``(*replicate, *given, size)``, in nats.

        ``given`` are the sizes of the axes before it, or nothing where it does not depend on them.
        """
        raise NotImplementedError

    @property
    def logits(self) -> nn.ParameterDict:
        """The variational logits; a property for the reason given in ``VDSModel``."""
        return cast(nn.ParameterDict, self._modules["logits"])

    def forward(self, x: Tensor | None = None, y: Tensor | None = None) -> dict[str, Tensor]:
        """Sample each axis, or enumerate it under ``TraceEnum_ELBO``.

        Args:
            x: Ignored; Pyro calls the guide with the model's arguments.
            y: Ignored.

        Returns:
            The sampled index of each axis.
        """
        refuse_svi()
        choices: dict[str, Tensor] = {}
        with replicate_plate(self.replicates) as copies:
            for axis, log_probs in zip(self.axes, self.conditionals(), strict=True):
                # One row for each replicate, the same for all of its data.
                rows = [copy.to(log_probs.device)[:, None] for copy in copies]
                if log_probs.ndim > len(rows) + 1:
                    log_probs = Vindex(log_probs)[(*rows, *choices.values())]
                elif rows:
                    log_probs = log_probs[:, None]
                choices[axis] = pyro.sample(axis, dist.Categorical(logits=log_probs), infer={"enumerate": "parallel"})
        return choices

    def log_probs(self, x: Tensor | None = None) -> dict[str, Float[Tensor, "*replicate size"]]:
        """Return the marginal ``log q`` of each entry of each axis, in nats.

        Args:
            x: Inputs, of which a guide that looks at them returns the mean; ignored by the others.
        """
        joint, axes = self.joint_log_probs(x), range(-len(self.axes), 0)
        return {
            name: joint.logsumexp([other for other in axes if other != axis]) if len(axes) > 1 else joint
            for name, axis in zip(self.axes, axes, strict=True)
        }

    def probs(self, x: Tensor | None = None) -> dict[str, Float[Tensor, "*replicate size"]]:
        """Return the marginal ``q`` of each axis, for example ``{"depth": (D + 1,)}``; detached.

        Args:
            x: Inputs, of which a guide that looks at them returns the mean; ignored by the others.
        """
        return {axis: log_prob.detach().exp() for axis, log_prob in self.log_probs(x).items()}

    def joint_log_probs(self, x: Tensor | None = None) -> Float[Tensor, "*replicate_and_axes"]:
        """Return ``log q`` over the product of all axes, shape ``(*replicate, *sizes)``, in nats."""
        return self._joined(self.conditionals())

    def joint_probs(self) -> Float[Tensor, "*replicate_and_axes"]:
        """Return ``q`` over the product of all axes, shape ``(*replicate, *sizes)``; detached."""
        return self.joint_log_probs().detach().exp()

    def kl(self, model: VDSModel, x: Tensor | None = None) -> Float[Tensor, "*replicate"]:
        """Return ``KL(q || p)`` from the model's prior, in nats (the second term of the paper's eq. 1).

        Args:
            model: The model.
            x: Inputs, for a guide that looks at them; ignored by the others.
        """
        log_q = self.joint_log_probs()
        terms = log_q.exp() * (log_q - model.log_prior())
        return terms.flatten(-len(self.axes)).sum(-1) if self.axes else terms

    @torch.no_grad()
    def single(self, model: VDSModel, replicate: int) -> "Guide":
        """Return the guide of one replicate, as a copy.

        Args:
            model: The model of that replicate.
            replicate: Its number.
        """
        single = type(self)(model)
        for name, logits in single.logits.items():
            logits.copy_(self.logits[name][replicate])
        return single

    def _joined(self, conditionals: list[Tensor]) -> Tensor:
        """Return the product of conditional probabilities, in log space."""
        joint = outer_sum([])
        rows = 0 if self.replicates is None else 1
        for log_probs in conditionals:
            depends = log_probs.ndim > rows + 1
            earlier = joint.ndim - rows if joint.ndim else 0
            shape = log_probs.shape if depends else (*log_probs.shape[:rows], *[1] * earlier, log_probs.shape[-1])
            joint = joint[..., None] + log_probs.reshape(shape)
        return joint


class AutoCategorical(Guide):
    """Independent categorical guide, ``q(d) = Categorical(softmax(logits))`` for each axis of the model.

    Args:
        model: The model whose axes the guide covers. A model without axes has an empty guide.
    """

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {axis: (size,) for axis, size in zip(self.axes, self.sizes, strict=True)}

    def conditionals(self) -> list[Float[Tensor, "*replicate size"]]:
        """Return ``log q`` of each axis, in nats."""
        return [self.logits[axis].log_softmax(-1) for axis in self.axes]

    def log_probs(self, x: Tensor | None = None) -> dict[str, Float[Tensor, "*replicate size"]]:
        """Return ``log q`` of each entry of each axis, in nats."""
        return dict(zip(self.axes, self.conditionals(), strict=True))

    @torch.no_grad()
    def set_probs(self, probs: Mapping[str, Float[Tensor, "*replicate size"]]) -> None:
        """Set the marginal of each axis, for example to ``exact_posterior(model, data).probs``.

        Args:
            probs: Probabilities for every axis. A zero becomes the smallest positive number: ``q`` has no zeros.

        Raises:
            ValueError: If an axis is missing or unknown, a size does not fit, or the values are no probabilities.
        """
        expected = {axis: tuple(logits.shape) for axis, logits in self.logits.items()}
        came = {axis: tuple(p.shape) for axis, p in probs.items()}
        if came != expected:
            raise ValueError(f"Expected probabilities for the axes and shapes {expected}, got {came}.")
        for axis, p in probs.items():
            if not bool((p >= 0).all()) or float((p.sum(-1) - 1).abs().max()) > SUM_TOLERANCE:
                raise ValueError(f"Expected probabilities of {axis!r} that sum to one, got {p.tolist()}.")
        for axis, p in probs.items():
            smallest = torch.finfo(self.logits[axis].dtype).tiny
            self.logits[axis].copy_(p.to(self.logits[axis]).clamp_min(smallest).log())


class AutoConditionalCategorical(Guide):
    """Each axis given those before it, ``q(depth) q(width | depth) ...``: exact, and free in the joint table.

    ``logits[axis]`` has shape ``(*sizes of the axes before it, size)``.

    Args:
        model: The model whose axes the guide covers.
    """

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {axis: self.sizes[: i + 1] for i, axis in enumerate(self.axes)}

    def conditionals(self) -> list[Float[Tensor, "..."]]:
        """Return ``log q`` of each axis given those before it, in nats."""
        return [self.logits[axis].log_softmax(-1) for axis in self.axes]

    @torch.no_grad()
    def set_joint_probs(self, probs: Float[Tensor, "*replicate_and_axes"]) -> None:
        """Set the whole table, for example to ``exact_posterior(model, data).log_joint_probs.exp()``.

        Args:
            probs: Probabilities over the product of the axes. A zero becomes the smallest positive number.

        Raises:
            ValueError: If the shape does not fit, or the values are no probabilities.
        """
        for axis, log_probs in zip(self.axes, _chain(_checked_table(probs, self), len(self.axes)), strict=True):
            self.logits[axis].copy_(log_probs)


class AutoJointCategorical(Guide):
    """One table over the product of all axes, ``q(depth, width) = softmax(logits)``.

    The same family as :class:`AutoConditionalCategorical`; the gradients differ, as each logit is one architecture.

    Args:
        model: The model whose axes the guide covers.
    """

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {"joint": self.sizes} if self.axes else {}

    def conditionals(self) -> list[Float[Tensor, "..."]]:
        """Return ``log q`` of each axis given those before it, in nats."""
        return _chain(self.joint_log_probs(), len(self.axes)) if self.axes else []

    def joint_log_probs(self, x: Tensor | None = None) -> Float[Tensor, "*replicate_and_axes"]:
        """Return ``log q`` over the product of all axes, shape ``(*replicate, *sizes)``, in nats."""
        if not self.axes:
            return outer_sum([])
        table = self.logits["joint"]
        return table.flatten(-len(self.axes)).log_softmax(-1).view_as(table)

    @torch.no_grad()
    def set_joint_probs(self, probs: Float[Tensor, "*replicate_and_axes"]) -> None:
        """Set the whole table, for example to ``exact_posterior(model, data).log_joint_probs.exp()``.

        Args:
            probs: Probabilities over the product of the axes. A zero becomes the smallest positive number.

        Raises:
            ValueError: If the shape does not fit, or the values are no probabilities.
        """
        self.logits["joint"].copy_(_checked_table(probs, self))


def _chain(log_joint: Tensor, axes: int) -> list[Tensor]:
    """Return the log probabilities of each axis given those before it."""
    marginals = [log_joint.logsumexp(list(range(i + 1 - axes, 0))) if i + 1 < axes else log_joint for i in range(axes)]
    return [marginals[0], *(after - before[..., None] for before, after in pairwise(marginals))]


def _checked_table(probs: Tensor, guide: Guide) -> Tensor:
    """Return the logarithm of a table of probabilities that fits a guide."""
    expected = (*([] if guide.replicates is None else [guide.replicates]), *guide.sizes)
    if tuple(probs.shape) != expected:
        raise ValueError(
            f"Expected probabilities of shape {expected}, for the axes {guide.axes}; got {(*probs.shape,)}."
        )
    sums = probs.flatten(-len(guide.axes)).sum(-1)
    if not bool((probs >= 0).all()) or float((sums - 1).abs().max()) > SUM_TOLERANCE:
        raise ValueError(f"Expected probabilities that sum to one, got a sum of {sums.tolist()}.")
    like = next(guide.parameters())
    return probs.to(like).clamp_min(torch.finfo(like.dtype).tiny).log()


def guide_or_empty(model: VDSModel, guide: Guide | None) -> Guide:
    """Return the guide, or the empty guide of a model without axes.

    Raises:
        ValueError: If ``guide`` is ``None`` for a model that has axes, or belongs to other axes.
    """
    if guide is None and model.axes:
        raise ValueError(
            f"Expected a guide for the model's axes {list(model.axes)}, got None. Make one with "
            "pyro_vds.AutoCategorical(model)."
        )

    def described(owner: VDSModel | Guide) -> str:
        return f"axes {owner.axes} of sizes {owner.sizes} ({owner.replicates or 1} replicates)"

    if guide is not None and described(guide) != described(model):
        raise ValueError(
            f"Expected a guide for the model's {described(model)}, got one for {described(guide)}. Make one with "
            "pyro_vds.AutoCategorical(model)."
        )
    return AutoCategorical(model) if guide is None else guide
