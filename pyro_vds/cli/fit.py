"""``pyro-vds fit``: train, measure, and write a run folder."""

import itertools
import time
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentParser, Namespace

from pyro_vds.datasets.dataset import DataSet
from pyro_vds.diagnostics.files import save_datatree
from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.datatree import to_datatree
from pyro_vds.infer.exact import ExactPosterior
from pyro_vds.models.checks import check_data
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.runs.build import DataSummary, build, train
from pyro_vds.runs.figures import draw_run
from pyro_vds.runs.files import (
    CONFIG,
    DATA,
    ENVIRONMENT,
    HISTORY,
    METRICS,
    POSTERIOR,
    SUMMARY,
    check_free,
    environment,
    new_folder,
    write_json,
)
from pyro_vds.runs.folder import save_weights
from pyro_vds.runs.metrics import collect_metrics
from pyro_vds.runs.settings import Settings
from pyro_vds.runs.summary import say, summary_text
from pyro_vds.spaces.space import Architecture
from pyro_vds.training.history import History
from pyro_vds.training.loop import NonFiniteLossError
from pyro_vds.training.optim import spelled

DRAWS = 200


def fit_command(options: Namespace, parser: ArgumentParser) -> None:
    """Run ``pyro-vds fit``.

    Args:
        options: The settings, and ``out``, ``overwrite`` and ``progress``.
        parser: The parser that reads a configuration back.
    """
    settings = Settings(**{field.name: options[field.name] for field in fields(Settings)}).resolved()
    usual = Path("runs") / settings.data
    out = options.out or (usual if options.overwrite else _free_folder(usual))
    check_free(out, overwrite=options.overwrite)
    data = settings.load_data()
    data_summary = DataSummary.of(data)
    model, guide = build(settings, data_summary)
    for part in (data.train, data.validation, data.test):
        if part is not None:
            check_data(model, *part)
    device = _device(settings.device)
    started = time.perf_counter()
    with new_folder(out, overwrite=options.overwrite) as folder:
        _write_config(folder / CONFIG, settings, parser)
        write_json(folder / DATA, asdict(data_summary))
        write_json(folder / ENVIRONMENT, environment(device))
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
        write_json(folder / METRICS, metrics)
        (folder / SUMMARY).write_text(summary + "\n")
        _write_posterior(folder, model, guide, data, exact)
        cut: Architecture = metrics["posterior"]["chosen"] if "posterior" in metrics else {}
        draw_run(folder, model, guide, history, data.test, cut)
    say(summary)
    say(f"\ntrained in {seconds:.0f} s; figures and files: {out}")


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
        history = train(settings, model, guide, data, device=device, progress=progress)
    except NonFiniteLossError as error:
        save_weights(folder, model, guide)
        error.history.save(folder / HISTORY)
        raise
    save_weights(folder, model, guide)
    history.save(folder / HISTORY)
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
    makers = {name: spelled(words.pop(name)) for name in ("optimizer", "scheduler")}
    plain = {k: _plain(v) for k, v in (words | makers).items() if v is not None}
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
    save_datatree(tree, folder / POSTERIOR)


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
