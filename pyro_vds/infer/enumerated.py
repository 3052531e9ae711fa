"""The exact evidence lower bound, with the axes enumerated by Pyro."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pyro.poutine as poutine
import torch
from jaxtyping import Float
from pyro.infer import TraceEnum_ELBO
from pyro.infer.enum import get_importance_trace
from pyro.nn import PyroModule
from pyro.poutine import Trace
from pyro.poutine.util import site_is_subsample
from torch import Tensor, nn

from pyro_vds.models.checks import check_data
from pyro_vds.models.points import require_as_many
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.compat import enumerated_traces, without_checks_of_arguments
from pyro_vds.ops.inputs import device_of
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import Array, Inputs, InputsLike


@dataclass(frozen=True)
class Bound:
    """The negative ELBO of a batch, and what it is made of.

    Attributes:
        losses: Negative full-data ELBO, nats; ``(*batch_shape)``.
        log_likelihood: ``N / B sum_n log p(y_n | x_n, a)`` of each architecture, nats; ``(*batch_shape, *sizes)``. A
            scalar NaN for an estimate from drawn architectures.
    """

    losses: Float[Tensor, "*batch_shape"]
    log_likelihood: Float[Tensor, "*batch_shape_and_axes"]


class EnumELBO(nn.Module):
    """The negative ELBO of a model and a guide as a module; :func:`pyro_vds.enum_elbo` makes it.

    Args:
        model: The model.
        guide: Its guide.
    """

    samples: int | None = None

    def __init__(self, model: VDSModel, guide: PyroModule) -> None:
        super().__init__()
        self.model = model
        self.guide = guide
        # With a known plate nesting Pyro needs no trial run of the network.
        self._loss = DenseEnumELBO(max_plate_nesting=1 + len(model.batch_shape))
        self._checked = False

    @property
    def exact(self) -> bool:
        """Whether the sum is over all architectures, so that only batches make it an estimate."""
        return True

    def check(self, x: InputsLike, y: Array, weight: Array | None = None) -> None:
        """Raise unless guide and data fit the model; :meth:`forward` calls it with the first batch.

        Args:
            x: A batch of inputs, ``(*batch_shape, batch, ...)``; several as a tuple or a dict.
            y: Targets of the batch.
            weight: The weight of each point, which multiplies its log likelihood; ``None`` is 1 for each.

        Raises:
            TypeError: If inputs or targets have the wrong type.
            ValueError: If the guide leaves an axis out or does not enumerate it, or the data do not fit the model.
        """
        inputs, targets, weights = self.model.as_inputs(x), self.model.as_targets(y), self.model.as_weights(weight)
        check_data(self.model, inputs, targets, weights)
        _check_guide(self.model, self.guide, inputs, targets)
        self._checked = True

    def forward(self, x: InputsLike, y: Array, weight: Array | None = None) -> Float[Tensor, ""]:
        """Return the negative full-data ELBO estimated on a batch, in nats; differentiable.

        With replicates it is the sum of :meth:`losses`.

        Args:
            x: A batch of inputs, ``(*batch_shape, batch, ...)``; several as a tuple or a dict.
            y: Targets of the batch.
            weight: The weight of each point, which multiplies its log likelihood; ``None`` is 1 for each.

        Raises:
            TypeError: As :meth:`bound`.
            ValueError: As :meth:`bound`.
        """
        return self.losses(x, y, weight).sum()

    def losses(self, x: InputsLike, y: Array, weight: Array | None = None) -> Float[Tensor, "*replicate"]:
        """Return the negative ELBO of each replicate, ``(replicate,)``; without replicates a scalar.

        Args:
            x: A batch of inputs, ``(*batch_shape, batch, ...)``; several as a tuple or a dict.
            y: Targets of the batch.
            weight: The weight of each point, which multiplies its log likelihood; ``None`` is 1 for each.

        Raises:
            TypeError: As :meth:`bound`.
            ValueError: As :meth:`bound`.
        """
        return self.bound(x, y, weight).losses

    def bound(self, x: InputsLike, y: Array, weight: Array | None = None) -> Bound:
        """Return the negative ELBO with the log likelihood of each architecture, from one pass; both differentiable.

        Args:
            x: A batch of inputs, ``(*batch_shape, batch, ...)``; several as a tuple or a dict.
            y: Targets of the batch.
            weight: The weight of each point, which multiplies its log likelihood; ``None`` is 1 for each.

        Raises:
            TypeError: If :meth:`check` raises it in the first call.
            ValueError: If the numbers of inputs and targets differ, or :meth:`check` raises it in the first call.
        """
        inputs, targets, weights = self.model.as_inputs(x), self.model.as_targets(y), self.model.as_weights(weight)
        if not self._checked:
            self.check(inputs, targets, weights)
        require_as_many(inputs, targets, 1 + len(self.model.batch_shape), weights)
        # Shapes and values are checked before training; checks in each step would only take time.
        with without_checks_of_arguments():
            return self._bound(inputs, targets, weights)

    def _bound(self, x: Inputs, y: Tensor, weight: Tensor | None) -> Bound:
        """Return the bound of checked data."""
        return self._loss.bound(self.model, self.guide, x, y, weight=weight)


def _check_guide(model: VDSModel, guide: PyroModule, x: Inputs, y: Tensor) -> None:
    """Raise unless the guide has a parallel enumerated site for each axis.

    Without the annotation, Pyro would replace the exact sum by one sample and only warn.
    """
    with poutine.block(), isolated_rng(device_of(x)):
        trace = poutine.trace(guide).get_trace(x, y)
    nodes = cast(dict[str, Any], trace.nodes)
    others = {
        n: s for n, s in nodes.items() if s["type"] == "sample" and n not in model.axes and not site_is_subsample(s)
    }
    sampled = [n for n, s in others.items() if not (s["fn"].has_rsample or s["infer"].get("enumerate") == "parallel")]
    if sampled:
        raise ValueError(
            f"Expected a guide whose sites are enumerated in parallel or reparameterised, got the sites {sampled}, "
            "which are not: their gradient would be wrong."
        )
    latent = {axis: nodes[axis]["infer"].get("enumerate") for axis in model.axes if axis in nodes}
    if set(latent) != set(model.axes) or any(enumerate_mode != "parallel" for enumerate_mode in latent.values()):
        raise ValueError(
            f"Expected a guide that samples each axis of {list(model.axes)} with "
            f'infer={{"enumerate": "parallel"}}, got sites {latent}. Use pyro_vds.AutoCategorical(model), or '
            "add the annotation to the guide's pyro.sample statements."
        )
    local = [axis for axis in model.axes if any(frame.name == "data" for frame in nodes[axis]["cond_indep_stack"])]
    expected = [name for name, axis in model.space.items() if axis.plate is not None]
    if local != expected:
        raise ValueError(
            f"Expected a guide with the same sites in the plate of the data as the model, {expected}, got {local}. Use "
            "AutoPerInput for a model built with plate=DATA, and another guide for any other model."
        )
    sizes = tuple(len(nodes[axis]["fn"].enumerate_support(expand=False)) for axis in model.axes)
    if sizes != model.sizes:
        raise ValueError(f"Expected a guide for axes {model.axes} of sizes {model.sizes}, got sizes {sizes}.")


class DenseEnumELBO(TraceEnum_ELBO):
    """``TraceEnum_ELBO`` without host synchronisation, for guides that are enumerated or reparameterised.

    Pyro runs the guide and the model and enumerates in parallel. Every cost ``c`` (the log_prob of a site of the
    model, or minus the log_prob of a site of the guide) contributes ``sum_i q_i c_i``, summed over the enumerated
    entries ``i`` of the guide's sites that share its plates. Pyro's own sum inspects values (``mask.all()``,
    ``warn_if_nan``), which stalls a GPU and ends tracing; value and gradients are the same.
    """

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
        return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Return the negative ELBO, in nats."""
        return -torch.stack([term.sum() for term in _terms(*enumerated_traces(self, model, guide, args, kwargs))]).sum()

    def bound(self, model: VDSModel, guide: PyroModule, *args: Any, weight: Tensor | None = None) -> Bound:
        """Return the negative ELBO of each replicate, and the log likelihood of each architecture, in nats."""
        weighted = model if weight is None else partial(model, weight=weight)  # of which a guide knows nothing
        model_trace, guide_trace = enumerated_traces(self, weighted, guide, args, {})
        terms, replicates = _terms(model_trace, guide_trace), len(model.batch_shape)
        keep = range(-1 - replicates, -1)
        sums = [term.sum([d for d in range(-term.ndim, 0) if d not in keep]) for term in terms]
        return Bound(-torch.stack(sums).sum(0), _log_likelihood(model, model_trace, guide_trace))


def _terms(model_trace: Trace, guide_trace: Trace) -> list[Tensor]:
    """Return the terms whose sum is the ELBO."""
    sites = list(_sample_sites(guide_trace))
    terms = [_expected(site["log_prob"], site, sites) for site in _sample_sites(model_trace)]
    return terms + [-_expected(site["log_prob"], site, sites) for site in sites]


def _log_likelihood(model: VDSModel, model_trace: Trace, guide_trace: Trace) -> Tensor:
    """Return the log likelihood of a batch under each architecture, ``(*batch_shape, *sizes)``, scaled to all data."""
    nodes = cast(dict[str, Any], guide_trace.nodes)
    by_point = cast(dict[str, Any], model_trace.nodes)["obs"]["log_prob"]
    places = [nodes[axis]["infer"]["_enumerate_dim"] + 1 for axis in model.axes]  # without the plate of the data
    table = by_point.sum(-1)
    table = table.movedim(places, list(range(-len(places), 0))) if places else table
    return table.reshape(model.batch_shape + model.sizes)


def _expected(cost: Tensor, site: dict[str, Any], guide_sites: list[dict[str, Any]]) -> Tensor:
    """Return the terms of ``sum_i q_i cost_i``, over the guide's sites that share the plates of the cost."""
    plates = set(site["cond_indep_stack"])
    for other in guide_sites:
        if other["infer"].get("_enumerate_dim") is not None and plates.issuperset(other["cond_indep_stack"]):
            q = other["unscaled_log_prob"].exp()
            # An entry whose probability underflows to zero costs nothing, even if its cost is infinite.
            cost = q * cost.where(q > 0, 0.0)
    return cost


def _sample_sites(trace: Trace) -> Iterator[dict[str, Any]]:
    nodes = cast(dict[str, dict[str, Any]], trace.nodes)
    return (site for site in nodes.values() if site["type"] == "sample")
