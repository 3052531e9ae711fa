"""The options of each command: their names, types and words."""

import inspect
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pyro_vds.priors.base import Prior
from pyro_vds.priors.families import Uniform
from pyro_vds.pruning.prune import Weights
from pyro_vds.pruning.rules import Rule
from pyro_vds.runs.settings import DataName, Settings, TrainingConfig

CUT_HELP = (
    "Architecture to prune to: depth=3 or depth=3,width=16; for a graph a word for all edges, as the summary has it: "
    "gate=1101, or op=none/skip_connect/none/none/none/none."
)


@dataclass(frozen=True)
class Option:
    """An option of a command.

    Attributes:
        name: Its name in Python, such as ``max_depth``.
        kind: The type of its values.
        help: What it means.
        default: Its default.
        required: Whether it must be given.
    """

    name: str
    kind: Any
    help: str
    default: Any = None
    required: bool = False

    @property
    def flag(self) -> str:
        """The option as it is written, such as ``--max-depth``."""
        return dashed(self.name)

    @property
    def is_flag(self) -> bool:
        """Whether it is written without a value, and then means true: one that is true anyway is there to say false."""
        return self.kind is bool and self.default is not True


def dashed(name: str) -> str:
    """Return the option of a name, ``--max-depth`` for ``max_depth``."""
    return "--" + name.replace("_", "-")


QUIET = Option("quiet", bool, "No progress bar, and no word of what is being done: only the result and errors.", False)
OVERWRITE = Option("overwrite", bool, "Replace what is at the path already.", False)
_OUT = Option("out", Path | None, "A file to write to.")
_ROOT = Option("data_root", str | None, "Folder of the data, if they have moved.")
_CUT = [
    Option("cut", str | None, CUT_HELP),
    Option("depth", int | None, "Short for --cut depth=DEPTH."),
    Option("rule", Rule | None, "Rule for axes that are not given. Default: the run's."),
    Option("weights", Weights, "Weights of the architectures that predict.", "posterior"),
]
_FOLD = Option("fold_batch_norm", bool, "Make batch norms a part of the layers before them.", True)
_PRIORS = [
    Option("prior", Prior, "The other prior over depth, or over edges.", required=True),
    Option("width_prior", Prior, "With widths: the other prior over widths.", Uniform()),
]
_LESIONS = [
    Option("draws", int, "Reorderings, and the most lesions for each number of deleted blocks.", 20),
    Option("seed", int, "Seed of the lesions.", 0),
]
OF_RUNS: dict[str, list[Option]] = {
    "evaluate": [*_CUT, _ROOT, _OUT, OVERWRITE, QUIET],
    "prune": [*_CUT, _FOLD, _ROOT, _OUT, OVERWRITE, QUIET],
    "plot": [_ROOT, QUIET],
    "report": [_OUT, OVERWRITE, QUIET],
    "reweight": [*_PRIORS, _ROOT, _OUT, OVERWRITE, QUIET],
    "lesion": [*_LESIONS, _ROOT, OVERWRITE, QUIET],
}
"""The options of the commands on a run."""

_OF_FIT = [
    Option("config", Path | None, "A YAML file with settings, such as a run's config.yaml; options count more."),
    Option(
        "out",
        Path | None,
        "The run folder. Default: runs/DATA; if that exists, runs/DATA-2 and so on unless --overwrite.",
    ),
    OVERWRITE,
    Option("progress", bool, "Show a progress bar on a terminal, in a log a line a minute.", True),
    QUIET,
]
USUAL = {
    "data_path": "The file of your own data, for npz and table.",
    "target": "The column to predict, for table.",
    "network": "residual, one of torchvision such as resnet18, timm:NAME, or a graph: connectivity or cell.",
    "max_depth": "Number of residual blocks, the largest depth.",
    "widths": "Learn the width too, from these.",
    "prior": "Prior over depth, such as Geometric, Uniform or Poisson; its arguments are --prior.decay 0.85 and so on.",
    "guide": "How the posterior depends on widths, inputs or edges.",
    "preset": "Whose training settings are the default.",
    "max_epochs": "Largest number of passes over the data.",
    "batch_size": "Points in a batch.",
    "lr": "Learning rate.",
    "validation_fraction": "Share of the training points that decides early stopping.",
    "rule": "The rule that chooses the architecture to prune to.",
    "seed": "Seed of data, weights and batches.",
    "device": "auto, cpu or cuda.",
    "config": "A YAML file of settings, such as a run's config.yaml; options count more.",
    "out": "The run folder. Default: runs/DATA, or runs/DATA-2 and so on.",
    "overwrite": "Replace the run folder if it exists.",
    "quiet": "Only the result and errors: no progress bar, and no word of what is being done.",
}
"""The options of ``fit`` that its help shows at first, in brief."""

_DATA = ("data", "data_root", "data_path", "target", "uci_name", "split", "num_points", "train_fraction", "rotation",
         "noise", "noise_kind", "train_size", "validation_fraction", "pixels")  # fmt: skip
_NETWORK = ("network", "pretrained", "frozen", "image_size", "max_depth", "width", "channels", "bottleneck", "widths",
            "layers", "merge", "pool", "operations", "readout", "head_statistics")  # fmt: skip


def options_of(command: str) -> dict[str, Option]:
    """Return the options of a command by their names in Python.

    Args:
        command: Name of the command.
    """
    options = [*_settings(), *_OF_FIT] if command == "fit" else OF_RUNS[command]
    return {option.name: option for option in options}


def groups_of_fit() -> dict[str, list[str]]:
    """Return the names of the options of ``fit`` in groups."""
    training = [field.name for field in fields(TrainingConfig)]
    run = [option.name for option in _OF_FIT]
    rest = [field.name for field in fields(Settings) if field.name not in (*_DATA, *_NETWORK, *training)]
    rest.remove("preset")
    return {
        "Data": list(_DATA),
        "Network": list(_NETWORK),
        "Prior, guide and result": rest,
        "Training": ["preset", *training],
        "Run": run,
    }


def data_names() -> tuple[str, ...]:
    """Return the names of the data sets."""
    return get_args(DataName)


def _settings() -> list[Option]:
    """Return an option for each setting of a run, with the words of the documentation."""
    text = inspect.cleandoc(Settings.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
    entries = [" ".join(entry.split()) for entry in re.split(r"\n(?=    \w+: )", text)]
    entries = [re.sub(r":\w+:`([^`]+)`", r"\1", entry) for entry in entries]
    words = {name: help_ for name, _, help_ in (entry.partition(": ") for entry in entries)}
    types = get_type_hints(Settings)
    names = {field.name for field in fields(Settings)}
    return [Option(f.name, types[f.name], _with_options(words[f.name], names), f.default) for f in fields(Settings)]


def _with_options(text: str, names: set[str]) -> str:
    """Return a text in which the names of settings with several words are options."""
    several = sorted((name for name in names if "_" in name), key=len, reverse=True)
    pattern = rf"(?<![\w./-])({'|'.join(several)})(?![\w/-]|\.\w)"
    return re.sub(pattern, lambda match: dashed(match[1]), text)


def with_options(text: str) -> str:
    """Return a message of the library in which the names of settings, such as ``max_depth``, are options.

    Args:
        text: The message.
    """
    return _with_options(text, {field.name for field in fields(Settings)})
