"""The methods of ``plain_or_learnt``: what each trains, and the rows that are read out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import pyro_vds as vds
from experiments.engine.components import Predict, Row, log_prob, measured, milliseconds, stacked_weights
from experiments.engine.methods import Trained, settings_of, train
from experiments.engine.tasks import Task
from pyro_vds.datasets.dataset import DataSet

MEMBERS = 5


@dataclass(frozen=True)
class Compared:
    """What a method predicts with, and the ways to weigh it.

    Attributes:
        predict: Returns the log class probabilities of the components.
        rows: The ways to weigh them, by name.
        about: What else a result file keeps.
    """

    predict: Predict
    rows: dict[str, Row]
    about: dict[str, Any] = field(default_factory=dict)


def plain(task: Task, data: DataSet, seed: int) -> Compared:
    """Return a plain network of the depth with the best validation log-likelihood, and the ensemble of five such.

    The members of the ensemble have the seeds ``s``, ``s + 1000``, ``s + 2000`` and so on, and the same data.
    """
    assert data.validation is not None
    (x, y), settings = data.validation, settings_of(task, "ddn")
    tried = {depth: train(task, data, seed, settings, depth=depth) for depth in task.depths}
    scores = {depth: measured(net(x), torch.ones(1), y)["log_likelihood"] for depth, net in tried.items()}
    depth = max(scores, key=lambda d: scores[d])
    more = [train(task, data, seed + 1000 * m, settings, depth=depth) for m in range(1, MEMBERS)]
    members = [tried[depth], *more]
    time = milliseconds(members[0], data.test[0])
    rows = {
        "ddn": Row((torch.arange(MEMBERS) < 1).float(), members[0].seconds, time),
        "ensemble": Row(torch.full((MEMBERS,), 1 / MEMBERS), sum(m.seconds for m in members), MEMBERS * time),
    }
    about = {"chosen_depth": depth, "validation_log_likelihood_by_depth": list(scores.items())}
    about["seconds_of_all_depths"] = sum(net.seconds for net in tried.values())
    return Compared(lambda x: torch.cat([member(x) for member in members]), rows, about)


def full(task: Task, data: DataSet, seed: int) -> Compared:
    """Return the plain network of the full depth."""
    trained = train(task, data, seed, settings_of(task, "ddn_full"), depth=task.depths[-1])
    return Compared(trained, {"ddn_full": Row(torch.ones(1), trained.seconds, milliseconds(trained, data.test[0]))})


def paper(task: Task, data: DataSet, seed: int) -> Compared:
    """Return learnt depth, trained as in the paper."""
    return _mixtures("ldn_paper", data, train(task, data, seed, settings_of(task, "ldn_paper")))


def recipe(task: Task, data: DataSet, seed: int) -> Compared:
    """Return learnt depth, trained by the recipe."""
    return _mixtures("ldn_recipe", data, train(task, data, seed, settings_of(task, "ldn_recipe")))


def supervised(task: Task, data: DataSet, seed: int) -> Compared:
    """Return deep supervision, trained with equal weights of the depths: their mixture, stacked, and the last depth."""
    trained = train(task, data, seed, settings_of(task, "deep_supervision"))
    time, count = milliseconds(trained, data.test[0]), task.depths[-1] + 1
    weights = {
        "deep_supervision": torch.full((count,), 1 / count),
        "deep_supervision_stacked": _stacked(trained, data),
        "deep_supervision_last": torch.eye(count)[-1],
    }
    return Compared(trained, {name: Row(w, trained.seconds, time) for name, w in weights.items()})


METHODS: dict[str, Callable[[Task, DataSet, int], Compared]] = {
    "ddn": plain,
    "ddn_full": full,
    "ldn_paper": paper,
    "ldn_recipe": recipe,
    "deep_supervision": supervised,
}


def _mixtures(name: str, data: DataSet, trained: Trained) -> Compared:
    """Return the mixture by the guide, by stacking on validation data, pruned by the rule "95", and by equal parts."""
    q = trained.guide.probs()["depth"].detach()
    depth, count = vds.choose_depth(q), len(q)
    cut = torch.cat([q[:depth], q[depth:].sum(0, keepdim=True), torch.zeros(count - depth - 1)])
    time, seconds = milliseconds(trained, data.test[0]), trained.seconds
    pruned = vds.prune(trained.model, trained.guide, depth=depth)
    with torch.inference_mode():
        time_pruned = milliseconds(pruned, data.test[0])
    rows = {
        name: Row(q, seconds, time),
        f"{name}_stacked": Row(_stacked(trained, data), seconds, time),
        f"{name}_pruned": Row(cut, seconds, time_pruned),
        f"{name}_uniform": Row(torch.full((count,), 1 / count), seconds, time),
    }
    exact = vds.exact_posterior(trained.model, data.train)
    about = {
        "gap": exact.gap(trained.guide),
        "chosen_depth": depth,
        "chosen_depth_exact": vds.choose_depth(exact.probs["depth"]),
        "q": q.tolist(),
        "exact_posterior": exact.probs["depth"].tolist(),
    }
    return Compared(trained, rows, about)


def _stacked(trained: Trained, data: DataSet) -> Tensor:
    assert data.validation is not None
    x, y = data.validation
    return stacked_weights(log_prob(trained(x), y))
