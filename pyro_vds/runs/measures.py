"""Measures of predictions on test data, in one pass of the network."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.infer.exact import ExactPosterior
from pyro_vds.infer.mixture import Cut
from pyro_vds.infer.predict import predict
from pyro_vds.metrics import calibration, intervals
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.spaces.space import Architecture
from pyro_vds.spaces.typing import Data


def evaluate_run(
    model: VDSModel,
    guide: Guide,
    test: Data,
    *,
    cut: Architecture,
    stops: Tensor | None = None,
    target_std: Tensor | None = None,
) -> dict[str, dict[str, float]]:
    """Measure the marginal prediction, and the one of the network cut to an architecture, in one pass over test data.

    Args:
        model: A trained model.
        guide: Its guide.
        test: Test inputs and targets.
        cut: The architecture to prune to, as :func:`choose_cut` returns it; empty for a plain network.
        stops: Where each input has an architecture of its own: the entry at which it stops.
        target_std: What standardised regression targets were divided by.

    Returns:
        For ``"full"``, and ``"pruned"`` or ``"adaptive"``, the measures of :func:`measure`.
    """
    cases: dict[str, Cut] = {"full": {}}
    cases |= {"pruned": cut} if cut else {}
    cases |= {} if stops is None else {"adaptive": stops}
    return measure_cases(model, guide, test, cases, target_std=target_std)


def measure(
    model: VDSModel,
    guide: Guide | None,
    test: Data,
    *,
    cut: Cut | None = None,
    target_std: Tensor | None = None,
) -> dict[str, float]:
    """Measure one prediction on test data.

    Args:
        model: A trained model.
        guide: Its guide; ``None`` for a model without axes.
        test: Test inputs and targets.
        cut: The architecture to prune to, or the entry at which each input stops; the full network unless given.
        target_std: What standardised regression targets were divided by.

    Returns:
        ``log_likelihood`` in nats per point; for classes ``error``, ``ece`` and ``brier``; for numbers ``rmse`` and, of
        one target, ``interval_error`` (see :func:`pyro_vds.intervals.interval_error`); or the means of what a
        likelihood of your own measures. The density and the error are those of the targets before they were divided by
        ``target_std``.
    """
    return measure_cases(model, guide, test, {"one": {} if cut is None else cut}, target_std=target_std)["one"]


def measure_cases(
    model: VDSModel,
    guide: Guide | None,
    test: Data,
    cases: Mapping[str, Cut],
    *,
    target_std: Tensor | None = None,
) -> dict[str, dict[str, float]]:
    """Measure some predictions on test data, in one pass of the network.

    Args:
        model: A trained model.
        guide: Its guide; ``None`` for a model without axes.
        test: Test inputs and targets.
        cases: What each prediction is cut to, by name.
        target_std: What standardised regression targets were divided by.

    Returns:
        The measures of :func:`measure`, by name.
    """
    single = model.likelihood.numeric and test[1].ndim == 1
    found = predict(model, guide, *test, cuts=list(cases.values()), want=["metrics", *(["pit"] if single else [])])
    return {name: _reported(scores, target_std) for name, scores in zip(cases, found, strict=True)}


def _reported(scores: Mapping[str, Tensor], target_std: Tensor | None) -> dict[str, float]:
    """Return what a run reports of the measures of each point."""
    by_point = {name: values.double().cpu() for name, values in scores.items()}
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
    """Return an exact posterior whose densities are those of the targets before they were standardised.

    Args:
        exact: The posterior of standardised targets.
        num_data: Number of them.
        target_std: What they were divided by; ``None`` for classes.
    """
    return replace(exact, log_likelihood=exact.log_likelihood - num_data * _log_units(target_std))


def _log_units(target_std: Tensor | None) -> float:
    """Return what a log density of standardised targets is above that of the targets themselves, nats."""
    return 0.0 if target_std is None else float(target_std.double().log().sum())
