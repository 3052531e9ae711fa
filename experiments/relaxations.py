"""The exact sum over depths against what others do in its place: bias and noise of gradients, and what each learns.

The protocol, written before the runs. Spirals with 200 points to train on and 1,800 to test, ``ResidualMLP(2, 2,
width=20, max_depth=10)``, the paper's prior, full batches, SGD with learning rate 0.1 (guide 1) and momentum 0.5. The
methods are those of :data:`experiments.engine.relaxed.METHODS`.

*Gradients*: one network (seed 0) after 100 and after 600 exact steps, with uniform ``q`` and with the ``q`` it has
learnt; the mean of 200 estimates of each method against the exact gradient, for the logits of ``q`` and for the
weights. Shrinkage has other parameters, and is not in it; path dropout has a gradient of weights only.

*Training*: 800 steps with each method, seeds 0 to 2 of data, weights and draws. Batch-norm statistics are recomputed on
the training points: with the pass that predicts, for a method that predicts by a network of its own; then with the
plain pass, for the read-outs of all depths, whose ELBO, evidence and gap are exact. Shrinkage has no read-outs. Times
are processor times of a step, in the median, as a ratio to the exact step of the same seed, which here is the library's
with Pyro in it. In the first run predictions had the running statistics of training, which are those of randomly left
out blocks or scales: path dropout had an error of 9.4 %, shrinkage of 5.7 %. That was changed after the table was read,
for all methods alike.

*Merge*: a dense graph with ten gates on the digits (1,000 points to train on), 40 exact steps of Adam with uniform
``q``, then the gradient for the logits on a batch of 200, 150 estimates of two draws each. The layers begin with no
normalisation, with LayerNorm or GroupNorm; or the edges begin with it, before the gate. The library offers neither
straight-through nor Concrete gates, so that there is nothing for it to refuse.

The rules of verdicts are in ``claims/relaxations.py``. All of it is the full form; it takes minutes of one core.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import pyro_vds as vds
from experiments.engine.gradients import bias_and_noise, gradient
from experiments.engine.relaxed import AXIS, METHODS, Exact, Objective, Shrinkage, recompute_statistics
from experiments.engine.soft_choices import RELAXED, SoftChoices, gated_graph
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.spaces.typing import TensorPair
from pyro_vds.sweeps import Grid, Resources, Scan

WIDTH, LR, GUIDE_LR, MOMENTUM = 20, 0.1, 1.0, 0.5
LAYERS, CHANNELS, BATCH, DRAWS = 3, 16, 200, 2
NORMS = ("none", "LayerNorm", "GroupNorm", "LayerNorm on the edges")


def measure(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Measure one part of the experiment.

    Args:
        values: ``part`` and ``of``, what it is measured of, and the sizes of :data:`SCAN`.
        repeats: Not used: parts have their own numbers of seeds.
        resources: Not used: everything is small, and on the CPU.
    """
    parts = {"gradients": _gradients, "training": _training, "merge": _merge}
    with isolated_rng():
        return {"settings": dict(values)} | parts[values["part"]](values)


def _spirals(seed: int) -> vds.datasets.DataSet:
    return vds.datasets.spirals(generator=torch.Generator().manual_seed(seed))


def _build(seed: int, max_depth: int, num_data: int) -> tuple[vds.VDSModel, vds.AutoCategorical]:
    torch.manual_seed(seed)
    model = vds.VDSModel(vds.ResidualMLP(2, 2, width=WIDTH, max_depth=max_depth), num_data=num_data)
    return model, vds.AutoCategorical(model)


def _train(objective: Objective, data: TensorPair, steps: int) -> float:
    """Train on full batches, and return the processor time of a step, seconds, in the median."""
    guide = list(objective.guide.parameters())
    ours = {id(parameter) for parameter in guide}
    weights = [parameter for parameter in objective.parameters() if id(parameter) not in ours]
    groups = [{"params": weights}, {"params": guide, "lr": GUIDE_LR}]
    optimiser = torch.optim.SGD(groups, lr=LR, momentum=MOMENTUM)
    times = []
    for _ in range(steps):
        started = time.process_time()
        optimiser.zero_grad()
        (objective(*data) / objective.model.num_data).backward()
        optimiser.step()
        times.append(time.process_time() - started)
    return float(np.median(times))


def _gradients(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return bias and noise of each method on one network, with uniform and with learnt ``q``."""
    data = _spirals(0)
    model, guide = _build(0, values["max_depth"], len(data.train[0]))
    _train(Exact(model, guide), data.train, values["of"])
    learnt, rows = guide.probs(), []
    for name, q in (("uniform", {AXIS: torch.full_like(learnt[AXIS], 1 / len(learnt[AXIS]))}), ("learnt", learnt)):
        guide.set_probs(q)
        exact = _by_part(gradient(Exact(model, guide)(*data.train), _parameters(model, guide)), guide)
        lengths = {part: float(g.norm()) for part, g in exact.items()}
        for method, make in METHODS.items():
            objective = make(model, guide)
            if isinstance(objective, Shrinkage):
                continue
            torch.manual_seed(1)
            found = _estimates(objective, data.train, exact, values["estimates"])
            rows.append({"q": name, "method": method, "exact_length": lengths} | found)
    return {"q": learnt[AXIS].tolist(), "rows": rows}


def _parameters(model: vds.VDSModel, guide: vds.AutoCategorical) -> list[nn.Parameter]:
    return [*guide.parameters(), *model.backbone.parameters()]


def _by_part(vector: Tensor, guide: vds.AutoCategorical) -> dict[str, Tensor]:
    logits = sum(parameter.numel() for parameter in guide.parameters())
    return {"logits": vector[:logits], "weights": vector[logits:]}


def _estimates(objective: Objective, data: TensorPair, exact: Mapping[str, Tensor], estimates: int) -> dict[str, Any]:
    """Return bias and noise for the logits and for the weights, from the same estimates."""
    count = 1 if objective.deterministic else estimates
    parameters = _parameters(objective.model, objective.guide)
    draws = [_by_part(gradient(objective(*data), parameters), objective.guide) for _ in range(count)]
    moved = [part for part in exact if part == "weights" or objective.learns_q]
    return {part: bias_and_noise(exact[part], torch.stack([draw[part] for draw in draws])) for part in moved}


def _training(values: Mapping[str, Any]) -> dict[str, Any]:
    """Train with each method from the same weights on the same data, and measure what it learnt."""
    seed, rows = values["of"], []
    data = _spirals(seed)
    for method, make in METHODS.items():
        model, guide = _build(seed, values["max_depth"], len(data.train[0]))
        objective = make(model, guide)
        torch.manual_seed(1000 + seed)
        seconds = _train(objective, data.train, values["steps"])
        rows.append({"method": method, "seconds_of_step": seconds} | _learnt(objective, data))
    return {"rows": rows}


@torch.no_grad()
def _learnt(objective: Objective, data: vds.datasets.DataSet) -> dict[str, Any]:
    """Return the test scores of a trained network, and the posterior over its read-outs."""
    model, guide = objective.model, objective.guide
    x, y = data.test
    recompute_statistics(objective, data.train[0])
    own = objective.log_predictive(x)
    vds.recalibrate_batch_norm(model, data.train)
    content = _scores(objective.log_predictive(x) if objective.reads_out else own, y)
    if isinstance(objective, Shrinkage):
        return content | {"scales": objective.scales.tolist()}
    exact = vds.exact_posterior(model, data.train)
    content |= {"log_evidence": exact.log_evidence, "exact_posterior": exact.probs[AXIS].tolist()}
    q = guide.probs()[AXIS] if objective.learns_q else exact.probs[AXIS]
    depth = vds.choose_depth(q)
    content |= {"chosen_depth": depth, "at_chosen_depth": _scores(model.outputs(x)[depth].log_softmax(-1), y)}
    if objective.learns_q:
        content |= {"q": q.tolist(), "elbo": exact.elbo(guide), "gap": exact.gap(guide)}
    return content


def _scores(log_probs: Tensor, y: Tensor) -> dict[str, float]:
    log_likelihood = log_probs.gather(1, y[:, None]).double().mean()
    return {"error": float((log_probs.argmax(-1) != y).double().mean()), "log_likelihood": float(log_likelihood)}


def _merge(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return bias and noise of gradients for the gates of a graph with a normalisation."""
    data = vds.datasets.digits(train_size=1000, generator=torch.Generator().manual_seed(0))
    x, y = data.train
    torch.manual_seed(0)
    graph = gated_graph(values["of"], x.shape[1:], 10, layers=values["layers"], channels=CHANNELS)
    model = vds.VDSModel(graph, priors=vds.priors.Uniform(), num_data=len(x))
    guide = vds.AutoCategorical(model)
    elbo = vds.elbo(model, guide)
    optimiser = torch.optim.Adam(graph.parameters(), 1e-2)
    for _ in range(values["merge_steps"]):
        batch = torch.randint(len(x), (BATCH,))
        optimiser.zero_grad()
        (elbo(x[batch], y[batch]) / model.num_data).backward()
        optimiser.step()
    batch, logits = (x[:BATCH], y[:BATCH]), list(guide.parameters())
    exact = gradient(elbo(*batch), logits)
    objectives = {"RLOO": vds.elbo(model, guide, samples=DRAWS)}
    objectives |= {name: SoftChoices(model, guide, weigh, draws=DRAWS) for name, weigh in RELAXED.items()}
    rows = []
    for method, objective in objectives.items():
        torch.manual_seed(1)
        draws = [gradient(objective(*batch), logits) for _ in range(values["merge_estimates"])]
        rows.append({"method": method} | bias_and_noise(exact, torch.stack(draws)))
    return {"exact_length": float(exact.norm()), "rows": rows}


def _points(steps: tuple[int, ...], seeds: tuple[int, ...]) -> list[dict[str, Any]]:
    parts = {"gradients": steps, "training": seeds, "merge": NORMS}
    return [{"part": part, "of": of} for part, names in parts.items() for of in names]


SCAN = Scan(
    measure=measure,
    paper=Grid(
        _points((100, 600), (0, 1, 2)),
        {
            "max_depth": 10,
            "steps": 800,
            "estimates": 200,
            "layers": LAYERS,
            "merge_steps": 40,
            "merge_estimates": 150,
        },
    ),
    tiny=Grid(
        _points((2, 3), (0, 1)),
        {"max_depth": 2, "steps": 3, "estimates": 20, "layers": 1, "merge_steps": 2, "merge_estimates": 10},
    ),
)
