"""The commands on a finished run: ``pyro-vds evaluate | prune | plot | report | reweight``.

Each takes its options, and the parser of ``fit``, which reads the run's configuration.
"""

from dataclasses import fields, replace
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace

from pyro_vds.infer.exact import exact_posterior
from pyro_vds.pruning.prune import prune
from pyro_vds.runs.figures import draw_run
from pyro_vds.runs.files import CONFIG, FIGURES, atomic, check_free, check_run_folder, reading, write_json
from pyro_vds.runs.folder import Run, load_run
from pyro_vds.runs.measures import evaluate_run
from pyro_vds.runs.metrics import choose_cut, costs_to_choose_by, count_parameters, find_stops
from pyro_vds.runs.report import render
from pyro_vds.runs.reweighting import compare_priors, comparison_text
from pyro_vds.runs.settings import Settings
from pyro_vds.runs.summary import say, summary_text
from pyro_vds.spaces.space import Architecture


def evaluate_command(options: Namespace, parser: ArgumentParser) -> None:
    """Measure a run on its test data again."""
    if options.out is not None:
        check_free(options.out, overwrite=options.overwrite)
    run = _load(options, parser)
    data = run.load_data()
    cut = _cut(options, run)
    metrics: dict[str, Any] = {"test_size": len(data.test[0]), "parameters": {"full": run.parameters}}
    stops, saving = find_stops(run.model, run.guide, data.test[0], run.settings.threshold)
    metrics["test"] = evaluate_run(run.model, run.guide, data.test, cut=cut, stops=stops, target_std=data.target_std)
    if saving:
        metrics["per_input"] = saving
        metrics["parameters"]["adaptive"] = run.parameters + count_parameters(run.guide)
    if cut:
        metrics |= cut
        pruned = prune(run.model, run.guide, **cut)
        metrics["parameters"]["pruned"] = count_parameters(pruned)
        say(f"pruned to {_named(cut)}")
    say(summary_text(metrics))
    if options.out is not None:
        write_json(options.out, metrics)


def prune_command(options: Namespace, parser: ArgumentParser) -> None:
    """Write the pruned network to a file."""
    run = _load(options, parser)
    cut = _cut(options, run)
    if not cut:
        raise ValueError(f"Expected a run with a depth posterior, but {_held(run)}.")
    out = options.out or run.folder / "pruned.pt2"
    check_free(out, overwrite=options.overwrite)
    network = prune(run.model, run.guide, **cut)
    dtype = torch.uint8 if run.settings.pixels == "uint8" else torch.float32
    example = torch.zeros(2, *run.data.input_shape, dtype=dtype)
    dynamic = ({0: torch.export.Dim.AUTO},)
    with atomic(out) as temporary:
        if out.suffix == ".pt2":
            torch.export.save(torch.export.export(network, (example,), dynamic_shapes=dynamic), temporary)
        elif out.suffix == ".onnx":
            torch.onnx.export(
                network, (example,), temporary, dynamo=True, external_data=False, verbose=False,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )  # fmt: skip
        else:
            raise ValueError(f"Expected a file that ends in .pt2 or .onnx, got {out}.")
    say(f"{_named(cut)}, {count_parameters(network):,} parameters: {out}")


def plot_command(options: Namespace, parser: ArgumentParser) -> None:
    """Draw the figures of a run again."""
    run = _load(options, parser)
    draw_run(run.folder, run.model, run.guide, run.history, run.load_data().test, run.cut)
    say(f"figures: {run.folder / FIGURES}")


def report_command(options: Namespace, parser: ArgumentParser) -> None:
    """Write a run as one HTML page."""
    out = options.out or options.run / "report.html"
    check_run_folder(options.run)
    check_free(out, overwrite=options.overwrite)
    text = render(_load(options, parser))
    with atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(f"report: {out}")


def reweight_command(options: Namespace, parser: ArgumentParser) -> None:
    """Compare the exact posterior under another prior with the run's."""
    if options.out is not None:
        check_free(options.out, overwrite=options.overwrite)
    run = _load(options, parser)
    if not run.cut:
        raise ValueError(f"Expected a run with a depth posterior, but {_held(run)}.")
    data, priors = run.load_data(), {"depth": options.prior, "width": options.width_prior}
    comparison = compare_priors(
        run.model,
        exact_posterior(run.model, data.train),
        {axis: priors[axis] for axis in run.model.axes},
        data.test,
        rule=run.settings.rule,
        costs=costs_to_choose_by(run.model, data.train[0]),
        target_std=data.target_std,
    )
    say(comparison_text(comparison))
    if options.out is not None:
        write_json(options.out, comparison)


def _load(options: Namespace, parser: ArgumentParser) -> Run:
    """Read a run folder, with the data root given now if there is one."""
    check_run_folder(options.run)
    parser.exit_on_error = False
    with reading(options.run, CONFIG):
        words = parser.instantiate(parser.parse_path(str(options.run / CONFIG)))
        settings = Settings(**{field.name: words[field.name] for field in fields(Settings)})
    if options.get("data_root") is not None:
        settings = replace(settings, data_root=options.data_root)
    return load_run(options.run, settings)


def _cut(options: Namespace, run: Run) -> Architecture:
    """Return the architecture that the options or the run's rule choose; empty for a plain network."""
    given: Any = {axis: getattr(options, axis) for axis in ("depth", "width") if getattr(options, axis) is not None}
    if not run.cut:
        if given or options.rule is not None:
            raise ValueError(f"Expected a run with a depth posterior to choose from, but {_held(run)}.")
        return {}
    if options.rule is None:
        return run.cut | given
    costs = costs_to_choose_by(run.model, torch.zeros(1, *run.data.input_shape))
    return choose_cut(run.model, run.guide, options.rule, costs) | given


def _held(run: Run) -> str:
    """Return what a run without one posterior for all inputs holds, in words."""
    kind = "a depth for each input" if run.model.by_input else "a plain network"
    return f"{run.folder} holds {kind}"


def _named(cut: Architecture) -> str:
    return ", ".join(f"{axis} {entry}" for axis, entry in cut.items())
