"""The metrics of a trained model: the content of ``metrics.json``."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.guides.joint import AutoJointCategorical
from pyro_vds.guides.per_input import AutoPerInput
from pyro_vds.infer.exact import ExactPosterior, exact_posterior
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.modes import eval_mode
from pyro_vds.pruning.costs import count, multiply_adds
from pyro_vds.pruning.prune import prune
from pyro_vds.pruning.rules import Rule, choose, choose_architecture, choose_depth
from pyro_vds.runs.measures import in_data_units
from pyro_vds.runs.site_metrics import measure_architectures, summarise_sites
from pyro_vds.spaces.space import Architecture
from pyro_vds.spaces.typing import TensorPair

RULES: tuple[Rule, ...] = ("95", "argmax", "expected")


def costs_to_choose_by(model: VDSModel, x: Tensor) -> Tensor | None:
    """Return the multiply-adds of each architecture, or ``None`` for a single nested axis, which needs no costs.

    Args:
        model: A trained model.
        x: At least one input.
    """
    return multiply_adds(model.backbone, x) if _has_costs(model) else None


def _has_costs(model: VDSModel) -> bool:
    """Return whether costs choose the architecture.

    Along a single nested axis they grow, and the order is enough; with sites there are too many to count all.
    """
    if model.space.with_sites:
        return False
    return len(model.space) > 1 or any(not axis.nested for axis in model.space.values())


def choose_cut(model: VDSModel, guide: Guide, rule: Rule, costs: Tensor | None) -> Architecture:
    """Choose the architecture to prune to from the posterior.

    Args:
        model: A trained model.
        guide: The guide of the model.
        rule: As in :func:`pyro_vds.choose_depth`. With costs, ``"95"`` chooses the cheapest architecture with at least
            95 % of the mode's probability, and ``"argmax"`` the mode. With sites there is ``"argmax"`` only.
        costs: The result of :func:`costs_to_choose_by`.

    Returns:
        The label of each axis; empty for a plain network, and if each input has its own architecture.

    Raises:
        ValueError: If the rule is ``"expected"`` and there are several axes, or an axis that is not nested; or not
            ``"argmax"`` for axes with sites.
    """
    if not model.space or model.by_input:
        return {}
    if model.space.with_sites:
        if rule != "argmax":
            raise ValueError(f"Expected the rule 'argmax' for {', '.join(model.space.with_sites)}, got {rule!r}.")
        return choose_architecture(guide)
    if costs is None:
        ((name, axis),) = model.space.items()
        return {name: axis.labels[choose_depth(guide.probs()[name], rule)]}
    if rule == "expected":
        raise ValueError("Expected the rule '95' or 'argmax' for axes without a common order, got 'expected'.")
    return choose(model, guide, costs, share=0.95 if rule == "95" else 1.0)


def choose_cut_exactly(model: VDSModel, exact: ExactPosterior, rule: Rule, costs: Tensor | None) -> Architecture:
    """Choose the architecture to prune to from an exact posterior in place of the guide.

    Args:
        model: A trained model.
        exact: An exact posterior over its axes, at least one.
        rule: As in :func:`choose_cut`; with sites it is the mode.
        costs: The result of :func:`costs_to_choose_by`.
    """
    if model.space.with_sites:
        return exact.space.architecture(int(exact.log_joint_probs.argmax()))
    guide = AutoJointCategorical(model)
    guide.set_joint_probs(exact.log_joint_probs.exp())
    return choose_cut(model, guide, rule, costs)


def find_stops(
    model: VDSModel, guide: Guide, x: Tensor, threshold: float
) -> tuple[Int[Tensor, " batch"] | None, dict[str, Any]]:
    """Return the entry at which each input stops, for a model with an architecture for each input, and the savings.

    Args:
        model: A trained model.
        guide: The guide of the model.
        x: Inputs.
        threshold: Probability that may lie above the stop.

    Returns:
        The entries (``None`` for other models), and a part of the metrics: the threshold, the mean probability of each
        entry, the number of inputs that stop at each, and ``multiply_adds``, the mean of network and guide as a share
        of the whole network's.
    """
    if not isinstance(guide, AutoPerInput):
        return None, {}
    device = model.device_tensor().device
    (name,) = model.space
    parts = [part.to(device) for part in x.split(BATCH_SIZE)]
    with torch.inference_mode(), eval_mode(guide):
        stops = torch.cat([guide.stops(part, threshold) for part in parts]).cpu()
        q = torch.stack([guide.probs(part)[name] * len(part) for part in parts]).sum(0)
    costs = multiply_adds(model.backbone, x).double()
    own = count(guide.network, x[:1].to(device))
    counts = torch.bincount(stops, minlength=len(costs))
    return stops, {
        "axis": name,
        "threshold": threshold,
        "q": (q / len(x)).tolist(),
        "stops": counts.tolist(),
        "mean": float(stops.double().mean()),
        "multiply_adds": float((costs[stops].mean() + own) / costs[-1]),
    }


def summarise_posterior(
    guide: Guide, exact: ExactPosterior, *, cut: Architecture, rule: Rule, total: int
) -> dict[str, Any]:
    """Return the posterior part of a run's metrics, with the stacked weights of each axis if the guide keeps any.

    Args:
        guide: A trained guide with at least one axis.
        exact: The exact posterior given the training data.
        cut: The chosen architecture.
        rule: The rule that chose the architecture.
        total: Number of training points, for the mean log-likelihood of each architecture.
    """
    q, p = guide.probs(), exact.probs
    axes = {
        name: {"labels": list(axis.labels), "q": q[name].tolist(), "exact": p[name].tolist()}
        | ({"chosen": {r: axis.labels[choose_depth(q[name], r)] for r in RULES}} if axis.nested else {})
        for name, axis in exact.space.items()
    }
    if "stacked" in guide.available_weights:
        stacked = guide.log_weights("stacked").exp()
        for place, name in enumerate(axes):
            others = [other for other in range(len(axes)) if other != place]
            axes[name]["stacked"] = (stacked.sum(others) if others else stacked).tolist()
    joint = {"q_joint": guide.joint_probs().tolist()} if len(axes) > 1 else {}
    return {
        "rule": rule,
        "chosen": dict(cut),
        "axes": axes,
        "elbo": exact.elbo(guide),
        "log_evidence": exact.log_evidence,
        "evidence_gap": exact.gap(guide),
        "train_log_likelihood": (exact.log_likelihood / total).tolist(),
    } | joint


def collect_metrics(
    model: VDSModel,
    guide: Guide,
    train: TensorPair,
    test: TensorPair,
    *,
    rule: Rule,
    threshold: float = 0.05,
    target_std: Tensor | None = None,
    seed: int = 0,
) -> tuple[dict[str, Any], ExactPosterior | None]:
    """Return the metrics of a run, from one pass over training and test data.

    Args:
        model: A trained model.
        guide: The guide of the model.
        train: Training data, for the exact posterior.
        test: Test data.
        rule: The rule that chooses the architecture.
        threshold: Probability that may lie above the stop, for a model with an architecture for each input.
        target_std: Standard deviation by which regression targets were divided.
        seed: Seed of the draws, where there are too many architectures to list.

    Returns:
        The metrics, with densities and errors in the units of the targets before standardisation; and the exact
        posterior given the standardised targets, or ``None`` without one posterior for all inputs, or with too many
        architectures.
    """
    parameters: dict[str, int] = {"full": count_parameters(model)}
    metrics: dict[str, Any] = {"train_size": len(train[0]), "test_size": len(test[0]), "parameters": parameters}
    costs = costs_to_choose_by(model, train[0])
    exact, cut = None, choose_cut(model, guide, rule, costs)
    if model.space.with_sites:
        metrics["posterior"], exact = summarise_sites(model, guide, train, cut=cut, seed=seed, target_std=target_std)
    elif cut:
        exact = exact_posterior(model, train)
        in_units = in_data_units(exact, len(train[0]), target_std)
        metrics["posterior"] = summarise_posterior(guide, in_units, cut=cut, rule=rule, total=len(train[0]))
    if exact is not None and not exact.log_joint_probs.isnan().any():
        metrics["posterior"]["chosen_exact"] = dict(choose_cut_exactly(model, exact, rule, costs))
    if cut:
        parameters["pruned"] = count_parameters(
            prune(model, guide, weights="posterior", disagreement=False, fold_batch_norm=False, **cut)
        )
        if costs is not None:
            metrics["posterior"]["multiply_adds"] = costs.tolist()
    stops, saving = find_stops(model, guide, test[0], threshold)
    if stops is not None:
        metrics["per_input"] = saving
        parameters["adaptive"] = parameters["full"] + count_parameters(guide)
    metrics |= measure_architectures(model, guide, test, cut=cut, stops=stops, target_std=target_std, seed=seed)
    parameters |= {"stacked": parameters["full"]} if "stacked" in metrics["test"] else {}
    return metrics, exact


def count_parameters(module: torch.nn.Module) -> int:
    """Return the number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
