"""Parameters of priors that are learnt with the weights (empirical Bayes)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import biject_to

from pyro_vds.ops.compat import ParametersInFloat32
from pyro_vds.priors.base import Prior, PriorLike


class LearntPriors(nn.Module):
    """The parameters of priors as unconstrained ``torch.nn.Parameter`` s.

    The ELBO depends on them only through ``-KL(q || p)``, so they fit the prior to the guide. A single axis with few
    entries says little about them.

    Args:
        priors: The priors of all axes; priors without learnable parameters stay as they are.
        sizes: The sizes of the axes.

    Raises:
        ValueError: If no prior has a parameter to learn, or a parameter starts at the edge of its range.
    """

    def __init__(self, priors: Mapping[str, PriorLike], sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.priors = dict(priors)
        self.sizes = dict(zip(priors, sizes, strict=True))
        parameters = {}
        for axis, prior in self.priors.items():
            for name, support in _learnable(prior).items():
                value = torch.as_tensor(getattr(prior, name), dtype=torch.get_default_dtype())
                unconstrained = biject_to(support).inv(value)
                if not bool(unconstrained.isfinite().all()):
                    raise ValueError(
                        f"Expected a start value of {name} inside its range, got {prior!r}: from the edge it could not "
                        "move. Start inside the range, for example at decay=0.99 instead of 1."
                    )
                parameters[f"{axis}_{name}"] = nn.Parameter(unconstrained)
        if not parameters:
            raise ValueError(
                f"Expected a prior with a parameter to learn, such as Geometric(decay=0.85), got {self.priors}."
            )
        self.unconstrained = ParametersInFloat32(parameters)

    def values(self, axis: str) -> dict[str, Tensor]:
        """Return the parameters of the prior over an axis, by name."""
        supports = _learnable(self.priors[axis])
        return {name: biject_to(support)(self.unconstrained[f"{axis}_{name}"]) for name, support in supports.items()}

    def log_probs(self, axis: str) -> Float[Tensor, " size"]:
        """Return the log prior of each entry of an axis, differentiable, in nats and float64."""
        prior = self.priors[axis]
        if isinstance(prior, Prior):
            return prior.with_parameters(**self.values(axis)).log_weights(self.sizes[axis]).log_softmax(-1)
        return prior.logits

    def fitted(self, axis: str) -> PriorLike:
        """Return the prior over an axis with the current values of its parameters."""
        prior = self.priors[axis]
        values = {name: value.detach().double() for name, value in self.values(axis).items()}
        if "probs" in values and values["probs"].ndim:
            values["probs"] = values["probs"] / values["probs"].sum()  # to double precision
        return replace(cast(Any, prior), **{n: v.tolist() for n, v in values.items()}) if values else prior


def _learnable(prior: PriorLike) -> Mapping[str, Any]:
    return prior.learnable if isinstance(prior, Prior) else {}
