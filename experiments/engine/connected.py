"""Graphs with gates: trained with the exact sum, with draws, and as the blog does it; and what is measured of them."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam

import pyro_vds as vds
from experiments.engine.gated import Network, SoftGates, Start, start_logits
from pyro_vds.spaces.space import LIMIT
from pyro_vds.spaces.typing import TensorPair

Method = Literal["exact", "rloo", "sigmoid", "linear", "exact_slow", "rloo_slow", "sigmoid_slow"]
SLOW = "_slow"
DRAWS, LOOKS = 4, 40
GUIDE_LR = 0.05
GATES_LR = 2 * GUIDE_LR  # of a single logit: a guide has two for a gate, which move apart
SURE = 0.1  # a gate is decided if its probability is less than this from 0 or 1


@dataclass(frozen=True)
class Trained:
    """A trained graph.

    Attributes:
        model: The model over the subgraphs of its weights.
        guide: The guide; for soft gates with their weights as probabilities.
        soft: The model as it was trained, if its gates are soft.
        log_prob: Mean log-likelihood of a training point in each epoch, nats.
        gates: Probability or weight of each edge at the end of each epoch, ``(epoch, edge)``.
        seconds: Time of training.
    """

    model: vds.VDSModel
    guide: vds.AutoCategorical
    soft: vds.VDSModel | None
    log_prob: list[float]
    gates: np.ndarray
    seconds: float


def train(
    graph: vds.SearchGraph,
    method: Method,
    data: TensorPair,
    *,
    price: float,
    start: Start = 0.0,
    guide_from: int = 0,
    seed: int,
    **how: Any,
) -> Trained:
    """Train weights and gates together, with Adam and a cosine over the epochs.

    Args:
        graph: The graph.
        method: ``"exact"`` sums over all subgraphs, ``"rloo"`` draws four in each step; ``"sigmoid"`` and ``"linear"``
            are the blog's weights, without prior. With the end ``"_slow"`` gates have half the learning rate.
        data: Training data.
        price: Price of an open edge, nats.
        start: Where the gates start; see :func:`start_logits`.
        guide_from: First epoch in which the gates of a guide move.
        seed: Seed of the batches, the draws and a random start.
        how: Other settings of :func:`pyro_vds.fit`, with ``lr``, the learning rate of the weights; that of the logit of
            a gate is 0.1, however it is trained.

    Raises:
        ValueError: If the method is unknown.
    """
    if method not in get_args(Method):
        raise ValueError(f"Expected a method of {', '.join(get_args(Method))}, got {method!r}.")
    model = vds.VDSModel(graph, priors=vds.priors.Price(price), num_data=len(data[0]))
    guide = vds.AutoCategorical(model)
    logits = start_logits(start, graph.edges, seed=seed)
    started = time.perf_counter()
    how |= {"seed": seed, "scheduler": "cosine", "progress": False, "patience": None}
    rate = 0.5 if method.endswith(SLOW) else 1.0
    kind = method.removesuffix(SLOW)
    if kind in ("exact", "rloo"):
        _open_with(guide, logits.sigmoid())
        how |= {"guide_lr": rate * GUIDE_LR, "samples": DRAWS if kind == "rloo" else None, "guide_from": guide_from}
        history = vds.fit(model, guide, data, optimizer=Adam, **how)
        soft, gates = None, history.probs["gate"][..., 1].numpy()
    else:
        squash = kind == "sigmoid"
        network = SoftGates(graph, logits if squash else logits.sigmoid(), squash=squash)
        soft, seen = vds.VDSModel(network, num_data=len(data[0])), []
        how |= {
            "optimizer": _with_gates(network.w, how.pop("lr"), rate * GATES_LR),
            "on_epoch": lambda record: seen.append(network.weights.detach().cpu().numpy().copy()),
        }
        history = vds.fit(soft, None, data, **how)
        gates = np.stack(seen)
        _open_with(guide.to(network.w.device), network.weights.detach().clamp(0, 1))
    seconds = time.perf_counter() - started
    return Trained(model, guide, soft, (history.expected_log_prob / len(data[0])).tolist(), gates, seconds)


def train_alone(network: nn.Module, data: TensorPair, *, lr: float, seed: int, **how: Any) -> vds.VDSModel:
    """Train a network without gates in the same way.

    Args:
        network: The network.
        data: Training data.
        lr: Learning rate.
        seed: Seed of the batches.
        how: Other settings of :func:`pyro_vds.fit`.
    """
    model = vds.VDSModel(Network(network), num_data=len(data[0]))
    how |= {"seed": seed, "scheduler": "cosine", "progress": False, "patience": None}
    vds.fit(model, None, data, optimizer=Adam, lr=lr, **how)
    return model


def measured(trained: Trained, train: TensorPair, test: TensorPair) -> dict[str, Any]:
    """Return bound, evidence and gap of a trained graph on training data, and what it predicts on test data.

    With more than 65,536 subgraphs bound and mixture are estimates from 40 draws.

    Args:
        trained: The trained graph.
        train: Training data.
        test: Test data.
    """
    model, guide = trained.model, trained.guide
    probs = guide.probs()["gate"][:, 1].detach().cpu()
    found: dict[str, Any] = {
        "probs": probs.tolist(),
        "open": int((probs > 0.5).sum()),
        "decided": float(((probs - 0.5).abs() > 0.5 - SURE).float().mean()),
        "parameters": sum(p.numel() for p in model.backbone.parameters()),
        "seconds_of_training": trained.seconds,
        "log_prob": trained.log_prob,
        "gates": np.round(trained.gates, 4).tolist(),
    }
    if model.space.count <= LIMIT:
        posterior = vds.exact_posterior(model, train)
        found |= {"elbo": posterior.elbo(guide), "evidence": posterior.log_evidence, "gap": posterior.gap(guide)}
        found["posterior"] = posterior.probs["gate"][:, 1].tolist()
        found["mixture"] = scores(model, guide, test)
    else:
        estimate = vds.estimate_evidence(model, guide, train, samples=LOOKS)
        found |= {"elbo": estimate.elbo, "elbo_se": estimate.elbo_se}
        found["mixture"] = scores(*vds.drawn(model, guide, samples=LOOKS), test)
    found["mode"] = scores(vds.VDSModel(Network(cut(model, guide)), num_data=len(train[0])), None, test)
    return found if trained.soft is None else found | {"soft": scores(trained.soft, None, test)}


def scores(model: vds.VDSModel, guide: vds.AutoCategorical | None, test: TensorPair) -> dict[str, float]:
    """Return mean log-likelihood, nats per point, and share of errors of the mixture over what the model leaves open.

    Args:
        model: The model.
        guide: Its guide; ``None`` for a model without choices.
        test: Test data.
    """
    (found,) = vds.predict(model, guide, *test, want=["metrics"])
    return {"log_likelihood": float(found["log_prob"].double().mean()), "error": float(found["error"].double().mean())}


def cut(model: vds.VDSModel, guide: vds.AutoCategorical) -> nn.Module:
    """Return the most probable subgraph with its trained weights.

    Args:
        model: The model of a graph.
        guide: Its guide.
    """
    return model.backbone.restrict(**guide.mode())  # type: ignore[operator]


def _open_with(guide: vds.AutoCategorical, probs: Tensor) -> None:
    guide.set_probs({"gate": torch.stack([1 - probs, probs], -1)})


def _with_gates(gates: nn.Parameter, lr: float, rate: float) -> Callable[[Iterable[Any]], Adam]:
    """Return what makes an optimiser with a learning rate of its own for the gates."""

    def make(groups: Iterable[Any]) -> Adam:
        weights = [p for group in groups for p in group["params"] if p is not gates]
        return Adam([{"params": weights, "lr": lr}, {"params": [gates], "lr": rate}])

    return make
