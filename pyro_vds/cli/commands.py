"""The commands on a finished run: ``pyro-vds evaluate | prune | plot | report | reweight | lesion``."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from pyro_vds.priors.base import Prior
from pyro_vds.priors.families import Uniform
from pyro_vds.pruning.rules import Rule
from pyro_vds.runs.agreement import cut_line
from pyro_vds.runs.build import priors_of
from pyro_vds.runs.cuts import cut_text, parse_cut
from pyro_vds.runs.evaluate import choose_architecture, draw, evaluate, export_network, prune_run, reweight_run
from pyro_vds.runs.files import FIGURES, check_free, write_json
from pyro_vds.runs.folder import Run, load_run
from pyro_vds.runs.lesions import FIGURE, LESIONS, lesion_run, lesions_text
from pyro_vds.runs.measures import Weights
from pyro_vds.runs.metrics import count_parameters
from pyro_vds.runs.networks import check_prior_of_graph
from pyro_vds.runs.report import write_report
from pyro_vds.runs.reweighting import comparison_text
from pyro_vds.runs.summary import summary_text

DESCRIPTIONS = {
    "evaluate": "Measure a run on its test data again.",
    "prune": (
        "Write the pruned network as a torch.export (.pt2) or ONNX (.onnx) file. Normalise its inputs, and the targets "
        "of a regression, by the numbers in data.json (not pixels of type uint8)."
    ),
    "plot": "Draw the figures of a run again.",
    "report": "Write a run as one HTML page, RUN/report.html unless --out is given.",
    "reweight": "Compare the run's exact posterior with that under another prior, for the same weights.",
    "lesion": (
        "Measure a run with blocks deleted and reordered on its test data, and write RUN/lesions.nc and "
        "RUN/figures/lesions.png."
    ),
}

CUT_HELP = (
    "Architecture to prune to: depth=3 or depth=3,width=16; for a graph a word for all edges, as the summary has it: "
    "gate=1101, or op=none/skip_connect/none/none/none/none."
)


def run_parser(name: str) -> ArgumentParser:
    """Return the parser of a command on a finished run.

    Args:
        name: Name of the command.
    """
    parser = ArgumentParser(description=DESCRIPTIONS[name])
    parser.add_argument("run", type=Path, help="A run folder.")
    if name != "report":
        parser.add_argument("--data_root", type=str | None, help="Folder of the data, if they have moved.")
    if name == "reweight":
        parser.add_argument("--prior", type=Prior, required=True, help="The other prior over depth, or over edges.")
        parser.add_argument(
            "--width_prior", type=Prior, default=Uniform(), help="With widths: the other prior over widths."
        )
    if name in ("evaluate", "prune"):
        parser.add_argument("--cut", type=str | None, help=CUT_HELP)
        parser.add_argument("--depth", type=int | None, help="Short for --cut depth=DEPTH.")
        parser.add_argument("--rule", type=Rule | None, help="Rule for axes that are not given. Default: the run's.")
        parser.add_argument(
            "--weights", type=Weights, default="posterior", help="Weights of the architectures that predict."
        )
    if name == "lesion":
        parser.add_argument(
            "--draws", type=int, default=20, help="Reorderings, and the most lesions for each number of deleted blocks."
        )
        parser.add_argument("--seed", type=int, default=0, help="Seed of the lesions.")
    elif name != "plot":
        parser.add_argument("--out", type=Path | None, help="A file to write to.")
    if name != "plot":
        parser.add_argument("--overwrite", type=bool, default=False, help="Replace an existing file.")
    return parser


def evaluate_command(options: Namespace) -> None:
    """Measure a run on its test data again."""
    if options.out is not None:
        check_free(options.out, overwrite=options.overwrite)
    run = _load(options)
    cut = choose_architecture(run, _given(options), options.rule)
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
    network = prune_run(run, cut, weights=options.weights)
    out = options.out or run.folder / "pruned.pt2"
    export_network(run, network, out, overwrite=options.overwrite)
    print(f"{cut_text(cut)}, {count_parameters(network):,} parameters: {out}")


def plot_command(options: Namespace) -> None:
    """Draw the figures of a run again."""
    run = _load(options)
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
    other = replace(run.settings, prior=options.prior, width_prior=options.width_prior)
    comparison = reweight_run(run, priors_of(other, run.model.axes))
    print(comparison_text(comparison))
    if options.out is not None:
        write_json(options.out, comparison)


def lesion_command(options: Namespace) -> None:
    """Measure a run with blocks deleted and reordered."""
    run = _load(options)
    study = lesion_run(run, draws=options.draws, seed=options.seed, overwrite=options.overwrite)
    print(lesions_text(study))
    print(f"\nfile and figure: {run.folder / LESIONS}, {run.folder / FIGURES / FIGURE}")


def _load(options: Namespace) -> Run:
    return load_run(options.run, data_root=options.data_root)


def _given(options: Namespace) -> dict[str, Any]:
    """Return the labels that are given as options."""
    depth = {} if options.depth is None else {"depth": options.depth}
    return ({} if options.cut is None else parse_cut(options.cut)) | depth
