"""What is measured of the trained repeats of a setting."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

import pyro_vds as vds
from experiments.engine.training import Repeat, as_settings, described, train_repeats
from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.exact import ExactPosterior
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.metrics.calibration import reliability_table
from pyro_vds.ops.modes import eval_mode
from pyro_vds.pruning.rules import Rule
from pyro_vds.runs.measures import measure
from pyro_vds.runs.metrics import choose_cut, summarise_posterior
from pyro_vds.spaces.typing import TensorPair
from pyro_vds.sweeps import Resources

RULES: tuple[Rule, ...] = ("95", "argmax", "expected")


def measure_repeats(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train the repeats of a setting and measure each.

    Args:
        values: What differs from the default settings.
        repeats: Number of repeats.
        resources: How it is run.

    Raises:
        ValueError: If the settings have widths, which these measures do not know.
    """
    if values.get("widths"):
        raise ValueError(f"Expected settings with depth alone to measure repeats, got widths={values['widths']}.")
    trained, seconds = train_repeats(values, repeats, resources)
    return {
        "settings": described(as_settings(values, resources), values),
        "training_seconds": seconds,
        "compile_seconds": trained[0].history.compile_seconds,
        "repeats": [measure_repeat(repeat) for repeat in trained],
    }


def measure_repeat(repeat: Repeat) -> dict[str, Any]:
    """Return everything that a result file keeps of one trained network."""
    model, guide, data = repeat.model, repeat.guide, repeat.data
    record: dict[str, Any] = {
        "seed": repeat.settings.seed,
        "train_size": len(data.train[0]),
        "test_size": len(data.test[0]),
        "training": _training(repeat),
        "train": measure(model, guide, data.train),
        "test": {"full": measure_prediction(model, guide, data.test)},
        "reliability": reliability(model, guide, data.test),
    }
    if model.axes:
        record["posterior"], record["test"]["exact_posterior"] = _measure_posterior(model, guide, data.train, data.test)
        chosen = record["posterior"]["chosen_depth"]
        cases = {k: measure_prediction(model, guide, data.test, k) for k in set(chosen.values())}
        record["test"]["pruned"] = {rule: cases[k] for rule, k in chosen.items()}
        record["reliability_pruned"] = reliability(model, guide, data.test, chosen["95"])
        record["test_by_depth"] = measure_depths(model, data.test)
    return record


def measure_prediction(
    model: vds.VDSModel, guide: Guide, test: TensorPair, depth: int | None = None
) -> dict[str, float]:
    """Return the standard measures of a prediction, and those of the paper's code under names of their own.

    Args:
        model: A trained classification model.
        guide: Its guide.
        test: Test inputs and targets.
        depth: ``k`` measures the prediction pruned to depth ``k``.
    """
    probs, labels = vds.predict_proba(model, guide, test[0], depth=depth).cpu().numpy(), test[1].numpy()
    return measure(model, guide, test, cut={} if depth is None else {"depth": depth}) | {
        "true_class_probability": float(probs[np.arange(len(labels)), labels].mean()),
        "paper_ece": paper_ece(probs, labels),
    }


def measure_exactly(model: vds.VDSModel, exact: ExactPosterior, test: TensorPair) -> dict[str, float]:
    """Return the measures of the prediction that weights the depths by the exact posterior.

    Args:
        model: A trained classification model.
        exact: Its exact posterior.
        test: Test inputs and targets.
    """
    guide = vds.AutoCategorical(model)
    guide.set_probs(exact.probs)
    return measure_prediction(model, guide, test)


def paper_ece(probs: ArrayLike, labels: ArrayLike, bins: int = 10) -> float:
    """Return what the paper's code calls expected calibration error; not the standard one.

    All ``N x C`` class entries are binned by their probability, an entry is a hit if its class is both the true
    and the predicted one, and the share of hits in a bin is compared with the bin's *upper edge*. Predictions
    that are calibrated perfectly, with ten classes, read 9-11 %. Entries that are zero are in no bin, and empty
    bins count nothing (there the paper's code gets NaN).

    Args:
        probs: Class probabilities ``(N, classes)``.
        labels: True classes ``(N,)``.
        bins: Number of bins; the paper's code has 10.
    """
    p, y = np.asarray(probs, dtype=np.float64), np.asarray(labels)
    hits = np.zeros(p.shape)
    right = p.argmax(-1) == y
    hits[right, y[right]] = 1
    edges = np.linspace(0, 1, bins + 1)
    index = np.digitize(p.ravel().clip(max=1), edges, right=True) - 1
    inside = index >= 0
    counts = np.bincount(index[inside], minlength=bins)
    shares = np.bincount(index[inside], hits.ravel()[inside], bins) / counts.clip(min=1)
    return float((counts * np.abs(shares - edges[1:])).sum() / counts.sum())


def reliability(
    model: vds.VDSModel, guide: Guide, test: TensorPair, depth: int | None = None
) -> dict[str, list[float]]:
    """Return the table of a reliability diagram with 15 bins (Guo et al. 2017)."""
    table = reliability_table(vds.predict_proba(model, guide, test[0], depth=depth).cpu().numpy(), test[1].numpy())
    return {name: getattr(table, name).tolist() for name in ("counts", "confidence", "accuracy")}


@torch.inference_mode()
def measure_depths(model: vds.VDSModel, test: TensorPair) -> dict[str, list[float]]:
    """Return error and mean log-likelihood, nats per point, of each depth by itself on test data."""
    device, (x, y) = model.device_tensor().device, test
    errors, log_likelihoods = [], []
    with eval_mode(model):
        for inputs, labels in zip(x.split(BATCH_SIZE), y.to(device).split(BATCH_SIZE), strict=True):
            log_probs: Tensor = model.outputs(inputs.to(device)).log_softmax(-1)
            errors.append((log_probs.argmax(-1) != labels).double().sum(-1))
            log_likelihoods.append(log_probs[:, torch.arange(len(labels), device=device), labels].double().sum(-1))
    return {
        name: (torch.stack(parts).sum(0) / len(y)).tolist()
        for name, parts in (("error", errors), ("log_likelihood", log_likelihoods))
    }


def _measure_posterior(
    model: vds.VDSModel, guide: Guide, train: TensorPair, test: TensorPair
) -> tuple[dict[str, Any], dict[str, float]]:
    """Return the posterior part, and the test measures of the mixture weighted by the exact posterior."""
    exact = vds.exact_posterior(model, train)
    posterior = summarise_posterior(
        guide, exact, cut=choose_cut(model, guide, "95", None), rule="95", total=len(train[0])
    )
    depth, probs = posterior.pop("axes")["depth"], exact.probs["depth"]
    of_depth = {
        "chosen_depth": depth["chosen"],
        "chosen_depth_exact": {rule: vds.choose_depth(probs, rule) for rule in RULES},
        "q": depth["q"],
        "exact_posterior": depth["exact"],
        "train_log_likelihood_by_depth": posterior.pop("train_log_likelihood"),
    }
    return posterior | of_depth, measure_exactly(model, exact, test)


def _training(repeat: Repeat) -> dict[str, Any]:
    """Return how long a run went: replicates that have stopped wait for the others."""
    history, best = repeat.history, repeat.history.best_epoch
    assert isinstance(best, int)
    waited = best + 1 + (repeat.settings.patience or 0)
    return {
        "epochs": waited if history.stopped == "patience" else len(history),
        "epochs_of_all": len(history),
        "best_epoch": best,
        "stopped": history.stopped,
        "elbo": float(history.elbo[best]) if best >= 0 else None,
    }
