"""What another prior would have chosen, and how much prior and data matter, for the weights as they are."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from pyro_vds.guides.categorical import AutoJointCategorical
from pyro_vds.infer.exact import ExactPosterior, reweight
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.priors.base import PriorLike
from pyro_vds.pruning.rules import Rule, choose_depth
from pyro_vds.runs.metrics import choose_cut, evaluate_run, in_data_units
from pyro_vds.runs.summary import measures_table
from pyro_vds.spaces.typing import Data

POWERS = (0.25, 0.5, 1.0, 2.0, 4.0)


def compare_priors(
    model: VDSModel,
    exact: ExactPosterior,
    priors: Mapping[str, PriorLike],
    test: Data,
    *,
    rule: Rule,
    costs: Tensor | None = None,
    target_std: Tensor | None = None,
) -> dict[str, Any]:
    """Measure the exact posterior under the model's prior and under another one.

    Args:
        model: A trained model with a depth axis.
        exact: Its exact posterior, given the training data as the network saw them.
        priors: The other prior of each axis.
        test: Test data.
        rule: The rule that chooses the architecture.
        costs: What :func:`pyro_vds.runs.metrics.costs_to_choose_by` returns.
        target_std: What standardised regression targets were divided by.

    Returns:
        For ``"model"`` and ``"other"``: the priors, the posterior over depth, the log evidence (nats), what the rule
        chooses, and the test measures of the mixture, in full and cut to it; and under ``"power"`` the depth that the
        rule chooses when the model's prior, or the likelihood, is raised to a power (Kallioinen et al. 2024, power
        scaling).

    Raises:
        ValueError: If a prior does not fit its axis.
    """
    result: dict[str, Any] = {}
    exact = in_data_units(exact, model.num_data, target_std)
    fitted = {axis: model.fitted_prior(axis) for axis in model.axes}
    cases = {"model": (fitted, exact), "other": (priors, reweight(exact, priors))}
    for name, (its_priors, posterior) in cases.items():
        guide = AutoJointCategorical(model)
        guide.set_joint_probs(posterior.log_joint_probs.exp())
        cut = choose_cut(model, guide, rule, costs)
        result[name] = {
            "priors": {axis: repr(its_priors[axis]) for axis in model.axes},
            "posterior": posterior.probs["depth"].tolist(),
            "log_evidence": posterior.log_evidence,
            "chosen": dict(cut),
            "test": evaluate_run(model, guide, test, cut=cut, target_std=target_std),
        }
    powers = {
        "prior": [replace(exact, log_prior=a * exact.log_prior) for a in POWERS],
        "likelihood": [replace(exact, log_likelihood=a * exact.log_likelihood) for a in POWERS],
    }
    depth_rule: Rule = rule if exact.axes == ("depth",) else "argmax"
    result["power"] = {"powers": list(POWERS), "rule": depth_rule} | {
        part: [choose_depth(scaled.probs["depth"], depth_rule) for scaled in posteriors]
        for part, posteriors in powers.items()
    }
    return result


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """Return what :func:`compare_priors` found as a short text for people."""
    columns = {name: np.asarray(comparison[name]["posterior"]) for name in ("model", "other")}
    shown = np.flatnonzero(np.maximum(*columns.values()) >= 0.005)
    lines = []
    for name, title in (("model", "prior of the run"), ("other", "other prior")):
        case = comparison[name]
        chosen = ", ".join(f"{axis} {entry}" for axis, entry in case["chosen"].items())
        priors = ", ".join(f"{axis} {prior}" for axis, prior in case["priors"].items())
        lines.append(f"{title}: {priors}; chosen {chosen}; log evidence {case['log_evidence']:.2f} nats")
    lines += ["", "exact posterior for the weights as they are", "depth    run's   other"]
    lines += [f"{d:5} " + "".join(f"{q[d]:8.3f}" for q in columns.values()) for d in shown]
    for name, title in (("model", "prior of the run"), ("other", "other prior")):
        lines += ["", f"test, {title}", *measures_table(comparison[name]["test"])]
    power = comparison["power"]
    lines += ["", f"chosen depth (rule {power['rule']}) where a part is raised to a power", *_powers(power)]
    return "\n".join(lines)


def _powers(power: Mapping[str, Any]) -> list[str]:
    head = f"{'':12}" + "".join(f"{a:>8g}" for a in power["powers"])
    return [head, *(f"{part:12}" + "".join(f"{d:8}" for d in power[part]) for part in ("prior", "likelihood"))]
