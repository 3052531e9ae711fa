"""The base class of guides: the variational posterior ``q`` over architectures, enumerated exactly."""

from collections.abc import Mapping
from typing import ClassVar

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float, Int
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.nn import PyroModule
from pyro.ops.indexing import Vindex
from torch import Tensor, nn

from pyro_vds.guides.tables import described, joined, require_single
from pyro_vds.guides.weights import Weights, WeightTables
from pyro_vds.models.sites import batch_plates, draw_sites, enters_store
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.compat import ParametersInFloat32, held, hold
from pyro_vds.spaces.space import LIMIT, Architecture, Space
from pyro_vds.spaces.tables import log_marginals
from pyro_vds.spaces.typing import Inputs


class Guide(PyroModule):
    """A categorical guide over the axes of a model, ``q(a_1) q(a_2 | a_1) ...``, enumerated in parallel.

    The parameters are ``torch.nn.Parameter`` s that start at zero: ``q`` starts uniform, in float32 at least. Pyro
    enumerates every axis without sites, so that the ELBO is exact (paper, eq. 1).

    Args:
        model: The model. The guide of a model without axes is empty.

    Raises:
        ValueError: If the model has axes with sites that it does not take.
    """

    takes_sites: ClassVar[bool] = False

    def __init__(self, model: VDSModel) -> None:
        super().__init__()
        if model.space.with_sites and not self.takes_sites:
            raise ValueError(
                f"Expected axes without sites for {type(self).__name__}, got {list(model.space.with_sites)}. Use "
                "pyro_vds.AutoCategorical(model)."
            )
        self.space = model.space
        self.batch_shape = model.batch_shape
        like = model.table_tensor()
        shapes = {name: (*self.batch_shape, *shape) for name, shape in self._shapes().items()}
        logits = {name: nn.Parameter(like.new_zeros(shape)) for name, shape in shapes.items()}
        hold(self, "logits", ParametersInFloat32(logits))
        hold(self, "kept", WeightTables(self.space, self.batch_shape, like))

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of the logits of one replicate, by name."""
        raise NotImplementedError

    def conditionals(self) -> list[Tensor]:
        """Return the log probabilities of each axis without sites, ``(*replicate, *given, size)``, in nats.

        ``given`` are the sizes of the axes before it, and empty if it does not depend on them.
        """
        raise NotImplementedError

    @property
    def logits(self) -> nn.ParameterDict:
        """The variational logits; a property for the reason of those of ``VDSModel``."""
        return held(self, "logits")

    def forward(self, x: Inputs | None = None, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the sampled index of each axis and site, or under ``TraceEnum_ELBO`` enumerate axes without sites.

        Args:
            x: Ignored; Pyro calls the guide with the model's arguments.
            y: Ignored.
        """
        if enters_store(self, self.space):  # SVI is about to change the network
            self.forget_weights()
        choices: dict[str, Tensor] = {}
        with batch_plates(self.batch_shape) as copies:
            for axis, log_probs in zip(self.space.read_out, self.conditionals(), strict=True):
                # One row for each replicate, shared by all of its data.
                rows = [copy.to(log_probs.device)[:, None] for copy in copies]
                if log_probs.ndim > len(rows) + 1:
                    log_probs = Vindex(log_probs)[(*rows, *choices.values())]
                elif rows:
                    log_probs = log_probs[:, None]
                choices[axis] = pyro.sample(axis, dist.Categorical(logits=log_probs), infer={"enumerate": "parallel"})
        return choices | {name: draw_sites(axis, self.over_sites(name)) for name, axis in self.space.with_sites.items()}

    def over_sites(self, axis: str) -> TorchDistributionMixin:
        """Return ``q`` over the entries at all sites of an axis, ``(sites,)``.

        Args:
            axis: An axis with sites.
        """
        raise NotImplementedError

    def sample(self, samples: int) -> dict[str, Int[Tensor, "samples ..."]]:
        """Draw architectures from ``q``, with the generator of torch: entries ``(samples,)``, or ``(samples, sites)``.

        Args:
            samples: Number of draws.
        """
        require_single(self.batch_shape)
        flat = dist.Categorical(logits=self.joint_log_probs().detach().flatten()).sample((samples,))
        return dict(zip(self.space, torch.unravel_index(flat, self.space.sizes), strict=True))

    def log_prob(self, architectures: Mapping[str, Int[Tensor, "samples ..."]]) -> Float[Tensor, " samples"]:
        """Return ``log q`` of architectures, nats; differentiable.

        Args:
            architectures: Entries of each axis, as :meth:`sample` returns them.
        """
        return self.joint_log_probs()[tuple(architectures[axis] for axis in self.space)]

    def mode(self) -> Architecture:
        """Return the labels of an architecture with the largest ``q``."""
        require_single(self.batch_shape)
        return self.space.architecture(int(self.joint_log_probs().argmax()))

    def log_probs(self, x: Inputs | None = None) -> dict[str, Float[Tensor, "*replicate size"]]:
        """Return the marginal ``log q`` of each entry of each axis, in nats.

        Args:
            x: Inputs over which a guide per input averages; other guides ignore them.
        """
        return log_marginals(self.space, self.joint_log_probs(x))

    def probs(self, x: Inputs | None = None) -> dict[str, Float[Tensor, "*replicate size"]]:
        """Return the marginal ``q`` of each axis, for example ``{"depth": (D + 1,)}``; detached.

        Args:
            x: Inputs over which a guide per input averages; other guides ignore them.
        """
        return {axis: log_prob.detach().exp() for axis, log_prob in self.log_probs(x).items()}

    def joint_log_probs(self, x: Inputs | None = None) -> Float[Tensor, "*replicate_and_axes"]:
        """Return ``log q`` over the product of all axes, shape ``(*replicate, *sizes)``, in nats."""
        return joined(self.conditionals(), len(self.batch_shape))

    def joint_probs(self) -> Float[Tensor, "*replicate_and_axes"]:
        """Return ``q`` over the product of all axes, shape ``(*replicate, *sizes)``; detached."""
        return self.joint_log_probs().detach().exp()

    def log_weights(self, name: Weights = "posterior", x: Inputs | None = None) -> Float[Tensor, "*replicate_and_axes"]:
        """Return the log weights of the architectures that have a name, ``(*replicate, *sizes)``, in nats.

        Args:
            name: ``"posterior"``, the guide's ``q``; ``"uniform"``, each architecture the same; ``"stacked"`` or
                ``"exact"``, the weights of :meth:`keep_weights`.
            x: Inputs over which a guide per input averages its posterior; other guides ignore them.

        Raises:
            ValueError: If there are no such weights, or not yet.
        """
        return self.joint_log_probs(x) if name == "posterior" else held(self, "kept").table(name)

    def keep_weights(self, name: Weights, log_weights: Float[Tensor, "..."]) -> None:
        """Keep log weights of the architectures under a name, beside ``q``; they are part of the guide's state.

        They belong to the network as it is: :func:`pyro_vds.fit` and ``SVI`` forget them, and ``fit`` with validation
        data leaves stacked ones. After any other change of the network keep them again, or :meth:`forget_weights`.

        Args:
            name: ``"stacked"``, those of :func:`pyro_vds.stacked_weights`; or ``"exact"``, the ``log_joint_probs`` of
                :func:`pyro_vds.exact_posterior`.
            log_weights: Log weights ``(*replicate, *sizes)``, in nats, that sum to one; minus infinity is weight 0.

        Raises:
            ValueError: If the name is another one, the shape does not fit, the weights do not sum to one, or each input
                has its own architecture.
        """
        held(self, "kept").keep(name, log_weights)

    def forget_weights(self) -> None:
        """Forget the weights of :meth:`keep_weights`, which do not hold after a change of the network."""
        held(self, "kept").forget()

    @property
    def available_weights(self) -> tuple[Weights, ...]:
        """The names of the weights that there are: ``"posterior"``, ``"uniform"``, and those that are kept."""
        return ("posterior", "uniform", *held(self, "kept").kept)

    def require_space(self, space: Space) -> None:
        """Raise unless the guide is one over some axes, in their order.

        Args:
            space: The axes of a model or of its posterior.

        Raises:
            ValueError: If the axes differ, or are in another order.
        """
        if self.space != space:
            raise ValueError(
                f"Expected a guide for {described(space)}, got one for {described(self.space)}. Make one with "
                "pyro_vds.AutoCategorical(model)."
            )

    def follow(self, log_weights: Float[Tensor, "*replicate_and_axes"]) -> None:
        """Set ``q`` as near as the family allows to given weights over all architectures, ``min KL(q || weights)``.

        A guide of one axis, and a joint or conditional one, becomes equal to them. A guide of independent axes makes
        one sweep of coordinate ascent, axis by axis with the mean under the others (mean field); the bound never falls.

        Args:
            log_weights: Logarithms of weights that need not sum to one, ``(*batch_shape, *sizes)``, nats.

        Raises:
            TypeError: If the guide is no table of probabilities.
        """
        raise TypeError(
            f"Expected a guide that holds a table of probabilities, got {type(self).__name__}. Train it with "
            "guide_update='gradient'."
        )

    @property
    def has_closed_kl(self) -> bool:
        """Whether :meth:`kl` is exact."""
        return self.space.count <= LIMIT

    def kl(self, model: VDSModel, x: Inputs | None = None) -> Float[Tensor, "*replicate"]:
        """Return ``KL(q || p)`` from the model's prior, in nats (the second term of the paper's eq. 1).

        Args:
            model: The model.
            x: Inputs over which a guide per input averages; other guides ignore them.

        Raises:
            ValueError: If the guide is for other axes.
        """
        self.require_space(model.space)
        log_q = self.joint_log_probs()
        terms = log_q.exp() * (log_q - model.log_prior())
        return terms.flatten(-len(self.space)).sum(-1) if self.space else terms

    @torch.no_grad()
    def replicate(self, model: VDSModel, index: int) -> "Guide":
        """Return the guide of one replicate, as a copy.

        Args:
            model: The model of the replicate.
            index: Number of the replicate.
        """
        single = type(self)(model)
        for name, logits in single.logits.items():
            logits.copy_(self.logits[name][index])
        held(single, "kept").copy_replicate(held(self, "kept"), index)
        return single
