"""The posterior and the choice under another prior, and under powers of prior and likelihood, for the same weights."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from pyro_vds.guides.base import Guide
from pyro_vds.guides.categorical import AutoCategorical
from pyro_vds.guides.joint import AutoJointCategorical
from pyro_vds.guides.weights import Weights
from pyro_vds.infer.exact import ExactPosterior, reweight
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.priors.base import PriorLike
from pyro_vds.pruning.rules import Rule, choose_depth
from pyro_vds.runs.cuts import cut_text, label_text
from pyro_vds.runs.measures import in_data_units, measure_test
from pyro_vds.runs.metrics import choose_cut_exactly
from pyro_vds.runs.site_metrics import of_axis
from pyro_vds.runs.summary import measures_table
from pyro_vds.spaces.space import Architecture
from pyro_vds.spaces.typing import TensorPair

POWERS = (0.25, 0.5, 1.0, 2.0, 4.0)
TITLES = {"model": "prior of the run", "other": "other prior"}


def compare_priors(
    model: VDSModel,
    exact: ExactPosterior,
    priors: Mapping[str, PriorLike],
    test: TensorPair,
    *,
    rule: Rule,
    costs: Tensor | None = None,
    target_std: Tensor | None = None,
) -> dict[str, Any]:
    """Measure the exact posterior under the model's prior and under another prior.

    Args:
        model: A trained model with at least one axis.
        exact: The exact posterior given the training data, with standardised targets.
        priors: The other prior of each axis.
        test: Test data.
        rule: The rule that chooses the architecture.
        costs: The result of :func:`pyro_vds.runs.metrics.costs_to_choose_by`.
        target_std: Standard deviation by which regression targets were divided.

    Returns:
        For ``"model"`` and ``"other"``: the priors, the exact posterior of each axis, the log evidence (nats), the
        architecture that the rule chooses from it, and the test measures of the full and the cut mixture. ``"rule"`` is
        that rule. For ``"power"``: the label of each axis
        that the rule chooses if the model's prior, or the likelihood, is raised to a power (Kallioinen et al. 2024,
        power scaling).

    Raises:
        ValueError: If a prior does not fit its axis.
    """
    result: dict[str, Any] = {"rule": "argmax" if model.space.with_sites else rule}
    exact = in_data_units(exact, model.num_data, target_std)
    fitted = {axis: model.fitted_prior(axis) for axis in model.axes}
    cases = {"model": (fitted, exact), "other": (priors, reweight(exact, priors))}
    for name, (its_priors, posterior) in cases.items():
        guide, weights = _predictor(model, posterior)
        cut = choose_cut_exactly(model, posterior, rule, costs)
        result[name] = {
            "priors": {axis: repr(its_priors[axis]) for axis in model.axes},
            "posterior": {axis: of_axis(model.space[axis], {"probs": p}) for axis, p in posterior.probs.items()},
            "log_evidence": posterior.log_evidence,
            "chosen": dict(cut),
            "test": measure_test(model, guide, test, cut=cut, target_std=target_std, weights=weights)["test"],
        }
    powers = {
        "prior": [replace(exact, log_prior=a * exact.log_prior) for a in POWERS],
        "likelihood": [replace(exact, log_likelihood=a * exact.log_likelihood) for a in POWERS],
    }
    # The other rules are for one axis; with several axes each has its mode.
    axis_rule: Rule = rule if len(exact.space) == 1 else "argmax"
    result["power"] = {"powers": list(POWERS), "rule": axis_rule} | {
        part: {axis: [_chosen(scaled, axis, axis_rule) for scaled in posteriors] for axis in exact.space}
        for part, posteriors in powers.items()
    }
    return result


def _predictor(model: VDSModel, posterior: ExactPosterior) -> tuple[Guide, Weights]:
    """Return a guide that holds a posterior, and the name under which it does."""
    if model.space.with_sites:
        independent = AutoCategorical(model)
        independent.keep_weights("exact", posterior.log_joint_probs)
        return independent, "exact"
    guide = AutoJointCategorical(model)
    guide.set_joint_probs(posterior.log_joint_probs.exp())
    return guide, "posterior"


def _mode(posterior: ExactPosterior) -> Architecture:
    return posterior.space.architecture(int(posterior.log_joint_probs.argmax()))


def _chosen(posterior: ExactPosterior, axis: str, rule: Rule) -> Any:
    """Return the label of an axis that a rule chooses; the mode if the axis is not nested."""
    entries = posterior.space[axis]
    if entries.has_sites:
        return label_text(_mode(posterior)[axis])
    return entries.labels[choose_depth(posterior.probs[axis], rule if entries.nested else "argmax")]


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """Return the results of :func:`compare_priors` as a short text, with the ``note`` of a run if there is one."""
    lines, how = [], f"exact posterior, rule {comparison['rule']}"
    for name, title in TITLES.items():
        case = comparison[name]
        chosen = cut_text(case["chosen"])
        priors = ", ".join(f"{axis} {prior}" for axis, prior in case["priors"].items())
        evidence = f"log evidence {case['log_evidence']:.2f} nats"
        lines.append(f"{title}: {priors}; chosen {chosen} ({how}); {evidence}")
    lines += [comparison["note"]] if comparison.get("note") else []
    lines += ["", "exact posterior for the same weights"]
    for axis in comparison["model"]["posterior"]:
        lines += _side_by_side(axis, *(comparison[name]["posterior"][axis] for name in TITLES))
    for name, title in TITLES.items():
        lines += ["", f"test, {title}", *measures_table(comparison[name]["test"])]
    power = comparison["power"]
    for axis in power["prior"]:
        lines += [
            "",
            f"chosen {axis} (exact posterior, rule {power['rule']}) if a part is raised to a power",
            *_powers(power, axis),
        ]
    return "\n".join(lines)


def _side_by_side(axis: str, run: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the probabilities of an axis under both priors: each site's chosen label, or entries of at least 0.005."""
    if "sites" in run:
        label = np.asarray(run["probs"]).argmax(1) if run["labels"] != [False, True] else [1] * len(run["sites"])
        head = f"{run['plate']:>6}   {axis:>12}    run's   other"
        pairs = zip(run["sites"], label, run["probs"], other["probs"], strict=True)
        return [
            head,
            *(f"{site!s:>6}   {_name(run['labels'][k]):>12} {q[k]:8.3f}{p[k]:8.3f}" for site, k, q, p in pairs),
        ]
    q, p = np.asarray(run["probs"]), np.asarray(other["probs"])
    shown = np.flatnonzero(np.maximum(q, p) >= 0.005)
    return [f"{axis:5}    run's   other", *(f"{run['labels'][i]!s:>5} {q[i]:8.3f}{p[i]:8.3f}" for i in shown)]


def _name(label: Any) -> str:
    return "open" if label is True else str(label)


def _powers(power: Mapping[str, Any], axis: str) -> list[str]:
    parts = ("prior", "likelihood")
    width = max(8, *(2 + len(str(label)) for part in parts for label in power[part][axis]))
    head = f"{'':12}" + "".join(f"{a:>{width}g}" for a in power["powers"])
    return [head, *(f"{part:12}" + "".join(f"{label!s:>{width}}" for label in power[part][axis]) for part in parts)]
