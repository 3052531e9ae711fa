"""The Pyro model: a categorical latent for each axis of the backbone, and a plate of data."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from typing import cast

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro.nn import PyroModule
from pyro.ops.indexing import Vindex
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor, nn

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.likelihoods.classification import Classification
from pyro_vds.ops.tensors import outer_sum
from pyro_vds.priors.base import PriorLike, as_categorical, priors_by_axis
from pyro_vds.priors.families import Geometric
from pyro_vds.priors.learnt import LearntPriors
from pyro_vds.spaces.backbone import Backbone
from pyro_vds.spaces.typing import Inputs, Outputs


class VDSModel(PyroModule):
    """Bayesian model over the architectures that a backbone computes (paper, section 2).

    ``p(d) = Categorical(beta)`` for each axis, and ``p(y | x, d) = likelihood(backbone(x)[d])`` for each
    point of a plate ``"data"`` of ``num_data`` points. The sample sites carry the names of the axes, and
    ``"obs"``.

    The weights are ordinary ``torch.nn.Parameter`` s and stay out of Pyro's global store, where two models
    would share them by name. Train with :func:`pyro_vds.fit`, or with :func:`pyro_vds.enum_elbo` and a torch
    optimiser; ``pyro.infer.SVI``, which finds parameters through the store, gets an error.

    Args:
        backbone: A module with ``axes``, ``sizes`` and ``forward``; see :class:`pyro_vds.typing.Backbone`. With
            :class:`pyro_vds.Replicated`, the model has a plate ``"replicate"`` around everything.
        priors: One prior for every axis, or a mapping with one for each. A prior is an object of
            :mod:`pyro_vds.priors` or a ``pyro.distributions.Categorical`` of the axis's size. ``None`` is
            the paper's ``Geometric(0.85)``.
        likelihood: ``Classification()`` unless given.
        num_data: Number of training points ``N``; a batch is rescaled to it.
        learn_prior: Whether the parameters of the priors (``decay``, ``rate``, ...) are learnt with the weights, from
            where the priors have them (empirical Bayes); :meth:`fitted_prior` returns what came out.
        per_input: Whether each point has an architecture of its own, drawn in the plate of data, for
            :class:`pyro_vds.AutoPerInput`; otherwise one is drawn for all.

    Raises:
        TypeError: If the backbone lacks a member, or a prior is not one.
        ValueError: If ``num_data`` is not positive, the priors do not fit the axes, or have nothing to learn.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        priors: PriorLike | Mapping[str, PriorLike] | None = None,
        likelihood: Likelihood | None = None,
        num_data: int,
        learn_prior: bool = False,
        per_input: bool = False,
    ) -> None:
        super().__init__()
        self.axes, self.sizes = _checked_axes(backbone)
        self.coords: dict[str, tuple[int, ...]] = {
            axis: tuple(range(size)) for axis, size in zip(self.axes, self.sizes, strict=True)
        } | getattr(backbone, "coords", {})
        self.replicates: int | None = getattr(backbone, "replicates", None)
        _check_num_data(num_data)
        self._modules["backbone"] = backbone
        likelihood = _checked_likelihood(likelihood)
        self._modules["likelihood"] = likelihood if self.replicates is None else likelihood.replicated(self.replicates)
        self.num_data = int(num_data)
        self.per_input = per_input
        self.autocast: torch.dtype | None = None
        self.priors = priors_by_axis(Geometric() if priors is None else priors, self.axes)
        for (axis, prior), size in zip(self.priors.items(), self.sizes, strict=True):
            logits = as_categorical(prior, size, axis).logits
            self.register_buffer(f"prior_logits_{axis}", logits.to(self.device_tensor()))
        if learn_prior and self.replicates is not None:
            raise ValueError("Expected learn_prior=False for replicates, which share one prior.")
        self._modules["learnt_priors"] = LearntPriors(self.priors, self.sizes) if learn_prior else nn.ModuleDict()
        self._modules["learnt_priors"].to(self.device_tensor())

    # Properties, because looking a child up through PyroModule registers its parameters in the global store.
    @property
    def backbone(self) -> nn.Module:
        """The network."""
        return cast(nn.Module, self._modules["backbone"])

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood."""
        return cast(Likelihood, self._modules["likelihood"])

    def prior(self, axis: str) -> dist.Categorical:
        """Return the prior over an axis.

        Args:
            axis: One of ``axes``.
        """
        return dist.Categorical(logits=self.prior_logits(axis))

    def prior_logits(self, axis: str) -> Float[Tensor, " size"]:
        """Return the log prior of each entry of an axis, in nats."""
        learnt = self._modules["learnt_priors"]
        if isinstance(learnt, LearntPriors):
            return learnt.log_probs(axis).to(self.get_buffer(f"prior_logits_{axis}"))
        return self.get_buffer(f"prior_logits_{axis}")

    def fitted_prior(self, axis: str) -> PriorLike:
        """Return the prior over an axis, with the parameters that were learnt, if any were.

        Args:
            axis: One of ``axes``.
        """
        learnt = self._modules["learnt_priors"]
        return learnt.fitted(axis) if isinstance(learnt, LearntPriors) else self.priors[axis]

    def log_prior(self) -> Float[Tensor, "*axes"]:
        """Return the log prior over the product of all axes, shape ``sizes``, in nats."""
        return outer_sum([self.prior_logits(axis) for axis in self.axes]).to(self.device_tensor().device)

    def device_tensor(self) -> Tensor:
        """Return a zero on the model's device and in the dtype of its weights."""
        parameter = next((p for p in self.parameters() if p.is_floating_point()), None)
        return torch.zeros(()) if parameter is None else parameter.new_zeros(())

    def forward(self, x: Inputs, y: Tensor | None = None) -> Tensor:
        """Run the generative model.

        Args:
            x: A batch of inputs ``(batch, ...)``; ``(replicate, batch, ...)`` for a replicated backbone.
            y: Their targets, or ``None`` to sample them. With targets the plate rescales the batch to
                ``num_data`` points.

        Returns:
            The targets, observed or sampled.

        Raises:
            RuntimeError: If it runs under ``pyro.infer.SVI``.
        """
        refuse_svi()
        with replicate_plate(self.replicates) as copies:
            choice = [] if self.per_input else self._choice()
            outputs = self._read_out(x)
            batch = x.shape[len(copies)]
            points = torch.arange(batch, device=outputs.device)
            size = batch if y is None else self.num_data
            with pyro.plate("data", size, dim=-1, subsample=points):
                choice = self._choice() if self.per_input else choice
                if choice:
                    outputs = _chosen(outputs, choice, [*(c.to(points.device)[:, None] for c in copies), points])
                return pyro.sample("obs", self.likelihood(outputs), obs=y)

    def _choice(self) -> list[Tensor]:
        """Draw an entry of each axis."""
        return [pyro.sample(axis, self.prior(axis)) for axis in self.axes]

    def outputs(self, x: Inputs) -> Outputs:
        """Return the outputs of every architecture, axes flattened: ``(architecture, *replicate, batch, *event)``."""
        outputs = self._read_out(x)
        return outputs.flatten(0, len(self.axes) - 1) if self.axes else outputs[None]

    def _read_out(self, x: Inputs) -> Tensor:
        """Run the backbone in its own precision; its outputs have the type of the weights."""
        if self.autocast is None:
            return self.backbone(x)
        with torch.autocast(x.device.type, self.autocast):
            outputs = self.backbone(x)
        return outputs.to(self.device_tensor().dtype)


def _chosen(outputs: Tensor, choice: list[Tensor], points: list[Tensor]) -> Tensor:
    """Return the outputs of the chosen architecture at each point.

    Where Pyro enumerates all axes, each in a dimension next to the last, every architecture is chosen once: the
    axes then only change places, without a gather, whose backward pass is a slow scatter.
    """
    order = sorted(range(len(choice)), key=lambda axis: -choice[axis].ndim)
    enumerated = all(hasattr(index, "_pyro_categorical_support") for index in choice)  # Pyro's own mark
    innermost = [choice[axis].ndim for axis in reversed(order)] == [len(points) + 1 + i for i in range(len(choice))]
    if enumerated and innermost:
        return outputs.permute(*order, *range(len(choice), outputs.ndim))
    return Vindex(outputs)[(*choice, *points)]


def refuse_svi() -> None:
    """Raise if parameters are being collected through Pyro's store, where none of ours is."""
    if any(getattr(handler, "param_only", False) for handler in _PYRO_STACK):
        raise RuntimeError(
            "Expected training with pyro_vds.fit or pyro_vds.enum_elbo and a torch optimiser, got pyro.infer.SVI: "
            "it finds parameters through Pyro's global store, where these are not, and would train nothing."
        )


@contextmanager
def replicate_plate(replicates: int | None) -> Iterator[list[Tensor]]:
    """Open the plate of replicates, to the left of the data; yields their numbers, in a list that may be empty."""
    if replicates is None:
        yield []
    else:
        with pyro.plate("replicate", replicates, dim=-2) as copies:
            yield [cast(Tensor, copies)]


def _checked_axes(backbone: nn.Module) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return the axes and sizes of a backbone."""
    if not (isinstance(backbone, nn.Module) and isinstance(backbone, Backbone)):
        raise TypeError(
            f"Expected a torch.nn.Module with the attributes 'axes' and 'sizes', got "
            f"{type(backbone).__name__}. Wrap stem, blocks and head in pyro_vds.PerDepth."
        )
    if len(backbone.axes) != len(backbone.sizes):
        raise ValueError(f"Expected one size for each axis, got axes={backbone.axes} and sizes={backbone.sizes}.")
    return tuple(backbone.axes), tuple(backbone.sizes)


def _check_num_data(num_data: int) -> None:
    if isinstance(num_data, bool) or not isinstance(num_data, Integral):
        raise TypeError(f"Expected num_data, the number of training points, as an int; got {num_data!r}.")
    if num_data < 1:
        raise ValueError(f"Expected num_data, the number of training points, to be positive; got {num_data}.")


def _checked_likelihood(likelihood: Likelihood | None) -> Likelihood:
    if likelihood is None:
        return Classification()
    if not isinstance(likelihood, Likelihood):
        raise TypeError(
            f"Expected a likelihood such as pyro_vds.likelihoods.Classification(), got {likelihood!r}. Derive your "
            "own from pyro_vds.likelihoods.Likelihood."
        )
    return likelihood
