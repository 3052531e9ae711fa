"""Guides whose choices at the sites of an axis depend on each other: mixtures of products."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.guides.mixtures import GeneratedMixture, ProductMixture, SiteDistribution
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.compat import held, hold
from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import Architecture
from pyro_vds.spaces.typing import Inputs


class SiteGuide(Guide):
    """A guide of one axis with sites by a distribution over all of its sites; subclasses say which.

    Args:
        model: A model with a single axis, which has sites.
        distribution: The distribution, on the axis's sites and labels.

    Raises:
        ValueError: If the model has other axes.
    """

    takes_sites = True

    def __init__(self, model: VDSModel, distribution: SiteDistribution) -> None:
        super().__init__(model)
        hold(self, "distribution", distribution.to(model.table_tensor()))

    @property
    def distribution(self) -> SiteDistribution:
        """The distribution over the entries at all sites."""
        return held(self, "distribution")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {}

    def conditionals(self) -> list[Tensor]:
        """Return nothing: there is no axis without sites."""
        return []

    def over_sites(self, axis: str) -> TorchDistributionMixin:
        """Return ``q`` over the entries at all sites, one event.

        Args:
            axis: The axis.
        """
        return self.distribution.distribution()

    def joint_log_probs(self, x: Inputs | None = None) -> Float[Tensor, " architecture"]:
        """Return ``log q`` of all architectures, nats.

        Raises:
            ValueError: If there are more than 65,536.
        """
        self.space.require_table("for a table of probabilities", "Use guide.probs() and guide.sample().")
        return self.distribution.joint_log_probs()

    def log_probs(self, x: Inputs | None = None) -> dict[str, Float[Tensor, "sites size"]]:
        """Return the marginal ``log q`` of each entry at each site, nats."""
        return {axis: self.distribution.log_probs() for axis in self.space}

    def sample(self, samples: int) -> dict[str, Int[Tensor, "samples sites"]]:
        """Draw architectures from ``q``, with the generator of torch.

        Args:
            samples: Number of draws.
        """
        return {axis: self.distribution.sample(samples) for axis in self.space}

    def log_prob(self, architectures: Mapping[str, Int[Tensor, "samples sites"]]) -> Float[Tensor, " samples"]:
        """Return ``log q`` of architectures, nats; differentiable.

        Args:
            architectures: Entries at each site, as :meth:`sample` returns them.
        """
        (axis,) = self.space
        return self.distribution.log_prob(architectures[axis])

    @torch.no_grad()
    def mode(self) -> Architecture:
        """Return the labels of the most probable architecture among the modes of all products.

        The mode of a mixture need not be one of them, but every product has its own there.
        """
        ((name, axis),) = self.space.items()
        candidates = self.distribution.rows().argmax(-1)
        best = candidates[self.distribution.log_prob(candidates).argmax()]
        return {name: tuple(axis.labels[entry] for entry in best.tolist())}


class AutoMixture(SiteGuide):
    """A mixture of products, ``q(a) = sum_m w_m prod_e q_m(a_e)``: edges can depend on each other.

    With as many components as architectures it can be any distribution. The components start at random, from the global
    generator: equal ones would stay equal.

    Args:
        model: A model with a single axis, which has sites.
        components: Number of products.
        spread: Standard deviation of the logits at the start.

    Raises:
        ValueError: If the model has other axes, or a number is not positive.
    """

    def __init__(self, model: VDSModel, components: int = 8, *, spread: float = 1.0) -> None:
        axis = _only_axis(model)
        super().__init__(model, ProductMixture(axis.sites, len(axis), components, spread=spread))


class AutoGenerator(SiteGuide):
    """A mixture of products whose logits a small convolutional network makes from noise, as in VIM-NAS.

    It is :class:`pyro_vds.guides.GeneratedMixture` for a model. With one input it is a **mean-field** guide, as the
    algorithm of VIM-NAS is when it is written down: edges are dependent only with several inputs.

    Args:
        model: A model with a single axis, which has sites.
        inputs: Number of noise inputs, which are drawn once from the global generator.
        noise: Standard deviation of noise on the logits, of which the probabilities are a mean.

    Raises:
        ValueError: If the model has other axes, or a number is out of range.
    """

    def __init__(self, model: VDSModel, inputs: int = 16, *, noise: float = 0.0) -> None:
        axis = _only_axis(model)
        super().__init__(model, GeneratedMixture(axis.sites, len(axis), inputs, noise=noise))


def _only_axis(model: VDSModel) -> Axis:
    axes = list(model.space.values())
    if len(axes) != 1 or not axes[0].has_sites:
        raise ValueError(
            f"Expected a model with a single axis, which has sites, got {list(model.space)}. Use "
            "pyro_vds.AutoCategorical(model)."
        )
    return axes[0]
