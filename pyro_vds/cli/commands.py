"""What the commands do: ``fit``, and those on a finished run."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from jsonargparse import Namespace

from pyro_vds.runs.agreement import cut_line
from pyro_vds.runs.build import priors_of
from pyro_vds.runs.config import settings_from
from pyro_vds.runs.cuts import cut_text, parse_cut
from pyro_vds.runs.evaluate import choose_architecture, draw, evaluate, export_network, prune_run, reweight_run
from pyro_vds.runs.execute import execute
from pyro_vds.runs.files import FIGURES, check_free, write_json
from pyro_vds.runs.folder import Run, load_run
from pyro_vds.runs.lesions import FIGURE, LESIONS, lesion_run, lesions_text
from pyro_vds.runs.metrics import count_parameters
from pyro_vds.runs.networks import check_prior_of_graph
from pyro_vds.runs.report import write_report
from pyro_vds.runs.reweighting import comparison_text
from pyro_vds.runs.summary import summary_text

logger = logging.getLogger(__name__)


def fit_command(options: Namespace) -> None:
    """Train a network, measure it, and write a run folder."""
    progress = options.progress and not options.quiet
    run = execute(settings_from(options), options.out, overwrite=options.overwrite, progress=progress)
    print(run.summary)
    print(f"\ntrained in {run.metrics['training']['seconds']:.0f} s; figures and files: {run.folder}")


def evaluate_command(options: Namespace) -> None:
    """Measure a run on its test data again."""
    if options.out is not None:
        check_free(options.out, overwrite=options.overwrite)
    run = _load(options)
    cut = choose_architecture(run, _given(options), options.rule)
    logger.info("measuring on the test data")
    metrics = evaluate(run, cut, weights=options.weights)
    if cut:
        given = _given(options)
        print(cut_line(cut, given, options.rule or run.metrics["posterior"]["rule"]))
        if run.note and not given and options.rule is None:
            print(run.note)
    print(summary_text(metrics))
    if options.out is not None:
        write_json(options.out, metrics)


def prune_command(options: Namespace) -> None:
    """Write the pruned network to a file."""
    run = _load(options)
    cut = choose_architecture(run, _given(options), options.rule)
    network = prune_run(run, cut, weights=options.weights, fold_batch_norm=options.fold_batch_norm)
    logger.info("writing the network")
    out = options.out or run.folder / "pruned.pt2"
    export_network(run, network, out, overwrite=options.overwrite)
    print(f"{cut_text(cut)}, {count_parameters(network):,} parameters: {out}")


def plot_command(options: Namespace) -> None:
    """Draw the figures of a run again."""
    run = _load(options)
    logger.info("drawing the figures")
    draw(run)
    print(f"figures: {run.folder / FIGURES}")


def report_command(options: Namespace) -> None:
    """Write a run as one HTML page."""
    print(f"report: {write_report(load_run(options.run), options.out, overwrite=options.overwrite)}")


def reweight_command(options: Namespace) -> None:
    """Compare the exact posterior under another prior with the run's."""
    if options.out is not None:
        check_free(options.out, overwrite=options.overwrite)
    run = _load(options)
    if run.model.space.with_sites:
        check_prior_of_graph(options.prior)
    logger.info("measuring under both priors")
    other = replace(run.settings, prior=options.prior, width_prior=options.width_prior)
    comparison = reweight_run(run, priors_of(other, run.model.axes))
    print(comparison_text(comparison))
    if options.out is not None:
        write_json(options.out, comparison)


def lesion_command(options: Namespace) -> None:
    """Measure a run with blocks deleted and reordered."""
    run = _load(options)
    logger.info("measuring with blocks deleted and reordered")
    study = lesion_run(run, draws=options.draws, seed=options.seed, overwrite=options.overwrite)
    print(lesions_text(study))
    print(f"\nfile and figure: {run.folder / LESIONS}, {run.folder / FIGURES / FIGURE}")


def _load(options: Namespace) -> Run:
    logger.info("reading %s", options.run)
    return load_run(options.run, data_root=options.data_root)


def _given(options: Namespace) -> dict[str, Any]:
    """Return the labels that are given as options."""
    depth = {} if options.depth is None else {"depth": options.depth}
    return ({} if options.cut is None else parse_cut(options.cut)) | depth


CALLS: dict[str, Callable[[Namespace], None]] = {
    "fit": fit_command,
    "evaluate": evaluate_command,
    "prune": prune_command,
    "plot": plot_command,
    "report": report_command,
    "reweight": reweight_command,
    "lesion": lesion_command,
}
