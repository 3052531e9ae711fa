"""Operations on a finished run: evaluate, prune, draw, and compare priors."""

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.weights import Weights
from pyro_vds.infer.exact import exact_posterior
from pyro_vds.infer.uncertainty import predict_disagreement
from pyro_vds.metrics.uncertainty import Detection, detect_outside
from pyro_vds.priors.base import PriorLike
from pyro_vds.pruning.export import export
from pyro_vds.pruning.prune import PrunedNetwork, prune
from pyro_vds.pruning.rules import Rule
from pyro_vds.runs.classes import with_class_names
from pyro_vds.runs.config import settings_words
from pyro_vds.runs.cuts import as_labels
from pyro_vds.runs.figures import draw_run
from pyro_vds.runs.files import atomic, check_free
from pyro_vds.runs.folder import Run
from pyro_vds.runs.metrics import choose_cut, costs_to_choose_by, count_parameters, find_stops
from pyro_vds.runs.reweighting import compare_priors
from pyro_vds.runs.site_metrics import measure_architectures
from pyro_vds.spaces.space import Architecture
from pyro_vds.spaces.typing import InputsLike


def choose_architecture(run: Run, cut: Mapping[str, Any] | None = None, rule: Rule | None = None) -> Architecture:
    """Return the architecture to cut a run to; a rule chooses the labels that are not given.

    Args:
        run: A finished run.
        cut: Labels of some axes, such as ``{"depth": 3}``, or their text.
        rule: The rule for the other axes; ``None`` uses the architecture that the run chose.

    Returns:
        The label of each axis; empty for a run without one posterior for all inputs.

    Raises:
        ValueError: If there is no such axis or label, or the run has no posterior to choose from.
    """
    if cut or rule is not None:
        run.check_posterior()
    given = as_labels(run.model.space, cut or {})
    if rule is None:
        return run.cut | given
    costs = costs_to_choose_by(run.model, torch.zeros(1, *run.data_summary.input_shape))
    return {**choose_cut(run.model, run.guide, rule, costs), **given}


def evaluate(
    run: Run, cut: Mapping[str, Any] | None = None, rule: Rule | None = None, *, weights: Weights = "posterior"
) -> dict[str, Any]:
    """Measure the full and the cut network of a run on its test data.

    Args:
        run: A finished run.
        cut: Labels of some axes, such as ``{"depth": 3}``, or their text.
        rule: The rule for the other axes; ``None`` uses the architecture that the run chose.
        weights: The weights of the architectures that predict, ``"posterior"``, ``"uniform"``, ``"stacked"`` or
            ``"exact"``. They do not choose the cut, which the posterior does.

    Returns:
        ``test``, ``by_class``, ``weights``, ``disagreement``, ``test_size`` and ``parameters`` as in ``metrics.json``,
        and the label of each axis.

    Raises:
        ValueError: If the cut or the rule does not fit the run, the run has no such weights, or the data have changed
            since the run.
    """
    data, chosen = run.data, choose_architecture(run, cut, rule)
    parameters = {"full": run.parameters}
    metrics: dict[str, Any] = {"test_size": len(data.test[0]), "parameters": parameters}
    stops, saving = find_stops(run.model, run.guide, data.test[0], run.settings.threshold)
    metrics |= measure_architectures(
        run.model,
        run.guide,
        data.test,
        cut=chosen,
        stops=stops,
        target_std=data.target_std,
        weights=weights,
        seed=run.settings.seed,
    )
    if "stacked" in metrics["test"]:
        parameters["stacked"] = run.parameters
    if saving:
        metrics["per_input"] = saving
        parameters["adaptive"] = run.parameters + count_parameters(run.guide)
    if chosen:
        parameters["pruned"] = count_parameters(prune_run(run, chosen))
    return with_class_names(metrics, data.class_names) | chosen


def prune_run(
    run: Run,
    cut: Mapping[str, Any] | None = None,
    rule: Rule | None = None,
    *,
    weights: Weights = "posterior",
    disagreement: bool = False,
    fold_batch_norm: bool = False,
) -> PrunedNetwork:
    """Return the network of a run, cut to an architecture.

    Args:
        run: A finished run with one posterior for all inputs.
        cut: Labels of some axes, such as ``{"depth": 3}``, or their text.
        rule: The rule for the other axes; ``None`` uses the architecture that the run chose.
        weights: The weights of the architectures that predict; they do not choose the cut, which the posterior does.
        disagreement: Whether the network says how much its architectures disagree, as in :func:`pyro_vds.prune`.
        fold_batch_norm: Whether batch norms become a part of the layers before them, as in :func:`pyro_vds.prune`.

    Raises:
        ValueError: If the cut or the rule does not fit the run, the run has no such weights, or no axis is nested and
            ``disagreement`` is asked for.
    """
    run.check_posterior()
    chosen = choose_architecture(run, cut, rule)
    return prune(
        run.model, run.guide, weights=weights, disagreement=disagreement, fold_batch_norm=fold_batch_norm, **chosen
    )


def detect_other_data(
    run: Run, x: InputsLike | DataLoader, cut: Mapping[str, Any] | None = None, *, weights: Weights = "uniform"
) -> Detection:
    """Measure how well the disagreement of a run's architectures tells other data from its test data.

    With the default weights each architecture counts the same, see :func:`pyro_vds.predict_disagreement`: a sharp
    posterior leaves nothing to disagree.

    Args:
        run: A finished run.
        x: Inputs of another kind, prepared as the inputs of the run are, ``(batch, ...)``; or a ``DataLoader``.
        cut: Labels of some axes, such as ``{"depth": 3}``, or their text; ``None`` takes all architectures.
        weights: The weights of the architectures, ``"posterior"``, ``"uniform"``, ``"stacked"`` or ``"exact"``.

    Raises:
        ValueError: If the inputs or the cut do not fit the run, the run has no such weights, or the data have changed
            since the run.
    """
    labels: dict[str, Any] = as_labels(run.model.space, cut or {})
    inside, outside = (
        predict_disagreement(run.model, run.guide, inputs, weights=weights, **labels)
        for inputs in (run.data.test[0], x)
    )
    return detect_outside(inside, outside)


def export_network(run: Run, network: torch.nn.Module, out: str | Path, *, overwrite: bool = False) -> None:
    """Write a pruned network of a run to a file that other programs can run.

    The metadata of the file has the version of pyro_vds, the settings of the run, and the summary of its data: the
    shape of an input, and the numbers by which inputs and targets were normalised. ``normalised`` says whether the
    file expects normalised inputs: not pixels as bytes, which the network normalises itself. See
    :func:`pyro_vds.pruning.export.export` for how to read it.

    Args:
        run: The run, which determines the shape and dtype of inputs.
        network: The network from :func:`prune_run`.
        out: The file, ``.pt2`` for ``torch.export`` or ``.onnx``.
        overwrite: Whether to replace an existing file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false.
        ValueError: If the suffix is neither ``.pt2`` nor ``.onnx``.
    """
    path = Path(out)
    check_free(path, overwrite=overwrite)
    pixels = run.settings.pixels == "uint8"
    example = torch.zeros(2, *run.data_summary.input_shape, dtype=torch.uint8 if pixels else torch.float32)
    metadata = {
        "pyro_vds": version("pyro_vds"),
        "settings": settings_words(run.settings),
        "data": asdict(run.data_summary),
        "normalised": not pixels,
    }
    with atomic(path) as temporary:
        export(network, example, temporary, metadata=metadata)


def draw(run: Run, data: DataSet | None = None) -> None:
    """Draw the figures of a run into its folder.

    Args:
        run: A finished run.
        data: The data of the run; ``None`` loads them.

    Raises:
        ValueError: If the data have changed since the run, or its posterior cannot be read.
    """
    test = (run.data if data is None else data).test
    draw_run(run.folder, run.model, run.guide, run.history, test, run.cut, seed=run.settings.seed, note=run.note)


def reweight_run(run: Run, priors: Mapping[str, PriorLike]) -> dict[str, Any]:
    """Compare the exact posterior of a run with the exact posterior under other priors, for the same weights.

    Args:
        run: A finished run with one posterior for all inputs.
        priors: The other prior of each axis.

    Returns:
        For ``"model"`` and ``"other"`` the priors, the posterior, the log evidence (nats), the architecture chosen by
        the rule of the run, and the test measures; for ``"power"`` the choices with powers of prior and likelihood;
        and ``note``, a sentence if the guide of the run disagrees with its exact posterior.

    Raises:
        ValueError: If the run has no posterior, or too many architectures to list, or a prior does not fit its axis.
    """
    run.check_posterior()
    run.model.space.require_table("to weigh again", "Train again with the other prior.")
    data, rule = run.data, run.settings.resolved().rule
    assert rule is not None
    compared = compare_priors(
        run.model,
        exact_posterior(run.model, data.train),
        priors,
        data.test,
        rule=rule,
        costs=costs_to_choose_by(run.model, data.train[0]),
        target_std=data.target_std,
    )
    return compared | {"note": run.note}
