"""The command line: ``pyro-vds fit | evaluate | prune | plot | report | reweight``."""

import itertools
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace

from pyro_vds import runs
from pyro_vds.choice import Cut
from pyro_vds.guides import Guide
from pyro_vds.history import History
from pyro_vds.loop import NonFiniteLossError
from pyro_vds.model import VDSModel
from pyro_vds.page import render
from pyro_vds.posterior import ExactPosterior, exact_posterior, load_datatree, save_datatree, to_datatree
from pyro_vds.prior import Prior
from pyro_vds.priors import Uniform
from pyro_vds.pruning import Rule, prune
from pyro_vds.report import (
    choose_cut,
    collect_metrics,
    costs_to_choose_by,
    count_parameters,
    draw_figures,
    evaluate_run,
    find_stops,
    summary_text,
)
from pyro_vds.sensitivity import compare_priors, comparison_text
from pyro_vds.settings import DataName, Settings
from pyro_vds.splits import DataSet
from pyro_vds.validation import check_data

DRAWS = 200
DRAWN = ("log_q", "log_prior", "log_exact_posterior", "log_likelihood")
DESCRIPTIONS = {
    "evaluate": "Measure a run on its test data again.",
    "prune": (
        "Write the pruned network as a torch.export (.pt2) or ONNX (.onnx) file. Its inputs, and the targets of a "
        "regression, are normalised as data.json says (pixels of type uint8 are taken as they are)."
    ),
    "plot": "Draw the figures of a run again.",
    "report": "Write a run as one HTML page with everything in it, RUN/report.html unless --out is given.",
    "reweight": "Compare the exact posterior under another prior with the run's, for the weights as they are.",
}
FLAGS = ("--overwrite", "--recalibrate", "--compile", "--channels-last", "--learn-prior", "--pretrained", "--frozen")
BOOLEANS = ("true", "false", "yes", "no")

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        argv: Arguments; those of the process unless given.
    """
    parser, fit_parser = _parser()
    try:
        arguments = parser.parse_args(_spelled(list(sys.argv[1:] if argv is None else argv)))
        options = parser.instantiate(arguments)[arguments.subcommand]
        COMMANDS[arguments.subcommand](options, fit_parser)
    except (ValueError, TypeError, OSError, ImportError, ArithmeticError, MemoryError) as error:
        logger.debug("The error in full:", exc_info=True)
        parser.exit(1, f"pyro-vds: {_one_line(str(error), error)}\n")
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        remedy = "Reduce the width, max_depth or batch_size, or use another device."
        parser.exit(1, f"pyro-vds: {_one_line(f'Expected the network to fit the memory. {remedy} {error}', error)}\n")
    except KeyboardInterrupt as error:
        parser.exit(130, f"pyro-vds: {_one_line('Interrupted.', error)}\n")


def _one_line(message: str, error: BaseException) -> str:
    """Return a message and the notes of an error, without the line breaks of other libraries."""
    lines = "\n".join([message, *getattr(error, "__notes__", [])]).splitlines()
    return " ".join(line.strip() for line in lines if line.strip())


def _parser() -> tuple[ArgumentParser, ArgumentParser]:
    """Return the parser, and the one of ``fit``, which also reads and writes configurations."""
    parser = ArgumentParser(prog="pyro-vds", description="Learn the depth of a residual network.")
    commands = parser.add_subcommands(required=True)
    fit_parser = ArgumentParser(
        allow_abbrev=False,  # an abbreviated --config would not be moved to the front
        description="Learn weights and depth in one run: pyro-vds fit {" + ",".join(get_args(DataName)) + "} [options]",
    )
    fit_parser.add_argument("--config", action="config", help="A YAML file with settings, such as a run's config.yaml.")
    fit_parser.add_class_arguments(Settings)
    fit_parser.add_argument(
        "--out",
        type=Path | None,
        help="The run folder. Default: runs/DATA; if that exists, runs/DATA-2 and so on unless --overwrite.",
    )
    fit_parser.add_argument("--overwrite", type=bool, default=False, help="Replace an existing run folder.")
    fit_parser.add_argument("--progress", type=bool, default=True, help="Show a progress bar.")
    commands.add_subcommand("fit", fit_parser)
    for name, text in DESCRIPTIONS.items():
        commands.add_subcommand(name, _run_parser(name, text))
    return parser, fit_parser


def _run_parser(name: str, description: str) -> ArgumentParser:
    """Return the parser of a command on a finished run."""
    command = ArgumentParser(description=description)
    command.add_argument("run", type=Path, help="A run folder.")
    if name != "report":
        command.add_argument("--data_root", type=str | None, help="Where the data are, if not where they were.")
    if name == "reweight":
        command.add_argument("--prior", type=Prior, required=True, help="The other prior over depth.")
        command.add_argument("--width_prior", type=Prior, default=Uniform(), help="With widths: that over widths.")
    if name in ("evaluate", "prune"):
        command.add_argument("--depth", type=int | None, help="The depth to prune to; the rule's unless given.")
        command.add_argument("--width", type=int | None, help="With widths: the one to prune to.")
        command.add_argument("--rule", type=Rule | None, help="The rule that chooses it; the run's unless given.")
    if name != "plot":
        command.add_argument("--out", type=Path | None, help="A file to write to.")
        command.add_argument("--overwrite", type=bool, default=False, help="Replace an existing file.")
    return command


def _spelled(argv: list[str]) -> list[str]:
    """Let ``fit spirals`` stand for ``fit --data spirals``, dashes for underscores, and a flag for true.

    Configurations come first, so that options win wherever they stand.
    """
    if argv[:1] == ["fit"]:
        named = ["--data"] if len(argv) > 1 and not argv[1].startswith("-") else []
        argv = ["fit", *_configs_first([*named, *argv[1:]])]
    spelled = []
    for word, following in itertools.zip_longest(argv, argv[1:], fillvalue=""):
        name, equals, value = word.partition("=")
        spelled.append(name.replace("-", "_").replace("__", "--", 1) + equals + value if name[:2] == "--" else word)
        if name in FLAGS and not equals and following.lower() not in BOOLEANS:
            spelled.append("true")
    return spelled


def _configs_first(words: list[str]) -> list[str]:
    """Return the words with ``--config FILE`` and ``--config=FILE`` at the front."""
    configs, others = [], []
    remaining = iter(words)
    for word in remaining:
        if word == "--config":
            configs += [word, *itertools.islice(remaining, 1)]
        else:
            (configs if word.startswith("--config=") else others).append(word)
    return configs + others


def _fit(options: Namespace, parser: ArgumentParser) -> None:
    settings = Settings(**{field.name: options[field.name] for field in fields(Settings)}).resolved()
    usual = Path("runs") / settings.data
    out = options.out or (usual if options.overwrite else _free_folder(usual))
    runs.check_free(out, overwrite=options.overwrite)
    data = settings.load_data()
    data_summary = runs.DataSummary.of(data)
    model, guide = runs.build(settings, data_summary)
    for part in (data.train, data.validation, data.test):
        if part is not None:
            check_data(model, *part)
    device = _device(settings.device)
    started = time.perf_counter()
    with runs.new_folder(out, overwrite=options.overwrite) as folder:
        _write_config(folder / runs.CONFIG, settings, parser)
        runs.write_json(folder / runs.DATA, asdict(data_summary))
        runs.write_json(folder / runs.ENVIRONMENT, runs.environment(device))
        history = _train_and_save(folder, settings, model, guide, data, device, progress=options.progress)
        seconds = time.perf_counter() - started
        metrics, exact = collect_metrics(
            model,
            guide,
            data.train,
            data.test,
            rule=settings.rule,
            threshold=settings.threshold,
            target_std=data.target_std,
        )
        metrics["training"] = _training_metrics(history, seconds)
        summary = f"{settings.data}: {len(history)} epochs ({history.stopped})\n\n{summary_text(metrics)}"
        runs.write_json(folder / runs.METRICS, metrics)
        (folder / runs.SUMMARY).write_text(summary + "\n")
        _write_posterior(folder, model, guide, data, exact)
        cut: Cut = metrics["posterior"]["chosen"] if "posterior" in metrics else {}
        _draw(folder, model, guide, history, data, cut)
    _say(summary)
    _say(f"\ntrained in {seconds:.0f} s; figures and files: {out}")


def _train_and_save(
    folder: Path,
    settings: Settings,
    model: VDSModel,
    guide: Guide,
    data: DataSet,
    device: torch.device,
    *,
    progress: bool,
) -> History:
    """Train, and write weights and history, of the best state when the loss became NaN too."""
    try:
        history = runs.train(settings, model, guide, data, device=device, progress=progress)
    except NonFiniteLossError as error:
        runs.save_weights(folder, model, guide)
        error.history.save(folder / runs.HISTORY)
        raise
    runs.save_weights(folder, model, guide)
    history.save(folder / runs.HISTORY)
    return history


def _free_folder(path: Path) -> Path:
    """Return the path, or the first of ``path-2``, ``path-3``, ... that does not exist."""
    candidates = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(p for p in itertools.chain([path], candidates) if not p.exists())


def _training_metrics(history: History, seconds: float) -> dict[str, Any]:
    return {
        "seconds": seconds,
        "compile_seconds": history.compile_seconds,
        "epochs": len(history),
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
    }


def _write_config(path: Path, settings: Settings, parser: ArgumentParser) -> None:
    """Write settings in the words that ``--config`` reads."""
    words = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    plain = {k: _plain(v) for k, v in words.items() if v is not None}
    path.write_text(yaml.safe_dump(plain, sort_keys=False))
    parser.parse_path(str(path))


def _plain(value: Any) -> Any:
    """Return a value in the words of YAML; a prior as the class and its arguments."""
    if is_dataclass(value):
        arguments = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"class_path": type(value).__name__, "init_args": arguments}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _write_posterior(folder: Path, model: VDSModel, guide: Guide, data: DataSet, exact: ExactPosterior | None) -> None:
    if exact is None:
        return
    small = data.test[0].numel() < 1_000_000
    tree = to_datatree(model, guide, *data.test, posterior=exact, draws=DRAWS, constant_data=small)
    if data.target_mean is not None and data.target_std is not None:
        moments = {"target_mean": data.target_mean.tolist(), "target_std": data.target_std.tolist()}
        tree.attrs |= {"targets": "standardised: target_mean + target_std * obs is in the units of the data", **moments}
    save_datatree(tree, folder / runs.POSTERIOR)


def _draw(folder: Path, model: VDSModel, guide: Guide, history: History, data: DataSet, cut: Cut) -> None:
    tree = None
    if model.axes and not model.per_input:
        with runs.reading(folder, runs.POSTERIOR):
            tree = load_datatree(folder / runs.POSTERIOR)
            for name in DRAWN:
                found = tree["depth_posterior"][name].shape[: len(model.sizes)]
                if found != model.sizes:
                    raise ValueError(f"{name} is of {list(found)} architectures, the network has {list(model.sizes)}")
    draw_figures(model, guide, history, data.test, tree, folder / runs.FIGURES, cut=cut)


def _load(options: Namespace, parser: ArgumentParser) -> runs.Run:
    """Read a run folder, with the data root given now if there is one."""
    runs.check_run_folder(options.run)
    parser.exit_on_error = False
    with runs.reading(options.run, runs.CONFIG):
        words = parser.instantiate(parser.parse_path(str(options.run / runs.CONFIG)))
        settings = Settings(**{field.name: words[field.name] for field in fields(Settings)})
    if options.get("data_root") is not None:
        settings = replace(settings, data_root=options.data_root)
    return runs.load_run(options.run, settings)


def _cut(options: Namespace, run: runs.Run) -> Cut:
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


def _held(run: runs.Run) -> str:
    """Return what a run without one posterior for all inputs holds, in words."""
    kind = "a depth for each input" if run.model.per_input else "a plain network"
    return f"{run.folder} holds {kind}"


def _named(cut: Cut) -> str:
    return ", ".join(f"{axis} {entry}" for axis, entry in cut.items())


def _evaluate(options: Namespace, parser: ArgumentParser) -> None:
    if options.out is not None:
        runs.check_free(options.out, overwrite=options.overwrite)
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
        _say(f"pruned to {_named(cut)}")
    _say(summary_text(metrics))
    if options.out is not None:
        runs.write_json(options.out, metrics)


def _prune(options: Namespace, parser: ArgumentParser) -> None:
    run = _load(options, parser)
    cut = _cut(options, run)
    if not cut:
        raise ValueError(f"Expected a run with a depth posterior, but {_held(run)}.")
    out = options.out or run.folder / "pruned.pt2"
    runs.check_free(out, overwrite=options.overwrite)
    network = prune(run.model, run.guide, **cut)
    dtype = torch.uint8 if run.settings.pixels == "uint8" else torch.float32
    example = torch.zeros(2, *run.data.input_shape, dtype=dtype)
    dynamic = ({0: torch.export.Dim.AUTO},)
    with runs.atomic(out) as temporary:
        if out.suffix == ".pt2":
            torch.export.save(torch.export.export(network, (example,), dynamic_shapes=dynamic), temporary)
        elif out.suffix == ".onnx":
            torch.onnx.export(
                network, (example,), temporary, dynamo=True, external_data=False, verbose=False,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )  # fmt: skip
        else:
            raise ValueError(f"Expected a file that ends in .pt2 or .onnx, got {out}.")
    _say(f"{_named(cut)}, {count_parameters(network):,} parameters: {out}")


def _plot(options: Namespace, parser: ArgumentParser) -> None:
    run = _load(options, parser)
    _draw(run.folder, run.model, run.guide, run.history, run.load_data(), run.cut)
    _say(f"figures: {run.folder / runs.FIGURES}")


def _report(options: Namespace, parser: ArgumentParser) -> None:
    out = options.out or options.run / "report.html"
    runs.check_run_folder(options.run)
    runs.check_free(out, overwrite=options.overwrite)
    text = render(_load(options, parser))
    with runs.atomic(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    _say(f"report: {out}")


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        probe = torch.zeros(1, device=name)
        probe.cpu()  # the meta device has no data to copy
    except (RuntimeError, AssertionError) as error:
        cause = str(error).partition("\n")[0].partition(". ")[0]
        raise ValueError(
            f"Expected --device auto, cpu or another device of this machine, got {name}. The cause: {cause}."
        ) from error
    return probe.device


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _reweight(options: Namespace, parser: ArgumentParser) -> None:
    if options.out is not None:
        runs.check_free(options.out, overwrite=options.overwrite)
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
    _say(comparison_text(comparison))
    if options.out is not None:
        runs.write_json(options.out, comparison)


COMMANDS = {
    "fit": _fit,
    "evaluate": _evaluate,
    "prune": _prune,
    "plot": _plot,
    "report": _report,
    "reweight": _reweight,
}
