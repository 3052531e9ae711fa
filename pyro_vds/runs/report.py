"""A run as one HTML page, a single file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from pyro_vds.runs.captions import FIGURES_IN_ORDER, WHY, Caption, best_on_test, describe
from pyro_vds.runs.classes import rows_by_class
from pyro_vds.runs.figures import DPI
from pyro_vds.runs.files import ENVIRONMENT, FIGURES, METRICS, atomic, check_free, read_json, reading
from pyro_vds.runs.folder import Run
from pyro_vds.runs.in_use import settings_in_use
from pyro_vds.runs.likelihoods import likelihood_kind
from pyro_vds.runs.site_text import bound_line, draws_note
from pyro_vds.runs.summary import chosen_line, disagreement_line, saving_line, weights_line
from pyro_vds.runs.tables import Table, joint_table, table_of_axis

PERCENT = ("error", "ece", "interval_error")

TERMS = {
    "log_likelihood": "Test log-likelihood: mean log predictive density of the test points, nats; higher is better.",
    "ece": "ECE: the expected calibration error, 15 bins; lower is better.",
    "interval_error": "Interval error: how far the coverage of central intervals is from the nominal one, on average.",
}
"""What measures mean, for those that say it."""

CSS_DPI, READABLE_DPI = 96, 60
"""CSS pixels of an inch of a figure, and the fewest at which its text, of 9 or 10 points, has 8 pixels."""


@dataclass(frozen=True)
class Picture:
    """A figure of the run, its image encoded as text.

    Attributes:
        words: Its title, its caption, and what is to be seen.
        png: The image.
        width: The width at which its text has its size in print, CSS pixels.
        least: The width at which its text can still be read; a narrower screen scrolls.
    """

    words: Caption
    png: str
    width: int
    least: int

    @classmethod
    def of(cls, words: Caption, content: bytes) -> "Picture":
        """Return the figure with the bytes of its PNG file, whose header has the width in pixels."""
        inches = int.from_bytes(content[16:20], "big") / DPI
        return cls(words, base64.b64encode(content).decode(), round(CSS_DPI * inches), round(READABLE_DPI * inches))


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
        content["why"] = [WHY, *_best_on_test(run)] if content["posterior"] else []
        details = [Table("Training", (), _named(_training(metrics)))]
    with reading(folder, ENVIRONMENT):
        machine = read_json(folder / ENVIRONMENT)
        details += [_settings(run), Table("Versions and machine", (), _named(machine.pop("versions") | machine))]
    title = f"{run.settings.data}: {_learnt(metrics, run.model.axes)}"
    content |= {"title": title, "figures": _figures(run), "details": details, "note": run.note}
    environment = Environment(
        loader=PackageLoader("pyro_vds.runs"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html").render(content).lstrip()


def _best_on_test(run: Run) -> list[str]:
    """Return a sentence for each axis of which entry alone predicts the test data best."""
    axes = () if run.model.space.with_sites else run.model.axes
    return [line for axis in axes if (line := best_on_test(run, axis))]


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
    page: dict[str, Any] = {
        "test": test,
        "classes": Table("Classes (full)", ["", "test points", "error"], rows_by_class(metrics)),
        "terms": [TERMS[name] for name in names if name in TERMS],
        "posterior": [],
        "weights": _weights(metrics),
    }
    if "per_input" in metrics:
        lead = [f"{saving_line(metrics['per_input']).capitalize()}.", f"{_error(metrics).capitalize()}."]
        return page | {"lead": lead}
    if "posterior" not in metrics:
        return page | {"lead": [f"A plain network, without a posterior: {_error(metrics)}."]}
    posterior = metrics["posterior"]
    tables = [table_of_axis(posterior, axis) for axis in posterior["axes"]]
    tables += [joint_table(posterior)] if "q_joint" in posterior and len(tables) == 2 else []
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


def _training(metrics: Mapping[str, Any]) -> dict[str, Any]:
    training = metrics["training"]
    return {
        "training points": f"{metrics['train_size']:,}",
        "epochs": f"{training['epochs']:,} ({training['stopped']})",
        "best epoch": f"{training['best_epoch'] + 1:,}",
        "seconds": f"{training['seconds']:.0f}",
    }


def _settings(run: Run) -> Table:
    """Return the settings that the run uses, and the shape of the data."""
    given = settings_in_use(run.settings, run.data_summary.input_shape)
    shape = " x ".join(map(str, run.data_summary.input_shape))
    classes = run.data_summary.classes
    kind = f"{classes or ''} {likelihood_kind(run.settings.likelihood, classes).words}".strip()
    names = {"classes": run.data_summary.class_names, "features": run.data_summary.feature_names}
    return Table("Settings", (), _named({"inputs": f"{shape}, {kind}", **names, **given}))


def _named(values: Mapping[str, Any]) -> list[list[str]]:
    """Return names and values as rows, without empty ones."""
    return [[name.replace("_", " "), _words(value)] for name, value in values.items() if value not in (None, ())]


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _figures(run: Run) -> list[Picture]:
    paths = {path.stem: path for path in sorted((run.folder / FIGURES).glob("*.png"))}
    if not paths:
        raise FileNotFoundError(
            f"Expected the figures of the run in {run.folder / FIGURES}, found none. Draw them: pyro-vds plot "
            f"{run.folder}"
        )
    known = [name for name in FIGURES_IN_ORDER if name in paths]
    others = [name for name in paths if name not in FIGURES_IN_ORDER]
    return [Picture.of(describe(run, name), paths[name].read_bytes()) for name in known + others]
