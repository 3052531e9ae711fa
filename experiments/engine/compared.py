"""The methods of ``plain_or_learnt``: what each trains, and the rows that are read out of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

import pyro_vds as vds
from experiments.engine.dropout import DROPOUT
from experiments.engine.methods import OPTIMISERS, PAPER_OPTIMISER, Trained, settings_of, train
from experiments.engine.predictions import OF_CLASSES, OF_NUMBERS, combined, milliseconds
from experiments.engine.tasks import Task
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.weights import Weights
from pyro_vds.infer.predict import Prediction
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.pruning.prune import PrunedNetwork
from pyro_vds.spaces.typing import TensorPair

ENSEMBLES = (3, 5)
PASSES = 20

# An optimiser and a depth.
Choice = tuple[str, int]


class Reading(NamedTuple):
    """A prediction of learnt depth: the weights of the depths, and the depth to cut to."""

    weights: Weights = "posterior"
    depth: int | None = None

    @property
    def case(self) -> vds.Case:
        """The same for the package."""
        return vds.Case(self.weights, {} if self.depth is None else {"depth": self.depth})


@dataclass(frozen=True)
class Row:
    """A way to predict.

    Attributes:
        seconds: CPU time of the training of all networks that it predicts with.
        search_seconds: The same with the networks that were tried on the way.
        milliseconds: CPU time of a prediction for 1,000 points.
        depth: The depth of its network; ``None`` for a mixture of all depths.
    """

    seconds: float
    search_seconds: float
    milliseconds: float
    depth: int | None = None


@dataclass(frozen=True)
class Compared:
    """What a method predicts with.

    Attributes:
        predict: Returns the prediction of each row, by name.
        rows: What a prediction costs, by name of the row.
        about: What else a result file keeps.
    """

    predict: Callable[[TensorPair], dict[str, Prediction]]
    rows: dict[str, Row]
    about: dict[str, Any] = field(default_factory=dict)


def plain(task: Task, data: DataSet, seed: int) -> Compared:
    """Return a plain network of the optimiser and depth with the best validation log-likelihood, and rivals like it.

    The members of an ensemble have the seeds ``s``, ``s + 1000``, ``s + 2000`` and so on, and the same data. The
    network with dropout has the seed ``s``.
    """
    tried, scores = _searched(task, data, seed)
    optimiser, depth = choice = max(scores, key=lambda c: scores[c])
    full, settings = (optimiser, task.depths[-1]), settings_of(task, "ddn", optimiser)
    more = [train(task, data, seed + 1000 * m, settings, depth=depth) for m in range(1, max(ENSEMBLES))]
    members = [tried[choice], *more]
    dropped = train(task, data, seed, settings, depth=depth, dropout=True)

    def predict(points: TensorPair) -> dict[str, Prediction]:
        each = [_predicted(member, points) for member in members]
        with isolated_rng(seed=seed):
            passes = [_predicted(dropped, points) for _ in range(PASSES)]
        found = {"ddn": each[0], "ddn_full": _predicted(tried[full], points)}
        found |= {f"ensemble{size}": combined(each[:size]) for size in ENSEMBLES}
        return found | {"mc_dropout": combined(passes)}

    seconds, search = [m.seconds for m in members], sum(net.seconds for net in tried.values())
    at_full = sum(net.seconds for (_, tried_depth), net in tried.items() if tried_depth == task.depths[-1])
    time, of_full, of_dropped = (_timed(net, data.test[0]) for net in (members[0], tried[full], dropped))
    rows = {"ddn": Row(seconds[0], search, time, depth)}
    rows["ddn_full"] = Row(tried[full].seconds, at_full, of_full, full[1])
    for size in ENSEMBLES:
        rows[f"ensemble{size}"] = Row(sum(seconds[:size]), search + sum(seconds[1:size]), size * time, depth)
    rows["mc_dropout"] = Row(dropped.seconds, search + dropped.seconds, PASSES * of_dropped, depth)
    about: dict[str, Any] = {"chosen_optimiser": optimiser, "chosen_depth": depth}
    about |= {"dropout": DROPOUT, "passes": PASSES}
    about["validation_log_likelihood"] = [[*tried_choice, score] for tried_choice, score in scores.items()]
    return Compared(predict, rows, about)


def paper(task: Task, data: DataSet, seed: int) -> Compared:
    """Return learnt depth, trained as in the paper."""
    return _learnt(task, data, seed, "ldn_paper", [PAPER_OPTIMISER])


def recipe(task: Task, data: DataSet, seed: int) -> Compared:
    """Return learnt depth by the recipe without its floor, unless the task has one of its own.

    The optimiser is that whose posterior predicts validation data best.
    """
    return _learnt(task, data, seed, "ldn_recipe", list(OPTIMISERS))


def floored(task: Task, data: DataSet, seed: int) -> Compared:
    """Return learnt depth by the recipe: a tenth of the training weight is for all depths alike."""
    return _learnt(task, data, seed, "ldn_floor", list(OPTIMISERS))


def supervised(task: Task, data: DataSet, seed: int) -> Compared:
    """Return deep supervision, trained with equal weights of the depths, with the best optimiser by their mixture.

    Its guide is then set to the last depth: of this network the posterior is no method.
    """
    name, uniform = "deep_supervision", Reading("uniform")
    trained, about, search = _best(task, data, seed, name, list(OPTIMISERS), uniform)
    trained.guide.set_probs({"depth": torch.eye(task.depths[-1] + 1)[-1]})
    readings = {name: uniform, f"{name}_stacked": Reading("stacked"), f"{name}_last": Reading()}
    return _mixtures(trained, data, readings, about, search)


METHODS: dict[str, Callable[[Task, DataSet, int], Compared]] = {
    "ddn": plain,
    "ldn_paper": paper,
    "ldn_recipe": recipe,
    "ldn_floor": floored,
    "deep_supervision": supervised,
}


def _searched(task: Task, data: DataSet, seed: int) -> tuple[dict[Choice, Trained], dict[Choice, float]]:
    """Return the plain networks that were tried, and their validation log-likelihood."""
    tried: dict[Choice, Trained] = {}
    scores: dict[Choice, float] = {}

    def attempt(optimisers: Sequence[str], depths: Sequence[int]) -> None:
        for choice in ((optimiser, depth) for optimiser in optimisers for depth in depths):
            if choice not in tried:
                settings = settings_of(task, "ddn", choice[0])
                tried[choice] = train(task, data, seed, settings, depth=choice[1])
                scores[choice] = _score(tried[choice], data, Reading())

    attempt(list(OPTIMISERS), task.depths[-1:] if task.greedy else task.depths)
    attempt([max(scores, key=lambda c: scores[c])[0]], task.depths)
    return tried, scores


def _learnt(task: Task, data: DataSet, seed: int, name: str, optimisers: Sequence[str]) -> Compared:
    """Return the mixture by the guide, by stacking on validation data, pruned by the rule "95", and by equal parts."""
    trained, about, search = _best(task, data, seed, name, optimisers, Reading())
    q = trained.guide.probs()["depth"].detach()
    depth, exact = vds.choose_depth(q), vds.exact_posterior(trained.model, data.train)
    about |= {
        "gap": exact.gap(trained.guide),
        "chosen_depth": depth,
        "chosen_depth_exact": vds.choose_depth(exact.probs["depth"]),
        "expected_depth": float((q * torch.arange(len(q))).sum()),
        "q": q.tolist(),
        "exact_posterior": exact.probs["depth"].tolist(),
    }
    readings = {
        name: Reading(),
        f"{name}_stacked": Reading("stacked"),
        f"{name}_pruned": Reading(depth=depth),
        f"{name}_uniform": Reading("uniform"),
    }
    return _mixtures(trained, data, readings, about, search)


def _best(
    task: Task, data: DataSet, seed: int, method: str, optimisers: Sequence[str], reading: Reading
) -> tuple[Trained, dict[str, Any], float]:
    """Return the network of the optimiser that predicts validation data best, its choice, and the time of all."""
    tried = {name: train(task, data, seed, settings_of(task, method, name)) for name in optimisers}
    scores = {name: _score(trained, data, reading) for name, trained in tried.items()}
    name = max(scores, key=lambda n: scores[n])
    about = {"chosen_optimiser": name, "validation_log_likelihood": list(map(list, scores.items()))}
    return tried[name], about, sum(trained.seconds for trained in tried.values())


def _mixtures(
    trained: Trained, data: DataSet, readings: Mapping[str, Reading], about: dict[str, Any], search: float
) -> Compared:
    """Return the predictions of one network with several weights and cuts."""
    assert data.validation is not None
    stacked = vds.stacked_weights(trained.model, data.validation)
    trained.guide.keep_weights("stacked", stacked)

    def predict(points: TensorPair) -> dict[str, Prediction]:
        return dict(zip(readings, _read(trained, points, list(readings.values())), strict=True))

    rows = {
        name: Row(trained.seconds, search, _timed(trained, data.test[0], reading), reading.depth)
        for name, reading in readings.items()
    }
    return Compared(predict, rows, about | {"stacked": stacked.exp().tolist()})


def _read(trained: Trained, points: TensorPair, readings: Sequence[Reading]) -> list[Prediction]:
    want = OF_NUMBERS if trained.model.likelihood.numeric else OF_CLASSES
    return vds.predict(trained.model, trained.guide, *points, cuts=[one.case for one in readings], want=want)


def _predicted(trained: Trained, points: TensorPair) -> Prediction:
    return _read(trained, points, [Reading()])[0]


def _score(trained: Trained, data: DataSet, reading: Reading) -> float:
    """Return the validation log-likelihood, nats per point; minus infinity if it is no number."""
    assert data.validation is not None
    x, y = data.validation
    (found,) = vds.predict(trained.model, trained.guide, x, y, cuts=[reading.case], want=["log_prob"])
    value = float(found["log_prob"].double().mean())
    return value if math.isfinite(value) else -math.inf


def _timed(trained: Trained, x: Tensor, reading: Reading | None = None) -> float:
    """Return the CPU time of a prediction by the network alone, cut as far as can be, milliseconds for 1,000 points."""
    model = trained.model
    if reading is None:
        return milliseconds(PrunedNetwork(model.backbone, torch.zeros(1, 1), model.likelihood).eval(), x)
    depth = model.sizes[0] - 1 if reading.depth is None else reading.depth
    return milliseconds(vds.prune(model, trained.guide, weights=reading.weights, depth=depth), x)
