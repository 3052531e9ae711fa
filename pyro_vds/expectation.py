"""The expectation within the ELBO: Pyro enumerates, a dense sum follows."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from pyro.infer import TraceEnum_ELBO
from pyro.infer.enum import get_importance_trace
from pyro.poutine import Trace
from torch import Tensor


class DenseEnumELBO(TraceEnum_ELBO):
    """``TraceEnum_ELBO`` without host synchronisation, for guides that are enumerated or reparameterised.

    Pyro runs the guide and the model and enumerates in parallel. Every cost ``c`` (the log prob of a site of
    the model, minus that of a site of the guide) then contributes ``sum_i q_i c_i`` over the enumerated
    entries ``i`` of the guide's sites in whose plates it lies. Pyro's own sum looks at the values on the way
    (``mask.all()``, ``warn_if_nan``), which stalls a GPU and ends tracing; value and gradients are the same.
    """

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
        return get_importance_trace("flat", self.max_plate_nesting, model, guide, args, kwargs)

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Return the negative ELBO, in nats."""
        return -torch.stack([term.sum() for term in self._terms(model, guide, args, kwargs)]).sum()

    def losses(self, model: Any, guide: Any, *args: Any) -> Tensor:
        """Return the negative ELBO of each entry of a plate at dimension -2 that holds all sites, in nats."""
        terms = self._terms(model, guide, args, {})
        sums = [term.sum([d for d in range(-term.ndim, 0) if d != -2]) for term in terms]
        return -torch.stack(sums).sum(0)

    def _terms(self, model: Any, guide: Any, args: Any, kwargs: Any) -> list[Tensor]:
        """Return what the ELBO is the sum of."""
        ((model_trace, guide_trace),) = self._get_traces(model, guide, args, kwargs)
        sites = list(_sample_sites(guide_trace))
        terms = [_expected(site["log_prob"], site, sites) for site in _sample_sites(model_trace)]
        return terms + [-_expected(site["log_prob"], site, sites) for site in sites]


def _expected(cost: Tensor, site: dict[str, Any], guide_sites: list[dict[str, Any]]) -> Tensor:
    """Return the terms of ``sum_i q_i cost_i``, over the guide's sites in whose plates the cost lies."""
    plates = set(site["cond_indep_stack"])
    for other in guide_sites:
        if other["infer"].get("_enumerate_dim") is not None and plates.issuperset(other["cond_indep_stack"]):
            q = other["unscaled_log_prob"].exp()
            # A probability that underflows to zero takes its cost with it, be it infinite.
            cost = q * cost.where(q > 0, 0.0)
    return cost


def _sample_sites(trace: Trace) -> Iterator[dict[str, Any]]:
    nodes = cast(dict[str, dict[str, Any]], trace.nodes)
    return (site for site in nodes.values() if site["type"] == "sample")
