"""The methods of ``plain_or_learnt``: what each trains, and the rows that are read out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import pyro_vds as vds
from experiments.engine.components import Components, Predict, Row, joined, milliseconds, stacked_weights
from experiments.engine.methods import Dropout, Trained, recipe_of, settings_of, train
from experiments.engine.rivals import PASSES
from experiments.engine.tasks import Task
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.metrics.temperature import fit_temperature

MEMBERS = 5
# Returns depth and optimiser that were chosen for a method: (method, depth that is given) -> values.
Choose = Callable[[str, str | None], dict[str, str]]


@dataclass(frozen=True)
class Compared:
    """What a method predicts with, and the ways to weigh it.

    Attributes:
        predict: Returns the components.
        rows: The ways to weigh them, by name.
        about: What else a result file keeps.
    """

    predict: Predict
    rows: dict[str, Row]
    about: dict[str, Any] = field(default_factory=dict)


def plain(task: Task, data: DataSet, seed: int, how: dict[str, str]) -> Compared:
    """Return a plain network, the same with temperature scaling, and ensembles of three and five.

    The members of an ensemble have the seeds ``s``, ``s + 1000``, ``s + 2000`` and so on, and the same data.
    """
    settings, depth = settings_of(task, how["optimiser"]), _depth(task, how)
    members = [train(task, data, seed + 1000 * m, settings, depth=depth) for m in range(MEMBERS)]
    seconds = [member.seconds for member in members]
    time = milliseconds(members[0], data.test[0])

    def row(count: int) -> Row:
        weights = (torch.arange(MEMBERS) < count) / count
        return Row(weights, sum(seconds[:count]), count * time)

    rows = {"ddn": row(1)}
    if data.classes:
        assert data.validation is not None
        x, y = data.validation
        temperature = fit_temperature(members[0](x).outputs[0].double().exp().numpy(), y.numpy())
        rows["ddn_scaled"] = Row(rows["ddn"].weights, seconds[0], time, temperature)
    rows |= {"ensemble_3": row(3), "ensemble_5": row(5)}

    def predict(x: Tensor) -> Components:
        return joined([member(x) for member in members])

    return Compared(predict, rows)


def full(task: Task, data: DataSet, seed: int, how: dict[str, str]) -> Compared:
    """Return the plain network of the full depth."""
    trained = train(task, data, seed, settings_of(task, how["optimiser"]), depth=task.depths[-1])
    return Compared(trained, {"ddn_full": Row(torch.ones(1), trained.seconds, milliseconds(trained, data.test[0]))})


def dropout(task: Task, data: DataSet, seed: int, how: dict[str, str]) -> Compared:
    """Return a plain network with dropout behind every block, on when it predicts."""
    settings, depth = settings_of(task, how["optimiser"]), _depth(task, how)
    trained = train(task, data, seed, settings, depth=depth, dropout=True)
    passes = Dropout(trained)
    weights = torch.full((PASSES,), 1 / PASSES)
    return Compared(passes, {"dropout": Row(weights, trained.seconds, milliseconds(passes, data.test[0]))})


def learnt(task: Task, data: DataSet, seed: int, how: dict[str, str]) -> Compared:
    """Return learnt depth, trained as in the paper."""
    return _mixtures("ldn_paper", data, train(task, data, seed, settings_of(task, how["optimiser"])))


def recipe(task: Task, data: DataSet, seed: int, how: dict[str, str]) -> Compared:
    """Return learnt depth, trained by the recipe."""
    trained = train(task, data, seed, settings_of(task, how["optimiser"]) | recipe_of(task))
    return _mixtures("ldn_recipe", data, trained)


def supervised(task: Task, data: DataSet, seed: int, how: dict[str, str]) -> Compared:
    """Return deep supervision: the weights of the depths stay uniform; its mixture, and its last depth alone."""
    trained = train(task, data, seed, settings_of(task, how["optimiser"]), uniform=True)
    time, count = milliseconds(trained, data.test[0]), task.depths[-1] + 1
    weights = {
        "deep_supervision": torch.full((count,), 1 / count),
        "deep_supervision_last": torch.eye(count)[-1],
        "deep_supervision_stacked": _stacked(trained, data),
    }
    return Compared(trained, {name: Row(w, trained.seconds, time) for name, w in weights.items()})


METHODS: dict[str, Callable[[Task, DataSet, int, dict[str, str]], Compared]] = {
    "ddn": plain,
    "ddn_full": full,
    "ldn_paper": learnt,
    "deep_supervision": supervised,
    "dropout": dropout,
    "ldn_recipe": recipe,
}


def settings_for(method: str, choose: Choose) -> dict[str, str]:
    """Return depth and optimiser of a method.

    Args:
        method: One of :data:`METHODS`.
        choose: What was chosen on validation data.
    """
    if method == "ldn_paper":
        return {"depth": "full", "optimiser": "sgd"}
    if method in ("ddn", "dropout"):
        return choose("ddn", None)
    return choose("ddn", "full") if method == "ddn_full" else choose(method, None)


def _depth(task: Task, how: dict[str, str]) -> int:
    return task.depths[("shallow", "middle", "full").index(how["depth"])]


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
    return stacked_weights(trained(x).log_prob(y))
