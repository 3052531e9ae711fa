"""The Pyro model: a categorical latent for each axis of the backbone, and a plate of data."""

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import pyro
import pyro.poutine as poutine
import torch
from torch import Tensor, nn

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.models.arguments import check_num_data, checked_likelihood, checked_space
from pyro_vds.models.sites import batch_plates, chosen, draw_sites, enters_store, run_given
from pyro_vds.models.with_data import WithData
from pyro_vds.ops.compat import held, hold
from pyro_vds.ops.inputs import device_of, expanded, points
from pyro_vds.ops.tensors import at_least_float32
from pyro_vds.priors.base import PriorLike
from pyro_vds.priors.learnt import LearntPriors
from pyro_vds.spaces.axis import DATA, Plate
from pyro_vds.spaces.typing import Array, Inputs, InputsLike, Outputs, TargetsLike

ONE_OR_SOME = "Draw some with pyro_vds.drawn(model, guide, samples=40), or take one with pyro_vds.prune."


class VDSModel(WithData):
    """Bayesian model over the architectures that a backbone computes (paper, section 2).

    ``p(d) = Categorical(beta)`` for each axis, and ``p(y | x, d) = likelihood(backbone(x)[d])`` for each
    point of a plate ``"data"`` of ``num_data`` points. The sample sites have the names of the axes, and ``"obs"``.

    The weights are ordinary ``torch.nn.Parameter`` s. Train with :func:`pyro_vds.fit`, or with
    :func:`pyro_vds.enum_elbo` and a torch optimiser, which leave Pyro's global store alone. Under ``pyro.infer.SVI``,
    which finds parameters through the store, model and guide enter theirs, each under a name of its own
    (``VDSModel_0``, ``AutoCategorical_0``), so that two models do not meet.

    Args:
        backbone: A module with ``space``, ``restrict`` and ``forward``; see :class:`pyro_vds.Backbone`. With
            :class:`pyro_vds.Replicated`, the model has an outer plate ``"replicate"``.
        priors: One prior for all axes, or a mapping with a prior for each. A prior is an object of
            :mod:`pyro_vds.priors` or a ``pyro.distributions.Categorical`` of the axis's size. ``None`` is
            the paper's ``Geometric(0.85)``, and ``Uniform()`` for an axis with sites.
        likelihood: The likelihood; ``None`` is ``Classification()``.
        num_data: Number of training points ``N``; a batch is rescaled to it. With weights it stays the number of
            points, and the sum of the weights is how many points the posterior counts.
        learn_prior: Whether the parameters of the priors, such as ``decay`` or ``rate``, are learnt with the weights,
            starting from the given values (empirical Bayes); :meth:`fitted_prior` returns the learnt prior.
        plate: :data:`pyro_vds.DATA` draws an architecture for each input, for :class:`pyro_vds.AutoPerInput`;
            ``None`` keeps the plates of the backbone's space, usually none: one architecture for all inputs.

    Attributes:
        space: The space of architectures.
        batch_shape: ``(n,)`` for ``n`` replicates, otherwise empty; it leads inputs, targets and results.

    Raises:
        TypeError: If ``backbone`` is not a backbone, or an argument is not a prior or a likelihood.
        ValueError: If ``num_data`` is not positive, the priors do not fit the axes or have nothing to learn, or an axis
            is neither read out nor has sites.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        priors: PriorLike | Mapping[str, PriorLike] | None = None,
        likelihood: Likelihood | None = None,
        num_data: int,
        learn_prior: bool = False,
        plate: Plate | None = None,
    ) -> None:
        super().__init__()
        self.space = checked_space(backbone, plate)
        self.batch_shape = torch.Size(getattr(backbone, "batch_shape", ()))
        check_num_data(num_data)
        hold(self, "backbone", backbone)
        likelihood = checked_likelihood(likelihood)
        hold(self, "likelihood", likelihood.replicated(self.batch_shape) if self.batch_shape else likelihood)
        self.num_data = int(num_data)
        self.autocast: torch.dtype | None = None
        self._keep_priors(priors)
        if learn_prior and (self.batch_shape or self.space.with_sites):
            raise ValueError("Expected learn_prior=False for replicates and for axes with sites, got True.")
        learnt = LearntPriors(self.priors, self.sizes) if learn_prior else nn.ModuleDict()
        hold(self, "learnt_priors", learnt.to(self.table_tensor()))

    @property
    def by_input(self) -> bool:
        """Whether each input has its own architecture."""
        return DATA in self.space.plates

    # Properties, because access to a child through PyroModule would register its parameters in the global store,
    # without SVI too, and under names that two models share.
    @property
    def backbone(self) -> Any:
        """The network: a module that is a :class:`pyro_vds.Backbone`."""
        return held(self, "backbone")

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood."""
        return held(self, "likelihood")

    def forward(self, x: InputsLike, y: TargetsLike | None = None, weight: Array | None = None) -> Tensor:
        """Run the generative model.

        Args:
            x: A batch of inputs ``(*batch_shape, batch, ...)``; several as a tuple or a dict.
            y: The targets; the plate then rescales the batch to ``num_data`` points. ``None`` samples targets.
            weight: The weight of each point ``(*batch_shape, batch)``, which multiplies its log likelihood; ``None`` is
                1 for each.

        Returns:
            The targets, observed or sampled.

        Raises:
            RuntimeError: If the model runs under ``pyro.infer.SVI``, and has axes with sites or meets other tensors
                in the store under its names.
        """
        enters_store(self, self.space)
        inputs, y, scale = self.as_inputs(x), None if y is None else self.as_targets(y), self.as_weights(weight)
        with batch_plates(self.batch_shape) as copies:
            given = {name: draw_sites(axis, self.prior(name)) for name, axis in self.space.with_sites.items()}
            rows = [torch.arange(len(entries)) for entries in given.values() if entries.ndim > 1][:1]
            choice = self._draw(None)
            outputs = self._read_out(inputs, given)
            batch = points(inputs, len(self.batch_shape))
            places = torch.arange(batch, device=outputs.device)
            size = batch if y is None else self.num_data
            with pyro.plate("data", size, dim=-1, subsample=places):
                choice |= self._draw(DATA)
                if choice:
                    members = [*(c.to(places.device)[:, None] for c in (*copies, *rows)), places]
                    outputs = chosen(outputs, [choice[axis] for axis in self.axes if axis in choice], members)
                with nullcontext() if scale is None else poutine.scale(scale=scale):
                    return pyro.sample("obs", self.likelihood(outputs), obs=y)

    def _draw(self, plate: Plate | None) -> dict[str, Tensor]:
        """Draw an entry of each axis of a plate."""
        names = [name for name, axis in self.space.items() if axis.plate == plate]
        return {name: pyro.sample(name, self.prior(name)) for name in names}

    def outputs(self, x: InputsLike) -> Outputs:
        """Return the outputs of every architecture, axes flattened: ``(architecture, *batch_shape, batch, *event)``.

        They are in float32 at least, also of a network whose weights have 16 bit.

        Raises:
            ValueError: If there are more than 65,536 architectures.
        """
        self.space.require_table("in one pass", ONE_OR_SOME)
        outputs = self._read_out(self.as_inputs(x))
        return outputs.flatten(0, len(self.space) - 1) if self.space else outputs[None]

    def shared(self, x: Inputs) -> Any:
        """Return inputs or targets expanded to all replicates, ``(*batch_shape, N, ...)``.

        Args:
            x: Inputs or targets ``(N, ...)``.
        """
        return expanded(x, self.batch_shape)

    @torch.no_grad()
    def replicate(self, index: int) -> "VDSModel":
        """Return the model of one replicate, as an independent copy.

        Args:
            index: Number of the replicate, ``0..n-1``.

        Raises:
            IndexError: If there is no such replicate.
            ValueError: If the model has no replicates.
        """
        if not self.batch_shape:
            raise ValueError(
                "Expected a model with replicates, built from pyro_vds.Replicated(backbone, n), got a single model."
            )
        if not 0 <= index < self.batch_shape[0]:
            raise IndexError(f"Expected a replicate in 0..{self.batch_shape[0] - 1}, got {index}.")
        backbone = self.backbone.copy(index)
        likelihood = self.likelihood.single(index)
        single = VDSModel(backbone, priors=self.priors, likelihood=likelihood, num_data=self.num_data)
        return single.train(self.training)

    def with_backbone(self, backbone: nn.Module) -> "VDSModel":
        """Return this model with another backbone, which has the same space: priors and likelihood are shared.

        A guide of this model is one of the other too. The backbone is moved to this model's device.

        Args:
            backbone: For example the network whose features :func:`pyro_vds.probe` stored.

        Raises:
            TypeError: If ``backbone`` is not a backbone.
            ValueError: If it has another space, or there are replicates.
        """
        plate = DATA if self.by_input else None
        space = checked_space(backbone, plate)
        if space != self.space or self.batch_shape or getattr(backbone, "batch_shape", ()):
            raise ValueError(
                f"Expected a backbone with this model's space {self.space}, and no replicates in either; got {space}."
            )
        shared = {"priors": self.priors, "likelihood": self.likelihood, "num_data": self.num_data, "plate": plate}
        other = VDSModel(backbone.to(self.device_tensor().device), **shared)
        hold(other, "learnt_priors", held(self, "learnt_priors"))
        return other.train(self.training)

    def _read_out(self, x: Inputs, given: Mapping[str, Tensor] | None = None) -> Tensor:
        """Run the backbone in its autocast precision, and return outputs in the dtype of weights, float32 at least."""
        run = partial(run_given, self.backbone, self.space, given, self.whole) if given else self.backbone
        with nullcontext() if self.autocast is None else torch.autocast(device_of(x).type, self.autocast):
            outputs = run(x)
        return at_least_float32(outputs) if self.autocast is None else outputs.to(self.table_tensor().dtype)
