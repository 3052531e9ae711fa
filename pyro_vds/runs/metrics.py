"""What a trained model achieves, measured: everything that ``metrics.json`` holds."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pyro_vds.guides.categorical import Guide
from pyro_vds.guides.per_input import AutoPerInput
from pyro_vds.infer.exact import ExactPosterior, exact_posterior
from pyro_vds.infer.mixture import BATCH_SIZE
from pyro_vds.infer.predictive import log_predictive, predict_moments, predict_pit, predict_proba
from pyro_vds.likelihoods.classification import Classification
from pyro_vds.metrics import calibration, intervals
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.modes import eval_mode
from pyro_vds.pruning.costs import count, multiply_adds
from pyro_vds.pruning.prune import prune
from pyro_vds.pruning.rules import Rule, choose, choose_depth
from pyro_vds.spaces.space import Cut
from pyro_vds.spaces.typing import Data


def evaluate_run(
    model: VDSModel,
    guide: Guide,
    test: Data,
    *,
    cut: Cut,
    stops: Tensor | None = None,
    target_std: Tensor | None = None,
) -> dict[str, dict[str, float]]:
    """Measure the marginal prediction, and the one of the network cut to an architecture, on test data.

    Args:
        model: A trained model.
        guide: Its guide.
        test: Test inputs and targets.
        cut: The architecture to prune to, as :func:`choose_cut` returns it; empty for a plain network.
        stops: Where each input has a depth of its own: the depth at which it stops.
        target_std: What standardised regression targets were divided by.

    Returns:
        For ``"full"``, and ``"pruned"`` or ``"adaptive"``: ``log_likelihood`` in nats per point and, for classes,
        ``error``, ``ece`` and ``brier``, for regression ``rmse`` and, of one target, ``interval_error`` (see
        :func:`pyro_vds.intervals.interval_error`); the density and the error are those of the targets before
        they were divided by ``target_std``.
    """
    cases: dict[str, Cut | Tensor] = {"full": {}}
    cases |= {"pruned": cut} if cut else {}
    cases |= {} if stops is None else {"adaptive": stops}
    return {name: measure(model, guide, test, cut=c, target_std=target_std) for name, c in cases.items()}


def costs_to_choose_by(model: VDSModel, x: Tensor) -> Tensor | None:
    """Return the multiply-adds of each architecture, or ``None`` where depth or nothing is all there is to choose.

    Args:
        model: A trained model.
        x: At least one input.
    """
    return None if model.axes in ((), ("depth",)) else multiply_adds(model.backbone, x)


def choose_cut(model: VDSModel, guide: Guide, rule: Rule, costs: Tensor | None) -> Cut:
    """Choose the architecture to prune to from the posterior.

    Args:
        model: A trained model.
        guide: Its guide.
        rule: As in :func:`pyro_vds.choose_depth`. With widths, ``"95"`` is the cheapest architecture that reaches
            95 % of the mode's mass, and ``"argmax"`` the mode.
        costs: What :func:`costs_to_choose_by` returns.

    Returns:
        The entry of each axis; empty for a plain network, and where each input has a depth of its own.

    Raises:
        ValueError: If the rule is ``"expected"`` and there are widths.
    """
    if not model.axes or model.per_input:
        return {}
    if costs is None:
        return Cut(depth=choose_depth(guide.probs()["depth"], rule))
    if rule == "expected":
        raise ValueError("Expected the rule '95' or 'argmax' for a network with widths, got 'expected'.")
    return choose(model, guide, costs, share=0.95 if rule == "95" else 1.0)


def measure(
    model: VDSModel,
    guide: Guide | None,
    test: Data,
    *,
    cut: Cut | Tensor | None = None,
    target_std: Tensor | None = None,
) -> dict[str, float]:
    """Measure one prediction on test data.

    Args:
        model: A trained model.
        guide: Its guide; ``None`` for a model without axes.
        test: Test inputs and targets.
        cut: The architecture to prune to, or the depth of each input; the full network unless given.
        target_std: What standardised regression targets were divided by.

    Returns:
        The measures that :func:`evaluate_run` lists.
    """
    found, y = _predictions(model, guide, test, cut), test[1].cpu()
    measures = {"log_likelihood": float(found["log_density"].double().mean()) - _log_units(target_std)}
    if isinstance(model.likelihood, Classification):
        probs, labels = found["probs"].numpy(), y.numpy()
        measures |= {
            "error": 1 - calibration.accuracy(probs, labels),
            "ece": calibration.ece(probs, labels),
            "brier": calibration.brier(probs, labels),
        }
    else:
        errors = (found["mean"].reshape(y.shape) - y) * (1 if target_std is None else target_std.cpu())
        measures["rmse"] = float(errors.square().mean().sqrt())
        if y.ndim == 1:
            measures["interval_error"] = intervals.interval_error(found["pit"].numpy())
    return measures


def _predictions(
    model: VDSModel, guide: Guide | None, test: Data, cut: Cut | Tensor | None
) -> dict[str, Float[Tensor, "batch ..."]]:
    """Return what the measures need of each point."""
    x, y = test
    if isinstance(cut, Tensor):  # inputs that stop at one depth are predicted by the network pruned to it
        groups = [(cut == depth).nonzero()[:, 0] for depth in cut.unique().tolist()]
        parts = [_predictions(model, guide, (x[g], y[g]), Cut(depth=int(cut[g[0]]))) for g in groups]
        order = torch.cat(groups).argsort()
        return {name: torch.cat([part[name] for part in parts])[order] for name in parts[0]}
    cut = cut or {}
    found = {"log_density": log_predictive(model, guide, x, y, **cut).cpu()}
    if isinstance(model.likelihood, Classification):
        return found | {"probs": predict_proba(model, guide, x, **cut).cpu()}
    found["mean"] = predict_moments(model, guide, x, **cut)[0].cpu()
    return found | ({"pit": torch.from_numpy(predict_pit(model, guide, x, y, **cut))} if y.ndim == 1 else {})


def find_stops(
    model: VDSModel, guide: Guide, x: Tensor, threshold: float
) -> tuple[Int[Tensor, " batch"] | None, dict[str, Any]]:
    """Return the depth at which each input stops, where the model has a depth for each, and what that saves.

    Args:
        model: A trained model.
        guide: Its guide.
        x: Inputs.
        threshold: Mass that may lie above the stop.

    Returns:
        The depths, ``None`` for other models; and a part of the metrics: the threshold, the mean probability of each
        depth, the number of inputs that stop at each, and ``multiply_adds``, those of the network and the guide on
        average, as a share of the whole network's.
    """
    if not isinstance(guide, AutoPerInput):
        return None, {}
    device = model.device_tensor().device
    parts = [part.to(device) for part in x.split(BATCH_SIZE)]
    with torch.inference_mode(), eval_mode(guide):
        stops = torch.cat([guide.stops(part, threshold) for part in parts]).cpu()
        q = torch.stack([guide.probs(part)["depth"] * len(part) for part in parts]).sum(0)
    costs = multiply_adds(model.backbone, x).double()
    own = count(guide.network, x[:1].to(device))
    counts = torch.bincount(stops, minlength=len(costs))
    return stops, {
        "threshold": threshold,
        "q": (q / len(x)).tolist(),
        "stops": counts.tolist(),
        "mean_depth": float(stops.double().mean()),
        "multiply_adds": float((costs[stops].mean() + own) / costs[-1]),
    }


def summarise_posterior(guide: Guide, exact: ExactPosterior, *, cut: Cut, rule: Rule, total: int) -> dict[str, Any]:
    """Return the posterior part of a run's metrics.

    Args:
        guide: A trained guide with a depth axis.
        exact: The exact posterior given the training data.
        cut: The chosen architecture.
        rule: The rule that chose it.
        total: Number of training points, for the mean log-likelihood of each depth.
    """
    q = guide.probs()["depth"].cpu()
    rules: tuple[Rule, ...] = ("95", "argmax", "expected")
    joint = {"q_joint": guide.joint_probs().tolist()} if len(guide.axes) > 1 else {}
    return {
        "rule": rule,
        "chosen": dict(cut),
        "chosen_depth": {name: choose_depth(q, name) for name in rules},
        "elbo": exact.elbo(guide),
        "log_evidence": exact.log_evidence,
        "evidence_gap": exact.gap(guide),
        "q": q.tolist(),
        "exact_posterior": exact.probs["depth"].tolist(),
        "train_log_likelihood_by_depth": (exact.log_likelihood / total).tolist(),
    } | joint


def collect_metrics(
    model: VDSModel,
    guide: Guide,
    train: Data,
    test: Data,
    *,
    rule: Rule,
    threshold: float = 0.05,
    target_std: Tensor | None = None,
) -> tuple[dict[str, Any], ExactPosterior | None]:
    """Measure everything that a run's ``metrics.json`` holds.

    Args:
        model: A trained model.
        guide: Its guide.
        train: Training data, for the exact posterior.
        test: Test data.
        rule: The rule that chooses the depth.
        threshold: Where each input has a depth of its own: the mass that may lie above it.
        target_std: What standardised regression targets were divided by.

    Returns:
        The metrics, densities and errors those of the targets before they were divided by ``target_std``; and
        the exact posterior if the model has one depth for all, given the targets as they are.
    """
    parameters: dict[str, int] = {"full": count_parameters(model)}
    metrics: dict[str, Any] = {
        "train_size": len(train[0]),
        "test_size": len(test[0]),
        "parameters": parameters,
    }
    costs = costs_to_choose_by(model, train[0])
    exact, cut = None, choose_cut(model, guide, rule, costs)
    if cut:
        exact = exact_posterior(model, train)
        in_units = in_data_units(exact, len(train[0]), target_std)
        metrics["posterior"] = summarise_posterior(guide, in_units, cut=cut, rule=rule, total=len(train[0]))
        parameters["pruned"] = count_parameters(prune(model, guide, **cut))
        if costs is not None:
            metrics["posterior"] |= {"widths": model.coords["width"], "multiply_adds": costs.tolist()}
    stops, saving = find_stops(model, guide, test[0], threshold)
    if stops is not None:
        metrics["per_input"] = saving
        parameters["adaptive"] = parameters["full"] + count_parameters(guide)
    metrics["test"] = evaluate_run(model, guide, test, cut=cut, stops=stops, target_std=target_std)
    return metrics, exact


def in_data_units(exact: ExactPosterior, num_data: int, target_std: Tensor | None) -> ExactPosterior:
    """Return an exact posterior whose densities are those of the targets before they were standardised.

    Args:
        exact: The posterior of standardised targets.
        num_data: Number of them.
        target_std: What they were divided by; ``None`` for classes.
    """
    return replace(exact, log_likelihood=exact.log_likelihood - num_data * _log_units(target_std))


def count_parameters(module: torch.nn.Module) -> int:
    """Return the number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def _log_units(target_std: Tensor | None) -> float:
    """Return what a log density of standardised targets is above that of the targets themselves, nats."""
    return 0.0 if target_std is None else float(target_std.double().log().sum())
