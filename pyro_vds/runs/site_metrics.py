"""The metrics of a model whose axes have sites, such as the edges of a graph: exact, or estimates from draws."""

import math
from dataclasses import asdict
from typing import Any

from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.guides.weights import Weights
from pyro_vds.infer.drawn import drawn, of_cut
from pyro_vds.infer.evidence import estimate_evidence
from pyro_vds.infer.exact import ExactPosterior, exact_posterior
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.runs.measures import estimate_in_data_units, in_data_units, measure, measure_test
from pyro_vds.spaces.axis import Axis
from pyro_vds.spaces.space import LIMIT, Architecture
from pyro_vds.spaces.tables import log_marginals
from pyro_vds.spaces.typing import TensorPair

DRAWS = 40
"""Architectures that predict, or that an evidence is estimated from, where there are too many to list."""

POINTS = 256
"""Points in one pass of an estimate of the evidence."""


def summarise_sites(
    model: VDSModel, guide: Guide, train: TensorPair, *, cut: Architecture, seed: int, target_std: Tensor | None
) -> tuple[dict[str, Any], ExactPosterior | None]:
    """Return the posterior part of a run's metrics, and the exact posterior if all architectures can be listed.

    Args:
        model: A trained model whose axes have sites.
        guide: Its guide.
        train: Training data.
        cut: The chosen architecture.
        seed: Seed of the draws of an estimate.
        target_std: Standard deviation by which regression targets were divided.

    Returns:
        ``rule``, ``chosen`` and ``axes`` with the labels and the probabilities ``q`` of each, at each site if the axis
        has sites, ``elbo`` and ``log_evidence`` in nats, in the units of the data. With an exact posterior also its
        probabilities ``exact``, ``evidence_gap`` and ``total_correlation``; otherwise the fields of
        :class:`pyro_vds.EvidenceEstimate`.
    """
    axes = {name: of_axis(axis, {"q": guide.probs()[name]}) for name, axis in model.space.items()}
    found: dict[str, Any] = {"rule": "argmax", "chosen": dict(cut), "axes": axes}
    if model.space.count > LIMIT:
        estimate = estimate_evidence(model, guide, train, samples=DRAWS, seed=seed, batch_size=POINTS)
        values = asdict(estimate_in_data_units(estimate, len(train[0]), target_std))
        return found | {name: None if math.isnan(value) else value for name, value in values.items()}, None
    exact = exact_posterior(model, train)
    of_data = in_data_units(exact, len(train[0]), target_std)
    tables = {"exact": exact.probs}
    if "stacked" in guide.available_weights:
        stacked = log_marginals(model.space, guide.log_weights("stacked").detach())
        tables["stacked"] = {name: table.exp() for name, table in stacked.items()}
    for name in axes:
        axes[name] |= {kind: table[name].tolist() for kind, table in tables.items()}
    numbers = {"elbo": of_data.elbo(guide), "log_evidence": of_data.log_evidence, "evidence_gap": exact.gap(guide)}
    return found | numbers | {"total_correlation": exact.total_correlation}, exact


def of_axis(axis: Axis, probs: dict[str, Tensor]) -> dict[str, Any]:
    """Return the labels of an axis, those of its sites, and probabilities by name.

    Args:
        axis: The axis.
        probs: Probabilities ``(size,)``, or ``(sites, size)`` with sites.
    """
    plate = axis.plate if axis.has_sites else None
    sites = {} if plate is None else {"plate": plate.name, "sites": list(plate.labels)}
    return {"labels": list(axis.labels)} | sites | {name: values.tolist() for name, values in probs.items()}


def predictors(model: VDSModel, guide: Guide, cut: Architecture, seed: int) -> dict[str, tuple[VDSModel, Guide]]:
    """Return models of few architectures in place of one with too many to list: draws of the guide, and the cut alone.

    Args:
        model: A model with too many architectures to list.
        guide: Its guide.
        cut: The label of each axis.
        seed: Seed of the draws.
    """
    return {"full": drawn(model, guide, samples=DRAWS, seed=seed), "pruned": of_cut(model, guide, cut)}


def measure_architectures(
    model: VDSModel,
    guide: Guide,
    test: TensorPair,
    *,
    cut: Architecture,
    stops: Tensor | None = None,
    target_std: Tensor | None = None,
    weights: Weights = "posterior",
    seed: int = 0,
) -> dict[str, Any]:
    """Return what :func:`pyro_vds.runs.measures.measure_test` does, from draws if there are too many architectures.

    Args:
        model: A trained model.
        guide: The guide of the model.
        test: Test inputs and targets.
        cut: The chosen architecture.
        stops: The entry at which each input stops, for a model with an architecture for each input.
        target_std: Standard deviation by which regression targets were divided.
        weights: The weights of the architectures that predict.
        seed: Seed of the draws.

    Returns:
        The measures; those of draws have ``draws``, their number, and no ``disagreement``.

    Raises:
        ValueError: If weights of all architectures are asked for, and there are too many.
    """
    if model.space.count <= LIMIT:
        return measure_test(model, guide, test, cut=cut, stops=stops, target_std=target_std, weights=weights)
    if weights != "posterior":
        model.space.require_table(f"for {weights} weights", "Leave --weights out, for draws of the posterior.")
    models = predictors(model, guide, cut, seed)
    measured = {name: measure(*pair, test, target_std=target_std) for name, pair in models.items()}
    return {"test": measured, "weights": dict.fromkeys(measured, weights), "draws": DRAWS}
