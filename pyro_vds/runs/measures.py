"""Measures of predictions on test data, from one pass of the network."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.infer.cases import Case, Cut
from pyro_vds.infer.exact import ExactPosterior
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
    """Measure the predictions of the full and of the cut network, from one pass over test data.

    Args:
        model: A trained model.
        guide: The guide of the model.
        test: Test inputs and targets.
        cut: The architecture to prune to, from :func:`pyro_vds.runs.metrics.choose_cut`; empty for a plain network.
        stops: The entry at which each input stops, for a model with an architecture for each input.
        target_std: Standard deviation by which regression targets were divided.

    Returns:
        The measures of :func:`measure` for ``"full"``, for ``"pruned"`` or ``"adaptive"``, and for ``"stacked"``: all
        architectures, with stacked weights if the guide keeps any.
    """
    cases: dict[str, Cut | Case] = {"full": {}}
    cases |= {"pruned": cut} if cut else {}
    cases |= {} if stops is None else {"adaptive": stops}
    cases |= {"stacked": Case("stacked")} if "stacked" in guide.available_weights else {}
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
    test: Data,
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
    single = model.likelihood.numeric and test[1].ndim == 1
    measured = predict(model, guide, *test, cuts=list(cases.values()), want=["metrics", *(["pit"] if single else [])])
    return {name: _reported(scores, target_std) for name, scores in zip(cases, measured, strict=True)}


def _reported(scores: Mapping[str, Tensor], target_std: Tensor | None) -> dict[str, float]:
    """Return the measures that a run reports from the metrics of each point."""
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
    """Return an exact posterior with the densities of the targets before standardisation.

    Args:
        exact: The posterior given standardised targets.
        num_data: Number of targets.
        target_std: Standard deviation by which they were divided; ``None`` for classes.
    """
    return replace(exact, log_likelihood=exact.log_likelihood - num_data * _log_units(target_std))


def _log_units(target_std: Tensor | None) -> float:
    """Return the log density of standardised targets minus that of the original targets, nats."""
    return 0.0 if target_std is None else float(target_std.double().log().sum())
