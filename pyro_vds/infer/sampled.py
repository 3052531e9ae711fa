"""The evidence lower bound over architectures with sites: listed and exact, or drawn and an estimate.

The architectures lie in an outer Pyro plate. Pyro's own parallel enumeration cannot take sites inside a plate: it would
give all of them the same entry, which is not their product.
"""

from typing import Any, cast

import pyro
import pyro.poutine as poutine
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.infer.drawn import sample_sites
from pyro_vds.infer.enumerated import Bound, EnumELBO
from pyro_vds.models.checks import check_data
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.inputs import device_of
from pyro_vds.ops.tensors import outer_sum
from pyro_vds.spaces.typing import Array, Data, Inputs, InputsLike, WeightedData

SMALLEST = 2
"""The least number of draws: the baseline of each is the mean of the others."""


class ArchitectureELBO(EnumELBO):
    """The negative ELBO of a model whose axes have sites; :func:`pyro_vds.elbo` makes it.

    Args:
        model: The model.
        guide: Its guide.
        samples: Number of architectures to draw in each call; ``None`` sums over all of them.

    Raises:
        ValueError: If there are more than 65,536 architectures and no ``samples``, or fewer than 2 samples.
    """

    def __init__(self, model: VDSModel, guide: Guide, samples: int | None = None) -> None:
        super().__init__(model, guide)
        if samples is None:
            model.space.require_table("for an exact sum", "Pass samples=4 for an estimate.")
        elif samples < SMALLEST:
            raise ValueError(f"Expected at least {SMALLEST} samples, each a baseline of the other, got {samples}.")
        self.samples = samples

    @property
    def exact(self) -> bool:
        """Whether the sum is over all architectures, so that only batches make it an estimate."""
        return self.samples is None

    def check(self, x: InputsLike, y: Array, weight: Array | None = None) -> None:
        """Raise unless guide and data fit the model; the first call checks.

        Args:
            x: A batch of inputs.
            y: Targets of the batch.
            weight: The weight of each point, which multiplies its log likelihood; ``None`` is 1 for each.

        Raises:
            TypeError: If inputs or targets have the wrong type, or the guide is not one of pyro_vds.
            ValueError: If the guide is for other axes, or the data do not fit the model.
        """
        weights = self.model.as_weights(weight)
        check_data(self.model, self.model.as_inputs(x), self.model.as_targets(y), weights)
        if not isinstance(self.guide, Guide):
            raise TypeError(
                f"Expected a guide of pyro_vds for axes with sites, such as AutoCategorical(model), got "
                f"{type(self.guide).__name__}."
            )
        self.guide.require_space(self.model.space)
        self._checked = True

    def _bound(self, x: Inputs, y: Tensor, weight: Tensor | None) -> Bound:
        batch = (x, y) if weight is None else (x, y, weight)
        return self._listed(batch) if self.samples is None else self._drawn(batch, self.samples)

    def _listed(self, batch: Data | WeightedData) -> Bound:
        """Return the bound as a sum over all architectures, weighted by ``q``."""
        space = self.model.space
        names = [*space.read_out, *space.with_sites]
        table = self._log_likelihood(batch, self.model.whole)
        table = table.reshape([space[name].entries for name in names]).permute([names.index(name) for name in space])
        q = self.guide.joint_log_probs().exp()
        # An entry whose probability underflows to zero costs nothing, even if its cost is infinite.
        return Bound(self.guide.kl(self.model) - (q * table.where(q > 0, 0.0)).sum(), table)

    def _drawn(self, batch: Data | WeightedData, samples: int) -> Bound:
        """Return an unbiased estimate from draws; its gradient too, by scores with a leave-one-out baseline."""
        model, guide = self.model, cast(Guide, self.guide)
        drawn = sample_sites(guide, samples)
        log_q = guide.log_prob(drawn)
        read_out = [guide.log_probs()[name] for name in model.space.read_out]
        q = outer_sum(read_out).to(log_q).exp()
        costs = -(q[..., None] * self._log_likelihood(batch, drawn)).reshape(-1, samples).sum(0)
        kl = guide.kl(model) if guide.has_closed_kl else None
        if kl is None:
            costs = costs + log_q.detach() - model.log_prior_of(drawn)
        fixed = costs.detach()
        baseline = (fixed.sum() - fixed) / (samples - 1)
        score = ((fixed - baseline) * log_q).mean()
        loss = costs.mean() + score - score.detach() + (0.0 if kl is None else kl)
        return Bound(loss, loss.new_full((), torch.nan))

    def _log_likelihood(
        self, batch: Data | WeightedData, given: dict[str, Int[Tensor, "row sites"]]
    ) -> Float[Tensor, "*read_out row"]:
        """Return the log likelihood of the batch, scaled to all data, under each read-out of given architectures."""
        values = dict(given)
        for place, (name, axis) in enumerate(reversed(list(self.model.space.read_out.items()))):
            values[name] = torch.arange(len(axis), device=device_of(batch[0])).reshape(-1, *[1] * (2 + place))
        with pyro.plate("architecture", len(next(iter(given.values()))), dim=-2):
            trace = poutine.trace(poutine.condition(self.model, data=values)).get_trace(*batch)
        trace.compute_log_prob(lambda name, site: name == "obs")
        return cast(dict[str, Any], trace.nodes)["obs"]["log_prob"].sum(-1)
