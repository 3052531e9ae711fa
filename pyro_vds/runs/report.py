"""A run as one HTML page, a single file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from pyro_vds.runs.files import ENVIRONMENT, FIGURES, METRICS, atomic, check_free, read_json, reading
from pyro_vds.runs.folder import Run
from pyro_vds.runs.likelihoods import likelihood_kind
from pyro_vds.runs.site_text import bound_line, draws_note, site_rows
from pyro_vds.runs.summary import chosen_line, disagreement_line, saving_line, weights_line

PERCENT = ("error", "ece")


@dataclass(frozen=True)
class Table:
    """A table of the page; the first cell of each row is its name.

    Attributes:
        title: The caption.
        head: Names of the columns; empty for a list of names and values.
        rows: The cells.
        bars: Length of a bar for each row, per cent; empty without bars.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: Sequence[float] = ()


@dataclass(frozen=True)
class Picture:
    """A figure of the run, its image encoded as text."""

    title: str
    caption: str
    png: str


def write_report(run: Run, out: str | Path | None = None, *, overwrite: bool = False) -> Path:
    """Write a run as one HTML page.

    Args:
        run: A finished run.
        out: The file; ``None`` is ``report.html`` in the folder of the run.
        overwrite: Whether to replace an existing file.

    Returns:
        The file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false.
        FileNotFoundError: If the run has no figures.
        ValueError: If a file of the folder is missing, damaged, or does not fit the others.
    """
    path = run.folder / "report.html" if out is None else Path(out)
    check_free(path, overwrite=overwrite)
    text = render(run)
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def render(run: Run) -> str:
    """Return the page of a run: measures, figures, posterior, settings and machine.

    Args:
        run: A finished run; figures and environment are read from its folder.

    Raises:
        FileNotFoundError: If the run has no figures.
        ValueError: If a file of the folder is missing, damaged, or does not fit the others.
    """
    folder, metrics = run.folder, run.metrics
    with reading(folder, METRICS):
        content = _measured(metrics)
        details = [Table("Training", (), _named(_training(metrics)))]
    with reading(folder, ENVIRONMENT):
        machine = read_json(folder / ENVIRONMENT)
        details += [_settings(run), Table("Versions and machine", (), _named(machine.pop("versions") | machine))]
    title = f"{run.settings.data}: {_learnt(metrics, run.model.axes)}"
    content |= {"title": title, "figures": _figures(run, run.model.axes), "details": details}
    environment = Environment(
        loader=PackageLoader("pyro_vds.runs"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(content).lstrip()


def _learnt(metrics: Mapping[str, Any], axes: Sequence[str]) -> str:
    """Return a text that says what the run learnt besides its weights."""
    if "per_input" in metrics:
        return f"a {axes[0]} for each input"
    return f"learnt {' and '.join(axes)}" if "posterior" in metrics else "plain network"


def _measured(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of the page that show the metrics."""
    names = list(metrics["test"]["full"])
    test = Table(
        f"{metrics['test_size']:,} test points{draws_note(metrics)}",
        ["", *(name.replace("_", "-") for name in names), "parameters"],
        [
            [case, *(_measure(name, values[name]) for name in names), f"{metrics['parameters'][case]:,}"]
            for case, values in metrics["test"].items()
        ],
    )
    page: dict[str, Any] = {"test": test, "posterior": [], "weights": _weights(metrics)}
    if "per_input" in metrics:
        lead = [f"{saving_line(metrics['per_input']).capitalize()}.", f"{_error(metrics).capitalize()}."]
        return page | {"lead": lead}
    if "posterior" not in metrics:
        return page | {"lead": [f"A plain network, without a posterior: {_error(metrics)}."]}
    posterior = metrics["posterior"]
    tables = [_entries(posterior, axis) for axis in posterior["axes"]]
    tables += [_joint(posterior)] if "q_joint" in posterior and len(tables) == 2 else []
    lead = [f"{_sentence(line)}." for line in (chosen_line(posterior), _error(metrics), bound_line(posterior))]
    return page | {"posterior": tables, "lead": lead}


def _sentence(line: str) -> str:
    """Return a line with a large first letter."""
    return line[:1].upper() + line[1:]


def _weights(metrics: Mapping[str, Any]) -> list[str]:
    """Return sentences on the weights of the architectures, for a model that has several."""
    if "weights" not in metrics:
        return []  # a plain network
    lines = [weights_line(metrics["weights"])]
    lines += [disagreement_line(metrics["disagreement"])] if "disagreement" in metrics else []
    return [f"{line.capitalize()}." for line in lines]


def _measure(name: str, value: float) -> str:
    return f"{100 * value:.2f} %" if name in PERCENT else f"{value:.4f}"


def _error(metrics: Mapping[str, Any]) -> str:
    """Return the error of each prediction as text."""
    name = "error" if "error" in metrics["test"]["full"] else "rmse"
    errors = (f"{_measure(name, values[name])} ({case})" for case, values in metrics["test"].items())
    return f"test {name} {', '.join(errors)}"


def _entries(posterior: Mapping[str, Any], axis: str) -> Table:
    """Return the probability and the log-likelihood of every entry of an axis."""
    entries = posterior["axes"][axis]
    if "sites" in entries:
        head, rows = site_rows(entries, axis, posterior["chosen"][axis])
        bars = [
            round(100 * float(row[-len([k for k in ("q", "exact", "stacked") if k in entries])]), 1) for row in rows
        ]
        return Table(f"Posterior over {axis}", [*head, ""], rows, bars)
    q = np.asarray(entries["q"])
    # With several axes the log-likelihood is that of a pair, which has no place in the table of one axis.
    likelihood = [[f"{p:.6f}"] for p in posterior["train_log_likelihood"]] if len(posterior["axes"]) == 1 else None
    columns = [name for name in ("q", "exact", "stacked") if name in entries]
    rows = [
        [str(label), *(f"{entries[name][i]:.3f}" for name in columns), *(likelihood[i] if likelihood else [])]
        for i, label in enumerate(entries["labels"])
    ]
    head = [axis, f"q({axis})", *columns[1:], *(["train log-likelihood (nats per point)"] if likelihood else []), ""]
    return Table(f"Posterior over {axis}", head, rows, [round(100 * float(p / q.max()), 1) for p in q])


def _joint(posterior: Mapping[str, Any]) -> Table:
    """Return the probability of every pair of entries of two axes."""
    (first, rows), (second, columns) = posterior["axes"].items()
    pairs = zip(rows["labels"], posterior["q_joint"], strict=True)
    cells = [[str(label), *(f"{p:.3f}" for p in row)] for label, row in pairs]
    return Table(f"q({first}, {second})", [first, *(f"{second} {label}" for label in columns["labels"])], cells)


def _training(metrics: Mapping[str, Any]) -> dict[str, Any]:
    training = metrics["training"]
    return {
        "training points": f"{metrics['train_size']:,}",
        "epochs": f"{training['epochs']:,} ({training['stopped']})",
        "best epoch": training["best_epoch"],
        "seconds": f"{training['seconds']:.0f}",
    }


def _settings(run: Run) -> Table:
    """Return the settings that are not empty, and the shape of the data."""
    given = {field.name: getattr(run.settings, field.name) for field in fields(run.settings)}
    shape = " x ".join(map(str, run.data_summary.input_shape))
    classes = run.data_summary.classes
    kind = f"{classes or ''} {likelihood_kind(run.settings.likelihood, classes).words}".strip()
    return Table("Settings", (), _named({"inputs": f"{shape}, {kind}"} | given))


def _named(values: Mapping[str, Any]) -> list[list[str]]:
    """Return names and values as rows, without empty ones."""
    return [[name.replace("_", " "), _words(value)] for name, value in values.items() if value not in (None, ())]


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _captions(axes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return title and caption of the figures, in the order of the page."""
    single = f"each {' or '.join(axes)} alone"
    return {
        "posterior": (
            f"Posterior over {' and '.join(axes)}",
            f"Bars: the guide; line: how well {single} predicts the test data.",
        ),
        "graph": ("Graph", "Each edge is as wide as it is probable under the guide."),
        "choices": ("Choices", "The probability of each entry at each site."),
        "functions": (f"Functions by {' and '.join(axes)}", f"The class that {single} predicts, with test points."),
        "reliability": ("Reliability", "Accuracy against confidence; calibrated predictions lie on the diagonal."),
        "intervals": (
            "Coverage",
            "The share of test targets inside central intervals; calibrated predictions lie on the diagonal.",
        ),
        "band": ("Prediction", "The mean, the noise and the disagreement between architectures, with test points."),
        "lesions": (
            "Lesions",
            "Measures with blocks deleted or reordered, and the share of the gradient by the length of its path.",
        ),
        "history": ("Training", "The objective, the posterior and the validation data, if any, over the epochs."),
    }


def _figures(run: Run, axes: Sequence[str]) -> list[Picture]:
    folder, captions = run.folder / FIGURES, _captions(axes)
    paths = {path.stem: path for path in sorted(folder.glob("*.png"))}
    if not paths:
        raise FileNotFoundError(
            f"Expected the figures of the run in {folder}, found none. Draw them: pyro-vds plot {run.folder}"
        )
    known = [name for name in captions if name in paths]
    others = [name for name in paths if name not in captions]
    return [
        Picture(*captions.get(name, (name, "")), base64.b64encode(paths[name].read_bytes()).decode())
        for name in known + others
    ]
