"""Choices of operations from tables: exact posteriors, how close guides come, search at equal look-ups, and a depth.

NAS-Bench-201 has the test accuracy of all 15,625 cells, NAS-Bench-Macro of all 6,561 networks. With the likelihood of
:func:`pyro_vds.accuracy_log_likelihood` and a uniform prior over cells the posterior is exact, and so is the divergence
of every guide from it. No network is trained. There is no validation column: a search sees test accuracies. The tiny
form takes tables that are drawn at random, and needs no file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import pyro_vds as vds
from experiments.engine.nas_search import Search, best_seen, evolution, random_search, score_search
from pyro_vds import dependence
from pyro_vds.datasets import Benchmark
from pyro_vds.guides import GeneratedMixture, ProductMixture, SiteDistribution
from pyro_vds.infer import fit_mean_field, fit_table
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.sweeps import Grid, Resources, Scan

POINTS = (30, 100, 300, 1000, 3000, 10000)  # what a table counts as
GUIDE_POINTS, SEARCH_POINTS, DECAY = (100, 1000), 1000, 0.85
EARLY = (100, 300)  # steps after which a fit is looked at
SEEN = (100, 200, 500, 1000)  # look-ups


Make = Callable[[int, int], SiteDistribution]


@dataclass(frozen=True)
class Family:
    """A family of guides.

    Attributes:
        make: Makes one with random parameters, of a number of sites and options.
        lrs: Learning rates at the first step of a fit to the table, of which the best is taken.
    """

    make: Make
    lrs: tuple[float, ...]


def _mixture(components: int, spread: float = 1.0) -> Family:
    return Family(lambda sites, options: ProductMixture(sites, options, components, spread=spread), (0.05, 0.1, 0.3))


def _generator(inputs: int, **how: Any) -> Family:
    return Family(lambda sites, options: GeneratedMixture(sites, options, inputs, **how), (0.02, 0.05, 0.1))


FAMILIES = {
    "mean-field": _mixture(1),
    "mixture of 2": _mixture(2),
    "mixture of 4": _mixture(4),
    "mixture of 16": _mixture(16),
    "generator of 1 input": _generator(1),
    "generator of 1 input with noise": _generator(1, noise=1.0),
    "generator of 1 input with one block": _generator(1, hidden=()),
    "generator of 1 input with five blocks": _generator(1, hidden=(14,) * 4),
    "generator of 16 inputs": _generator(16),
}
# Each search with its learning rates, of which the best is taken.
SEARCHES: dict[str, dict[float, Search]] = {
    "random": {0.0: random_search},
    "regularised evolution": {0.0: evolution},
    "mean-field": {lr: score_search(_mixture(1, 0.01).make, lr) for lr in (0.1, 0.3, 1.0)},
    "mixture of 4": {lr: score_search(_mixture(4, 0.3).make, lr) for lr in (0.1, 0.3, 1.0)},
    **{
        name: {lr: score_search(family.make, lr) for lr in (0.025, 0.05, 0.1)}
        for name, family in FAMILIES.items()
        if name.startswith("generator")
    },
}


def measure(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Measure one part of the experiment.

    Args:
        values: ``part`` and ``of``, what it is measured of, and the sizes of :data:`SCAN`.
        repeats: Not used: parts have their own numbers of seeds.
        resources: Where the files are.
    """
    parts = {"posterior": _posterior, "guide": _guide, "search": _search, "depth": _depth}
    return {"settings": dict(values)} | parts[values["part"]](values, Path(resources.data_root) / "nas")


def _cells(values: Mapping[str, Any], folder: Path) -> Benchmark:
    return _drawn() if values["tiny"] else vds.datasets.nas_bench_201(folder / "nas-bench-201_200epochs.npz")


def _networks(values: Mapping[str, Any], folder: Path) -> Benchmark:
    return _drawn() if values["tiny"] else vds.datasets.nas_bench_macro(folder / "nas-bench-macro_cifar10.json")


def _drawn() -> Benchmark:
    """Return a table that is drawn at random."""
    accuracy = torch.rand(3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tables = [{"cifar10": 0.2 + 0.7 * accuracy}, {"cifar10": 10}, {"cifar10": torch.full_like(accuracy, 0.002)}]
    return Benchmark(("identity", "k3", "e6k5"), ("1", "2", "3"), *tables)


def _log_posterior(benchmark: Benchmark, name: str, n: float) -> Tensor:
    """Return the log posterior with a uniform prior over architectures, a dimension for each site."""
    table = vds.accuracy_log_likelihood(benchmark.accuracy[name], n, benchmark.classes[name])
    return table.flatten().log_softmax(0).view_as(table)


def _posterior(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return what the exact posterior is like, for each number of points that the table counts as."""
    benchmark, name = _cells(values, folder), values["of"]
    accuracy, rows = benchmark.accuracy[name], []
    for n in POINTS:
        log_p = _log_posterior(benchmark, name, n)
        p = log_p.exp()
        pairs = np.triu(dependence.mutual_information(p), 1)
        one, other = np.unravel_index(int(pairs.argmax()), pairs.shape)
        rows.append(
            {
                "n": n,
                "entropy": dependence.entropy(p),
                "total_correlation": dependence.total_correlation(p),
                "largest_pair": float(pairs.max()),
                "pair": [benchmark.sites[one], benchmark.sites[other]],
                "accuracy": float((p * accuracy).sum()),
                "best_accuracy": float(accuracy.max()),
                "best_probability": float(p.max()),
                "mean_field_kl": fit_mean_field(log_p, starts=values["starts"]).divergence,
            }
        )
    return {"rows": rows}


def _guide(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return how close fits of a family come to the exact posterior of CIFAR-10, with each learning rate."""
    benchmark, family, rows = _cells(values, folder), FAMILIES[values["of"]], []
    for n in GUIDE_POINTS:
        log_p = _log_posterior(benchmark, "cifar10", n)
        by_lr = {
            lr: [_fit(family, log_p, values["steps"], lr, seed) for seed in range(values["restarts"])]
            for lr in family.lrs
        }
        lr = min(by_lr, key=lambda lr: np.mean([kl[-1] for kl, _ in by_lr[lr]]))
        ends = {lr: [kl[-1] for kl, _ in fits] for lr, fits in by_lr.items()}
        best = min(by_lr[lr], key=lambda fit: fit[0][-1])[1]
        rows.append(
            {
                "n": n,
                "parameters": sum(p.numel() for p in family.make(log_p.ndim, len(log_p)).parameters()),
                "lr": lr,
                "kl": ends[lr],
                "kl_by_lr": ends,
                "kl_early": {step: [kl[step] for kl, _ in by_lr[lr]] for step in EARLY if step < values["steps"]},
                "entropy": dependence.entropy(best),
                "total_correlation": dependence.total_correlation(best),
                "accuracy": float((best * benchmark.accuracy["cifar10"]).sum()),
            }
        )
    return {"rows": rows}


def _fit(family: Family, log_p: Tensor, steps: int, lr: float, seed: int) -> tuple[list[float], Tensor]:
    """Return the divergence after each step of a fit, and the distribution that it ended at."""
    with isolated_rng(seed=seed):
        q = family.make(log_p.ndim, len(log_p)).double()
    kl = fit_table(q, log_p, steps=steps, lr=lr).tolist()
    return kl, q.joint_log_probs().detach().exp().view_as(log_p)


def _search(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the regrets of a search: accuracy of the best cell minus that of the one named, or of the best seen.

    The learning rate is that with the smallest mean regret of the cell named at the end.
    """
    benchmark = _cells(values, folder)
    by_lr = {lr: _regrets(search, benchmark, values) for lr, search in SEARCHES[values["of"]].items()}
    ends = {lr: float(np.mean([seed[-1] for seed in regret["named"]])) for lr, regret in by_lr.items()}
    lr = min(ends, key=ends.__getitem__)
    return {"look_ups": _marks(values), "lr": lr, "regret": by_lr[lr], "end_by_lr": ends}


def _marks(values: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(mark for mark in SEEN if mark <= values["look_ups"])


def _regrets(search: Search, benchmark: Benchmark, values: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    """Return the regrets for each seed, after each of some numbers of look-ups."""
    accuracy, marks = benchmark.accuracy["cifar10"], _marks(values)
    table = _log_posterior(benchmark, "cifar10", SEARCH_POINTS)
    regrets: dict[str, list[list[float]]] = {"named": [], "seen": []}
    for seed in range(values["seeds"]):
        with isolated_rng(seed=seed):
            trace = search(table, values["look_ups"], marks)
        seen = best_seen(trace.looked_up, accuracy, marks)
        for name, answers in (("named", trace.answers), ("seen", seen)):
            regrets[name].append([float(accuracy.max() - accuracy.flatten()[answers[mark]]) for mark in marks])
    return regrets


def _depth(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return posteriors of the depth: over all networks, and over those whose first layers have one block.

    The depth of a network is the number of its layers that are not the identity. Its prior is the paper's, uniform
    among the networks of a depth; or uniform over networks.
    """
    benchmark = _networks(values, folder)
    accuracy, sites, options = benchmark.accuracy["cifar10"], len(benchmark.sites), len(benchmark.options)
    indices = torch.cartesian_prod(*[torch.arange(options)] * sites)
    depths = (indices > 0).sum(-1)
    paper = vds.priors.Geometric(DECAY)(sites + 1).probs.double().log()
    among = torch.bincount(depths, minlength=sites + 1).double().log()
    priors = {"paper": (paper - among)[depths], "uniform over networks": torch.zeros(len(depths), dtype=torch.float64)}
    rows, families = [], []
    for n in (10, *POINTS):
        log_likelihood = vds.accuracy_log_likelihood(accuracy, n, 10)
        for name, log_prior in priors.items():
            p = (log_prior + log_likelihood.flatten()).softmax(0)
            q = torch.zeros(sites + 1, dtype=torch.float64).index_add_(0, depths, p)
            rows.append({"prior": name, "n": n} | _of_depth(q))
        for block in range(1, options):
            first = [tuple([block] * d + [0] * (sites - d)) for d in range(sites + 1)]
            q = (paper + torch.stack([log_likelihood[networks] for networks in first])).softmax(0)
            accuracies = [float(accuracy[networks]) for networks in first]
            families.append({"block": benchmark.options[block], "n": n, "accuracy": accuracies} | _of_depth(q))
    dependent = [
        {"n": n, "entropy": dependence.entropy(p), "total_correlation": dependence.total_correlation(p)}
        for n in GUIDE_POINTS
        for p in [_log_posterior(benchmark, "cifar10", n).exp()]
    ]
    best = [float(accuracy.flatten()[depths == d].max()) for d in range(sites + 1)]
    found = {"best_accuracy": best, "posterior": rows, "first_layers": families, "dependence": dependent}
    return found | {"deviation_between_trainings": float(benchmark.deviation["cifar10"].mean())}


def _of_depth(q: Tensor) -> dict[str, Any]:
    mean = float((q * torch.arange(len(q))).sum())
    return {"q": q.tolist(), "mean": mean, "mode": int(q.argmax()), "chosen_depth": vds.choose_depth(q)}


def _points(data: tuple[str, ...]) -> list[dict[str, Any]]:
    parts = {"posterior": data, "guide": FAMILIES, "search": SEARCHES, "depth": ("nas_bench_macro",)}
    return [{"part": part, "of": of} for part, names in parts.items() for of in names]


SCAN = Scan(
    measure=measure,
    paper=Grid(
        _points(("cifar10", "cifar100", "imagenet16")),
        {"tiny": False, "starts": 50, "steps": 1500, "restarts": 5, "look_ups": 1000, "seeds": 20},
    ),
    tiny=Grid(
        _points(("cifar10",)), {"tiny": True, "starts": 3, "steps": 5, "restarts": 2, "look_ups": 100, "seeds": 2}
    ),
)
