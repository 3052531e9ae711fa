"""Measures of predictions on test data, from one pass of the network."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.guides.weights import Weights
from pyro_vds.infer.cases import Case, Cut
from pyro_vds.infer.evidence import EvidenceEstimate
from pyro_vds.infer.exact import ExactPosterior
from pyro_vds.infer.predict import Prediction, Want, predict
from pyro_vds.likelihoods.base import Likelihood
from pyro_vds.metrics import calibration, intervals
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.runs.classes import error_by_class
from pyro_vds.spaces.space import Architecture
from pyro_vds.spaces.typing import TensorPair

DISAGREEMENT: tuple[Weights, ...] = ("uniform", "posterior")
"""The weights with which a run reports how much its architectures disagree."""


def measure_test(
    model: VDSModel,
    guide: Guide,
    test: TensorPair,
    *,
    cut: Architecture,
    stops: Tensor | None = None,
    target_std: Tensor | None = None,
    weights: Weights = "posterior",
) -> dict[str, Any]:
    """Return the parts of ``metrics.json`` that are measured on test data, from one pass of the network.

    Args:
        model: A trained model.
        guide: The guide of the model.
        test: Test inputs and targets.
        cut: The architecture to prune to, from :func:`pyro_vds.runs.metrics.choose_cut`; empty for a plain network.
        stops: The entry at which each input stops, for a model with an architecture for each input.
        target_std: Standard deviation by which regression targets were divided.
        weights: The weights of the architectures in ``"full"``, ``"pruned"`` and ``"adaptive"``.

    Returns:
        ``test``, the measures of :func:`measure` for ``"full"``, for ``"pruned"`` or ``"adaptive"``, and for
        ``"stacked"``: all architectures, if the guide keeps stacked weights. For classes ``by_class``, the test points
        and the error of each class for ``"full"``. For a model with axes also ``weights``,
        the name of the weights of each of its predictions, and ``disagreement``: its unit, and its mean over the test
        data with uniform weights and with the posterior (:func:`pyro_vds.predict_disagreement`), unless the likelihood
        has none.

    Raises:
        ValueError: If the data do not fit the model, or there are no such weights.
    """
    cases = {"full": Case(weights)} | ({"pruned": Case(weights, cut)} if cut else {})
    cases |= {} if stops is None else {"adaptive": Case(weights, stops)}
    kept = "stacked" in guide.available_weights and weights != "stacked"
    cases |= {"stacked": Case("stacked")} if kept else {}
    others: list[Weights] = [name for name in DISAGREEMENT if model.space and name != weights]
    scores = _predicted(model, guide, test, [*cases.values(), *map(Case, others)])
    result: dict[str, Any] = {
        "test": {name: _reported(of_case, target_std) for name, of_case in zip(cases, scores, strict=False)},
    }
    if "error" in scores[0] and test[1].ndim == 1:
        result["by_class"] = error_by_class(scores[0]["error"], test[1])
    if model.space:
        result["weights"] = {name: case.weights for name, case in cases.items()}
    uncut = {weights: scores[0]} | dict(zip(others, scores[len(cases) :], strict=True))
    means = {name: _disagreement(uncut[name], target_std) for name in DISAGREEMENT if model.space}
    if means and None not in means.values():
        unit = "squared units of the target" if model.likelihood.numeric else "nats"
        result["disagreement"] = {"unit": unit, "mean": means}
    return result


def measure(
    model: VDSModel,
    guide: Guide | None,
    test: TensorPair,
    *,
    cut: Cut | None = None,
    target_std: Tensor | None = None,
) -> dict[str, float]:
    """Measure one prediction on test data.

    Args:
        model: A trained model.
        guide: The guide; ``None`` for a model without axes.
        test: Test inputs and targets.
        cut: The architecture to prune to, or the entry at which each input stops; ``None`` is the full network.
        target_std: Standard deviation by which regression targets were divided.

    Returns:
        ``log_likelihood`` in nats per point; for classes ``error``, ``ece`` and ``brier``; for numbers ``rmse`` and,
        with one target, ``interval_error`` (see :func:`pyro_vds.intervals.interval_error`); or the means of the
        metrics of your own likelihood. Densities and errors are in the units of the targets before standardisation.
    """
    return measure_cases(model, guide, test, {"cut": {} if cut is None else cut}, target_std=target_std)["cut"]


def measure_cases(
    model: VDSModel,
    guide: Guide | None,
    test: TensorPair,
    cases: Mapping[str, Cut | Case],
    *,
    target_std: Tensor | None = None,
) -> dict[str, dict[str, float]]:
    """Measure several predictions on test data, from one pass of the network.

    Args:
        model: A trained model.
        guide: The guide; ``None`` for a model without axes.
        test: Test inputs and targets.
        cases: The cut of each prediction, or its weights and cut, by name.
        target_std: Standard deviation by which regression targets were divided.

    Returns:
        The measures of :func:`measure`, by name.
    """
    found = _predicted(model, guide, test, list(cases.values()), disagreement=False)
    return {name: _reported(scores, target_std) for name, scores in zip(cases, found, strict=True)}


def _predicted(
    model: VDSModel, guide: Guide | None, test: TensorPair, cases: Sequence[Cut | Case], *, disagreement: bool = True
) -> list[Prediction]:
    """Return the metrics of each point for every case, with the disagreement if the likelihood has one."""
    want: list[Want] = ["metrics"]
    if model.likelihood.numeric and test[1].ndim == 1:
        want.append("pit")
    # A likelihood of classes of one's own may have no disagreement, and a distribution no mean.
    own = type(model.likelihood).disagreement is not Likelihood.disagreement
    if disagreement and (model.likelihood.numeric or own):
        with suppress(NotImplementedError):
            return predict(model, guide, *test, cuts=cases, want=[*want, "disagreement"])
    return predict(model, guide, *test, cuts=cases, want=want)


def _disagreement(scores: Prediction, target_std: Tensor | None) -> float | None:
    """Return the mean disagreement over points and targets, in the units of the data; ``None`` without a number."""
    if "disagreement" not in scores:
        return None
    units = 1 if target_std is None else target_std.double().cpu() ** 2
    mean = float((scores["disagreement"].double().cpu() * units).mean())
    return mean if math.isfinite(mean) else None


def _reported(scores: Prediction, target_std: Tensor | None) -> dict[str, float]:
    """Return the measures that a run reports from the metrics of each point."""
    by_point = {name: values.double().cpu() for name, values in scores.items() if name != "disagreement"}
    reported: dict[str, float] = {}
    for name, values in by_point.items():
        if name == "log_prob":
            reported["log_likelihood"] = float(values.mean()) - _log_units(target_std)
        elif name == "squared_error":
            units = 1 if target_std is None else target_std.double().cpu() ** 2
            reported["rmse"] = float((values * units).mean().sqrt())
        elif name == "confidence":
            hits = by_point["error"].numpy() == 0
            reported["ece"] = calibration.confidence_table(values.numpy(), hits).ece
        elif name == "pit":
            reported["interval_error"] = intervals.interval_error(values.numpy())
        else:
            reported[name] = float(values.mean())
    return reported


def in_data_units(exact: ExactPosterior, num_data: int, target_std: Tensor | None) -> ExactPosterior:
    """Return an exact posterior with the densities of the targets before standardisation.

    Args:
        exact: The posterior given standardised targets.
        num_data: Number of targets.
        target_std: Standard deviation by which they were divided; ``None`` for classes.
    """
    return replace(exact, log_likelihood=exact.log_likelihood - num_data * _log_units(target_std))


def estimate_in_data_units(estimate: EvidenceEstimate, num_data: int, target_std: Tensor | None) -> EvidenceEstimate:
    """Return an estimate of the evidence with the densities of the targets before standardisation.

    Args:
        estimate: The estimate given standardised targets.
        num_data: Number of targets.
        target_std: Standard deviation by which they were divided; ``None`` for classes.
    """
    shift = num_data * _log_units(target_std)
    return replace(estimate, elbo=estimate.elbo - shift, log_evidence=estimate.log_evidence - shift)


def tree_in_data_units(tree: xr.DataTree) -> xr.DataTree:
    """Return the tree of a run with log-likelihoods in the units of the data, if its targets are standardised.

    Args:
        tree: The tree, whose attribute ``target_std`` is what the targets were divided by.
    """
    if "target_std" not in tree.attrs or "log_likelihood" not in tree["architecture"]:
        return tree
    exact = tree["architecture"].to_dataset()
    shift = float(np.log(np.atleast_1d(tree.attrs["target_std"])).sum())
    return tree.assign({"architecture": xr.DataTree(exact.assign(log_likelihood=exact["log_likelihood"] - shift))})


def _log_units(target_std: Tensor | None) -> float:
    """Return the log density of standardised targets minus that of the original targets, nats."""
    return 0.0 if target_std is None else float(target_std.double().log().sum())
