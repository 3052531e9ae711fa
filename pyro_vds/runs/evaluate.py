"""What can be done with a finished run: measure it again, cut it, draw it, and ask what another prior would choose."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pyro_vds.datasets.dataset import DataSet
from pyro_vds.infer.exact import exact_posterior
from pyro_vds.priors.base import PriorLike
from pyro_vds.pruning.export import export
from pyro_vds.pruning.prune import PrunedNetwork, prune
from pyro_vds.pruning.rules import Rule
from pyro_vds.runs.cuts import as_labels
from pyro_vds.runs.figures import draw_run
from pyro_vds.runs.files import atomic, check_free
from pyro_vds.runs.folder import Run
from pyro_vds.runs.measures import evaluate_run
from pyro_vds.runs.metrics import choose_cut, costs_to_choose_by, count_parameters, find_stops
from pyro_vds.runs.reweighting import compare_priors
from pyro_vds.spaces.space import Architecture


def choose_architecture(run: Run, cut: Mapping[str, Any] | None = None, rule: Rule | None = None) -> Architecture:
    """Return the architecture to cut a run to: what is given of it, and the rest as a rule chooses.

    Args:
        run: A finished run.
        cut: Labels by the names of axes, such as ``{"depth": 3}``, or their text.
        rule: The rule for the axes that are not given; the choice of the run unless given.

    Returns:
        The label of each axis; empty for a run without one posterior for all inputs.

    Raises:
        ValueError: If there is no such axis or label, or the run has no posterior to choose from.
    """
    if cut or rule is not None:
        run.check_posterior()
    given = as_labels(run.model.coords, cut or {})
    if rule is None:
        return run.cut | given
    costs = costs_to_choose_by(run.model, torch.zeros(1, *run.data_summary.input_shape))
    return {**choose_cut(run.model, run.guide, rule, costs), **given}


def evaluate(run: Run, cut: Mapping[str, Any] | None = None, rule: Rule | None = None) -> dict[str, Any]:
    """Measure a run on its test data again: in full, and cut to an architecture.

    Args:
        run: A finished run.
        cut: Labels by the names of axes, such as ``{"depth": 3}``.
        rule: The rule for the axes that are not given; the choice of the run unless given.

    Returns:
        ``test``, ``test_size`` and ``parameters`` as in ``metrics.json``, and the label of each axis.

    Raises:
        ValueError: If the cut or the rule does not fit the run, or the data are not those of the run any more.
    """
    data, chosen = run.data, choose_architecture(run, cut, rule)
    parameters = {"full": run.parameters}
    metrics: dict[str, Any] = {"test_size": len(data.test[0]), "parameters": parameters}
    stops, saving = find_stops(run.model, run.guide, data.test[0], run.settings.threshold)
    metrics["test"] = evaluate_run(run.model, run.guide, data.test, cut=chosen, stops=stops, target_std=data.target_std)
    if saving:
        metrics["per_input"] = saving
        parameters["adaptive"] = run.parameters + count_parameters(run.guide)
    if chosen:
        parameters["pruned"] = count_parameters(prune_run(run, chosen))
    return metrics | chosen


def prune_run(run: Run, cut: Mapping[str, Any] | None = None, rule: Rule | None = None) -> PrunedNetwork:
    """Return the network of a run, cut to an architecture.

    Args:
        run: A finished run with one posterior for all inputs.
        cut: Labels by the names of axes, such as ``{"depth": 3}``.
        rule: The rule for the axes that are not given; the choice of the run unless given.

    Raises:
        ValueError: If the cut or the rule does not fit the run.
    """
    run.check_posterior()
    return prune(run.model, run.guide, **choose_architecture(run, cut, rule))


def export_network(run: Run, network: torch.nn.Module, out: str | Path, *, overwrite: bool = False) -> None:
    """Write a network cut from a run to a file that other programs run.

    Args:
        run: The run, which says what inputs look like.
        network: What :func:`prune_run` returned.
        out: The file, ``.pt2`` for ``torch.export`` or ``.onnx``.
        overwrite: Whether an existing file is replaced.

    Raises:
        FileExistsError: If the file exists and is not to be replaced.
        ValueError: If it has another suffix.
    """
    path = Path(out)
    check_free(path, overwrite=overwrite)
    dtype = torch.uint8 if run.settings.pixels == "uint8" else torch.float32
    with atomic(path) as temporary:
        export(network, torch.zeros(2, *run.data_summary.input_shape, dtype=dtype), temporary)


def draw(run: Run, data: DataSet | None = None) -> None:
    """Draw the figures of a run into its folder.

    Args:
        run: A finished run.
        data: Its data, where they are at hand.

    Raises:
        ValueError: If the data are not those of the run any more, or its posterior cannot be read.
    """
    test = (run.data if data is None else data).test
    draw_run(run.folder, run.model, run.guide, run.history, test, run.cut)


def reweight_run(run: Run, priors: Mapping[str, PriorLike]) -> dict[str, Any]:
    """Compare the exact posterior of a run with the one under other priors, for the weights as they are.

    Args:
        run: A finished run with one posterior for all inputs.
        priors: The other prior of each axis.

    Returns:
        For ``"model"`` and ``"other"`` the priors, the posterior, the log evidence (nats), what the rule of the run
        chooses, and the test measures; under ``"power"`` the choice where prior or likelihood is raised to a power.

    Raises:
        ValueError: If the run has no posterior, or a prior does not fit its axis.
    """
    run.check_posterior()
    data = run.data
    return compare_priors(
        run.model,
        exact_posterior(run.model, data.train),
        priors,
        data.test,
        rule=run.settings.rule,
        costs=costs_to_choose_by(run.model, data.train[0]),
        target_std=data.target_std,
    )
