"""Digits: a depth for each input, its saving at several thresholds, beside one posterior over depth for all inputs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyro_vds as vds
from pyro_vds.runs.build import build, train
from pyro_vds.runs.data import DataSummary, load_data
from pyro_vds.runs.measures import measure_test
from pyro_vds.runs.metrics import find_stops
from pyro_vds.runs.settings import Settings

SIZE: dict[str, Any] = {"data": "digits", "max_depth": 8, "channels": 32, "bottleneck": 16}
# Each input pays for its depth: with N latents a steep prior weighs N times what it does with one.
PRIORS = (vds.priors.Geometric(0.85), vds.priors.Geometric(0.5))
THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.3)


def run(*, tiny: bool, data_root: str) -> dict[str, Any]:
    """Return the test measures of both, and of each threshold the mean depth and the share of multiply-adds.

    Args:
        tiny: One epoch of a tiny network.
        data_root: Not used: the digits come with scikit-learn.
    """
    size: dict[str, Any] = SIZE | ({"max_depth": 2, "channels": 4, "bottleneck": 2, "max_epochs": 1} if tiny else {})
    return {
        "settings": size,
        "priors": [_with_prior(Settings(preset="paper", **size, prior=prior)) for prior in PRIORS],
    }


def table(content: Mapping[str, Any]) -> str:
    """Return the saving and the test measures as a Markdown table.

    Args:
        content: What :func:`run` returned.
    """
    lines = ["| prior | network | mean depth | multiply-adds | test error | log-likelihood |", "| --- " * 6 + "|"]
    for found in content["priors"]:
        one = found["one_posterior"]
        rows = [
            (f"pruned to depth {one['chosen_depth']}", one["chosen_depth"], one["multiply_adds"], one["test"]["pruned"])
        ]
        rows += [
            (
                f"each input stops, threshold {p['threshold']:g}",
                p["mean_depth"],
                p["multiply_adds"],
                p["test"]["adaptive"],
            )
            for p in found["per_input"]
        ]
        lines += [
            f"| {found['prior']} | {name} | {depth:.2f} | {100 * share:.0f} % | {100 * test['error']:.1f} % "
            f"| {test['log_likelihood']:.3f} |"
            for name, depth, share, test in rows
        ]
    return "\n".join(lines)


def _with_prior(settings: Settings) -> dict[str, Any]:
    settings = settings.resolved()
    data = load_data(settings)
    model, guide = build(settings, DataSummary.of(data))
    train(settings, model, guide, data, progress=False)
    depth = vds.choose_depth(guide.probs()["depth"])
    costs = vds.multiply_adds(model.backbone, data.test[0]).double()
    one = {
        "chosen_depth": depth,
        "multiply_adds": float(costs[depth] / costs[-1]),
        "test": measure_test(model, guide, data.test, cut={"depth": depth})["test"],
    }
    settings = replace(settings, guide="per_input")
    model, guide = build(settings, DataSummary.of(data))
    train(settings, model, guide, data, progress=False)
    thresholds: list[dict[str, Any]] = []
    for threshold in THRESHOLDS:
        stops, saving = find_stops(model, guide, data.test[0], threshold)
        found = measure_test(model, guide, data.test, cut={}, stops=stops)
        thresholds.append(saving | {"mean_depth": saving["mean"], "test": found["test"]})
    return {"prior": repr(settings.prior), "one_posterior": one, "per_input": thresholds}
