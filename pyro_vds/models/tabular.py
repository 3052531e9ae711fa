"""A model without a network: the log likelihood of each architecture is known."""

from collections.abc import Hashable, Mapping, Sequence
from typing import ClassVar

from jaxtyping import Float
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints

from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.inputs import points
from pyro_vds.priors.base import PriorLike
from pyro_vds.priors.families import Uniform
from pyro_vds.spaces.axis import Axis, Plate
from pyro_vds.spaces.space import Space
from pyro_vds.spaces.typing import Data, Inputs


class TabularModel(VDSModel):
    """A model of architectures whose log likelihood is a table, such as a benchmark of trained networks.

    ``p(a | data) ∝ p(a) exp(table[a])``. It has no weights to learn: ``fit(model, guide, model.data)`` fits the guide,
    and ``exact_posterior(model, model.data)`` is the posterior. The data are one point that says nothing: everything is
    in the table.

    Args:
        log_likelihood: The log likelihood, a dimension for each site, nats: that of
            :func:`pyro_vds.accuracy_log_likelihood` for a table of accuracies.
        axis: Name of the axis.
        plate: Name of its plate.
        options: The labels of the entries; ``None`` counts them from 0.
        sites: The labels of the sites; ``None`` counts them from 0.
        prior: The prior over the entries, the same at all sites.

    Raises:
        TypeError: If the table is no tensor.
        ValueError: If the table has dimensions of different sizes, or numbers that are not finite.
    """

    def __init__(
        self,
        log_likelihood: Float[Tensor, "*sites"],
        *,
        axis: str = "op",
        plate: str = "edge",
        options: Sequence[Hashable] | None = None,
        sites: Sequence[Hashable] | None = None,
        prior: PriorLike | None = None,
    ) -> None:
        if not isinstance(log_likelihood, Tensor):
            raise TypeError(f"Expected a table as a tensor, got {type(log_likelihood).__name__}. Use torch.as_tensor.")
        shape = tuple(log_likelihood.shape)
        if not shape or len(set(shape)) != 1 or not bool(log_likelihood.isfinite().all()):
            raise ValueError(
                f"Expected a table of finite numbers with a dimension of equal size for each site, got shape {shape}."
            )
        labels = tuple(range(shape[0])) if options is None else tuple(options)
        where = Plate(plate, len(shape), () if sites is None else tuple(sites))
        space = Space([Axis(axis, labels, where, read_out=False)])
        if space.sizes != (log_likelihood.numel(),):
            raise ValueError(f"Expected {shape[0]} labels of options, one for each entry, got {labels}.")
        super().__init__(Table(space, log_likelihood), priors=prior or Uniform(), likelihood=Known(), num_data=1)

    @property
    def data(self) -> Data:
        """The one point that says nothing."""
        like = self.device_tensor()
        return like.new_zeros(1, 1), like.new_zeros(1)


class Table(nn.Module):
    """A backbone whose outputs are the log likelihoods of a table, for any inputs.

    Args:
        space: One axis with sites.
        log_likelihood: The table, nats.
    """

    table: Tensor

    def __init__(self, space: Space, log_likelihood: Float[Tensor, "*sites"]) -> None:
        super().__init__()
        self.space = space
        self.register_buffer("table", log_likelihood.clone())

    def forward(self, x: Inputs) -> Float[Tensor, "architecture batch one"]:
        """Return the whole table for each input."""
        return self.table.flatten()[:, None, None].expand(-1, points(x), 1)

    def at(self, x: Inputs, architectures: Mapping[str, Tensor]) -> Float[Tensor, "architecture batch one"]:
        """Return the entries of some architectures for each input.

        Args:
            x: Inputs.
            architectures: The entry at each site, ``(architecture, sites)``.
        """
        (entries,) = architectures.values()
        return self.table[entries.unbind(-1)][:, None, None].expand(-1, points(x), 1)


class Known(Likelihood):
    """The outputs are the log likelihood itself."""

    def forward(self, outputs: Tensor) -> "KnownLogProb":
        """Return what gives every target the log probability that is known."""
        return KnownLogProb(outputs[..., 0])

    def check_targets(self, y: Tensor, outputs: Tensor) -> None:
        """Take any target, since none counts."""


class KnownLogProb(TorchDistribution):
    """A log probability that does not depend on the value.

    Args:
        values: The log probabilities, nats.
    """

    arg_constraints: ClassVar = {}  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    support = constraints.real  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]

    def __init__(self, values: Tensor) -> None:
        self.values = values
        super().__init__(values.shape, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "KnownLogProb":
        """Return the same for a larger batch.

        Args:
            batch_shape: The batch shape.
        """
        return KnownLogProb(self.values.expand(batch_shape))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return zeros.

        Args:
            sample_shape: Number of draws.
        """
        return self.values.new_zeros(*sample_shape, *self.batch_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the known log probabilities.

        Args:
            value: Not used.
        """
        return self.values
