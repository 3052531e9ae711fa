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
from pyro_vds.models.sites import batch_plates, chosen, draw_sites, require_no_svi, run_given
from pyro_vds.models.with_priors import WithPriors
from pyro_vds.ops.compat import held, hold
from pyro_vds.priors.base import PriorLike
from pyro_vds.priors.learnt import LearntPriors
from pyro_vds.spaces.axis import DATA, Plate
from pyro_vds.spaces.typing import Inputs, Outputs

ONE_OR_SOME = "Draw some with pyro_vds.drawn(model, guide, samples=40), or take one with pyro_vds.prune."


class VDSModel(WithPriors):
    """Bayesian model over the architectures that a backbone computes (paper, section 2).

    ``p(d) = Categorical(beta)`` for each axis, and ``p(y | x, d) = likelihood(backbone(x)[d])`` for each
    point of a plate ``"data"`` of ``num_data`` points. The sample sites have the names of the axes, and ``"obs"``.

    The weights are ordinary ``torch.nn.Parameter`` s outside Pyro's global store, in which two models would share
    them by name. Train with :func:`pyro_vds.fit`, or with :func:`pyro_vds.enum_elbo` and a torch optimiser;
    ``pyro.infer.SVI`` finds parameters through the store, and raises an error.

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
        hold(self, "learnt_priors", learnt.to(self.device_tensor()))

    @property
    def by_input(self) -> bool:
        """Whether each input has its own architecture."""
        return DATA in self.space.plates

    # Properties, because access to a child through PyroModule would register its parameters in the global store.
    @property
    def backbone(self) -> Any:
        """The network: a module that is a :class:`pyro_vds.Backbone`."""
        return held(self, "backbone")

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood."""
        return held(self, "likelihood")

    def forward(self, x: Inputs, y: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Run the generative model.

        Args:
            x: A batch of inputs ``(*batch_shape, batch, ...)``.
            y: The targets; the plate then rescales the batch to ``num_data`` points. ``None`` samples targets.
            weight: The weight of each point ``(*batch_shape, batch)``, which multiplies its log likelihood; ``None`` is
                1 for each.

        Returns:
            The targets, observed or sampled.

        Raises:
            RuntimeError: If the model runs under ``pyro.infer.SVI``.
        """
        require_no_svi()
        with batch_plates(self.batch_shape) as copies:
            given = {name: draw_sites(axis, self.prior(name)) for name, axis in self.space.with_sites.items()}
            rows = [torch.arange(len(entries)) for entries in given.values() if entries.ndim > 1][:1]
            choice = self._draw(None)
            outputs = self._read_out(x, given)
            batch = x.shape[len(self.batch_shape)]
            points = torch.arange(batch, device=outputs.device)
            size = batch if y is None else self.num_data
            with pyro.plate("data", size, dim=-1, subsample=points):
                choice |= self._draw(DATA)
                if choice:
                    members = [*(c.to(points.device)[:, None] for c in (*copies, *rows)), points]
                    outputs = chosen(outputs, [choice[axis] for axis in self.axes if axis in choice], members)
                with nullcontext() if weight is None else poutine.scale(scale=weight):
                    return pyro.sample("obs", self.likelihood(outputs), obs=y)

    def _draw(self, plate: Plate | None) -> dict[str, Tensor]:
        """Draw an entry of each axis of a plate."""
        names = [name for name, axis in self.space.items() if axis.plate == plate]
        return {name: pyro.sample(name, self.prior(name)) for name in names}

    def outputs(self, x: Inputs) -> Outputs:
        """Return the outputs of every architecture, axes flattened: ``(architecture, *batch_shape, batch, *event)``.

        Raises:
            ValueError: If there are more than 65,536 architectures.
        """
        self.space.require_table("in one pass", ONE_OR_SOME)
        outputs = self._read_out(x)
        return outputs.flatten(0, len(self.space) - 1) if self.space else outputs[None]

    def shared(self, tensor: Tensor) -> Tensor:
        """Return inputs or targets expanded to all replicates, ``(*batch_shape, N, ...)``.

        Args:
            tensor: Inputs or targets ``(N, ...)``.

        Raises:
            TypeError: If ``tensor`` is not a tensor.
        """
        if not isinstance(tensor, Tensor):
            raise TypeError(f"Expected a torch tensor, got {type(tensor).__name__}. Use torch.as_tensor.")
        return tensor.expand(*self.batch_shape, *tensor.shape)

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

    def _read_out(self, x: Inputs, given: Mapping[str, Tensor] | None = None) -> Tensor:
        """Run the backbone in its autocast precision, and return outputs in the dtype of the weights."""
        run = partial(run_given, self.backbone, self.space, given, self.whole) if given else self.backbone
        with nullcontext() if self.autocast is None else torch.autocast(x.device.type, self.autocast):
            outputs = run(x)
        return outputs if self.autocast is None else outputs.to(self.device_tensor().dtype)
