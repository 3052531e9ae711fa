"""What is asked of a prediction: the weights of the architectures, and a cut."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from jaxtyping import Int
from torch import Tensor

from pyro_vds.guides.weights import Weights

Cut = Mapping[str, Hashable] | Int[Tensor, " batch"]
"""A label for each axis that is cut; or the entry at which each input stops, for an architecture for each input."""


@dataclass(frozen=True)
class Case:
    """One of several predictions that come from the same pass: ``Case("uniform")``, ``Case("stacked", {"depth": 3})``.

    Attributes:
        weights: The name of the weights of the architectures.
        cut: The cut; empty for all architectures.
    """

    weights: Weights = "posterior"
    cut: Cut = field(default_factory=dict)
