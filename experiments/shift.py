"""Images unlike those of training: other data sets, and turned, noisy and blurred digits, for five kinds of network.

Learnt depth (the mixture, and pruned), plain networks (DDN), a deep ensemble of them (Lakshminarayanan et al. 2017) and
MC dropout (Gal and Ghahramani 2016), all of one size, trained alike.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor

from experiments.engine.dropout import DROPOUT
from experiments.engine.outside import EMNIST_LETTERS, SVHN_DIGITS, outside_images
from experiments.engine.presets import CPU_IMAGES
from experiments.engine.rivals import PASSES, Mixture, ensemble, train_rivals
from experiments.figures.shift import NAMES, draw_corruptions
from pyro_vds.datasets import corruptions
from pyro_vds.metrics import calibration
from pyro_vds.metrics.uncertainty import detect_outside
from pyro_vds.ops.entropy import EntropySplit, split_entropy
from pyro_vds.runs.data import load_data
from pyro_vds.runs.settings import Settings
from pyro_vds.spaces.typing import Data

# For each training set, the sets that are outside of it.
OUTSIDE = {
    "mnist": ("fashion_mnist", EMNIST_LETTERS, SVHN_DIGITS),
    "fashion_mnist": ("mnist", EMNIST_LETTERS, SVHN_DIGITS),
}
SIZE: dict[str, Any] = CPU_IMAGES | {"max_depth": 8, "validation_fraction": 0.1}
TINY: dict[str, Any] = {"max_depth": 2, "channels": 4, "bottleneck": 2, "max_epochs": 1, "train_size": 100}
SEEDS, TEST_SIZE, OUTSIDE_SIZE = 3, 2000, 5000
# Degrees; standard deviation in units of the normalised pixels; standard deviation of the kernel in pixels.
LEVELS: dict[str, tuple[float, ...]] = {
    "rotation": tuple(range(0, 195, 15)),
    "noise": (0.25, 0.5, 1.0, 2.0),
    "blur": (0.5, 1.0, 2.0, 3.0),
}
SHOWN: dict[str, tuple[float, ...]] = {"rotation": (0, 30, 60, 90, 180), "noise": (0.5, 1.0), "blur": (1.0, 2.0)}
SCORES = {"entropy": "total", "mutual_information": "mutual_information"}
FIGURE = Path(__file__).parent / "results" / "shift" / "corruptions.png"


def run(*, tiny: bool, data_root: str) -> dict[str, Any]:
    """Return detection of other data sets, and error, log-likelihood and ECE under corruptions of MNIST.

    Args:
        tiny: scikit-learn's digits, tiny networks and one epoch; the figure is not written.
        data_root: Folder of the image data sets.
    """
    size: dict[str, Any] = TINY if tiny else SIZE
    seeds = 2 if tiny else SEEDS
    content: dict[str, Any] = {
        "settings": size | {"dropout": DROPOUT, "passes": PASSES, "seeds": seeds},
        "test_size": TEST_SIZE,
        "outside_size": OUTSIDE_SIZE,
        "outside": {},
    }
    for name, others in {"digits": ()}.items() if tiny else OUTSIDE.items():
        given: dict[str, Any] = size | {"data": name, "data_root": data_root}
        each = [Settings(preset="paper", **given, seed=seed).resolved() for seed in range(seeds)]
        sets = [load_data(settings) for settings in each]
        trained = [train_rivals(settings, data) for settings, data in zip(each, sets, strict=True)]
        methods = {method: [one[method] for one in trained] for method in trained[0]}
        methods["ensemble"] = [ensemble(methods["ddn"])]
        # The moments of the seeds' training sets differ by a thousandth: those of the first serve all.
        first = sets[0]
        test = (first.test[0][:TEST_SIZE], first.test[1][:TEST_SIZE])
        outside = {other: outside_images(other, first, data_root)[:OUTSIDE_SIZE] for other in others}
        content["outside"][name] = _detection(methods, test[0], {"upside down": test[0].flip(2)} if tiny else outside)
        if name != "fashion_mnist":
            black = -float(first.mean.mean() / first.std.mean())
            content["corruptions"] = _under_corruptions(methods, test, black, {"rotation": (0, 90)} if tiny else LEVELS)
    if not tiny:
        draw_corruptions(content["corruptions"], FIGURE)
    return content


def table(content: Mapping[str, Any], measure: str = "auroc") -> str:
    """Return the detection of other data sets as a Markdown table, per cent.

    Args:
        content: What :func:`run` returned.
        measure: ``"auroc"`` or ``"aupr"``.
    """
    lines = ["| trained on | against | score | " + " | ".join(NAMES.values()) + " |", "| --- " * (3 + len(NAMES)) + "|"]
    for name, by_set in content["outside"].items():
        for other, by_score in by_set.items():
            for score, by_method in by_score.items():
                cells = [_cell(by_method[method][measure]) if method in by_method else "" for method in NAMES]
                first = [text.replace("_", " ") for text in (name, other, score)]
                lines.append("| " + " | ".join([*first, *cells]) + " |")
    return "\n".join(lines)


def corruptions_table(content: Mapping[str, Any]) -> str:
    """Return error (per cent), log-likelihood (nats per point) and ECE (per cent) at some levels as a Markdown table.

    Args:
        content: What :func:`run` returned.
    """
    lines = ["| MNIST | measure | " + " | ".join(NAMES.values()) + " |", "| --- " * (2 + len(NAMES)) + "|"]
    for found in content["corruptions"]:
        if found["level"] not in SHOWN[found["kind"]]:
            continue
        title = f"{found['kind']} {found['level']:g}"
        for measure, factor, digits in (("error", 100, 1), ("log_likelihood", 1, 2), ("ece", 100, 1)):
            cells = [_cell(found[method][measure], factor, digits) for method in NAMES]
            lines.append("| " + " | ".join([title, measure.replace("_", "-"), *cells]) + " |")
    return "\n".join(lines)


def _detection(methods: Mapping[str, list[Mixture]], inside: Tensor, outside: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return AUROC and AUPR of the entropy, and of the mutual information where there is one."""
    splits = {
        method: [[split_entropy(*mixture(x)) for x in (inside, *outside.values())] for mixture in mixtures]
        for method, mixtures in methods.items()
    }
    return {
        other: {
            score: {
                method: _detected(of_method, index, attribute)
                for method, of_method in splits.items()
                if (score, method) != ("mutual_information", "ddn")
            }
            for score, attribute in SCORES.items()
        }
        for index, other in enumerate(outside, start=1)
    }


def _detected(splits: list[list[EntropySplit]], index: int, attribute: str) -> dict[str, Any]:
    found = [detect_outside(*(getattr(split[i], attribute) for i in (0, index))) for split in splits]
    return {name: _spread([getattr(one, name) for one in found]) for name in ("auroc", "aupr")}


def _under_corruptions(
    methods: Mapping[str, list[Mixture]], test: Data, black: float, levels: Mapping[str, tuple[float, ...]]
) -> list[dict[str, Any]]:
    """Return error, log-likelihood (nats per point) and ECE at each level of each corruption."""
    corrupt = {
        "rotation": lambda x, level: corruptions.rotate(x, level, fill=black),
        "noise": lambda x, level: corruptions.gaussian_noise(x, level, seed=0),
        "blur": corruptions.blur,
    }
    return [
        {"kind": kind, "level": level} | _measured(methods, (corrupt[kind](test[0], level), test[1]))
        for kind, strengths in levels.items()
        for level in strengths
    ]


def _measured(methods: Mapping[str, list[Mixture]], test: Data) -> dict[str, Any]:
    found = {}
    for method, mixtures in methods.items():
        each: list[dict[str, float]] = []
        for mixture in mixtures:
            log_probs, log_weights = mixture(test[0])
            log_mixed = (log_probs + log_weights[:, None, None]).logsumexp(0)
            probs, labels = log_mixed.exp().numpy(), test[1].numpy()
            each.append(
                {
                    "error": 1 - calibration.accuracy(probs, labels),
                    "log_likelihood": float(log_mixed[torch.arange(len(labels)), test[1]].mean()),
                    "ece": calibration.ece(probs, labels),
                }
            )
        found[method] = {name: _spread([values[name] for values in each]) for name in each[0]}
    return found


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": mean(values), "std": stdev(values) if len(values) > 1 else 0.0}


def _cell(value: Mapping[str, float], factor: float = 100, digits: int = 1) -> str:
    mean, std = (factor * value[name] for name in ("mean", "std"))
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if std else "")
