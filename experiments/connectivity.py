"""Which layers a layer takes from: gates on the connections of a graph, summed exactly, drawn, and as sigmoid weights.

The claims are those of R. Kotikalapudi's blog post "Learning connectivity patterns via back-propagation" (the seed of
this part of the library): a weight ``sigmoid(w)`` on every connection is learnt along with the network, and should
prune what is not wanted. Beside it, the same graphs with a binary gate on each edge, a price in nats for an open one,
and a guide: the exact sum over all subgraphs, and an estimate from four draws in each step.

The protocol, written before the runs. Dense graphs on the 8 x 8 digits (1,000 to train, 449 to test, one split; the
seed is that of weights and batches), 16 units, 15 epochs of batches of 100, Adam at 0.01 and 0.1 for the logit of a
gate, cosine over the epochs. (Sigmoid weights had half that rate in a first run, which was stopped and not looked at.)

- ``gates``: two layers, 6 gates, price 0 with seeds 0 to 2 and price 20 with seeds 0 to 5. The blog's weights have no
  price, and are measured as gates of these probabilities at both. ``linear`` is the blog's weight without sigmoid.
- ``start``: seed 0, price 20; all gates start at the logit -2, 0.5, 1 or 2, at draws from N(0.5, 1), or at 1 from each
  layer to the next and 0.5 elsewhere. The start at 0 is that of ``gates``.
- ``retrain``: three layers, 10 gates. What a search keeps (of sigmoid weights, the larger half) is measured with the
  weights of the search, and trained again alone from three new seeds, beside six random graphs with as many edges and a
  path from stem to head, and the graph with all edges.
- ``merges``: three convolutional layers of 8 channels, pooled after the first, 40 epochs, price 20, draws. The guide
  moves from the start or from epoch 20. The exact sum with the merge "squeeze".
- ``images``: the blog's own experiment on CIFAR-10, as far as one core goes: images averaged to 16 x 16, 2,000 to train
  and 1,000 to test, five layers of 16 channels, pooled after the second and the fourth, 21 gates, merged by
  concatenation, 20 epochs, Adam at 0.003. Sigmoid weights start at 0, 0.5 and 1; gates are drawn, and held for 10
  epochs. (4,000 and 2,000 images were planned, and took too long on a shared core.) The full form has all images at
  32 x 32, 32 channels and 200 epochs, for a GPU; it was not run. There is no augmentation and no dropout.

Added after the first table was read: ``gates`` at half the rate, 0.05 for the logit of a gate, which the prototypes
had, since at 0.1 nearly all sigmoid weights end above 0.9, and in the prototypes none did.

The rules of the verdicts are in ``experiments.claims.connectivity``, and were written before the runs too, with the
numbers of prototypes in sight (another split, batches and seeds, half the rate of the guide).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

import pyro_vds as vds
from experiments.engine.connected import Trained, cut, measured, scores, train, train_alone
from experiments.engine.gated import Network, connected_at_random
from experiments.engine.small_images import small_images
from pyro_vds.spaces.typing import TensorPair
from pyro_vds.sweeps import Grid, Resources, Scan, product

AGAIN = 100  # the first seed of networks that are trained alone


def measure(values: Mapping[str, Any], repeats: int, resources: Resources) -> dict[str, Any]:
    """Train one graph, and measure it.

    Args:
        values: ``part``, ``method``, ``price``, ``start``, ``seed``, ``merge`` and ``guide_from`` where they vary, and
            ``size``, which names the rest in :data:`SIZES`.
        repeats: Not used: a seed is a repeat.
        resources: Where the files of images are, and where networks train.
    """
    values = SIZES[values["size"]][values["part"]] | values
    data = _load(values, resources)
    trained = train(
        _graph(values, data[0], values["seed"], resources),
        values["method"],
        data[0],
        price=values["price"],
        start=values["start"],
        guide_from=values["guide_from"],
        **_how(values, values["seed"], resources),
    )
    content = {"settings": dict(values), "edges": [list(edge) for edge in _edges(trained)]}
    content |= measured(trained, *data)
    retrains = values["alone"] and (values["part"] == "retrain" or values["method"] == "rloo")
    return content | (_retrained(values, trained, data, resources) if retrains else {})


def _how(values: Mapping[str, Any], seed: int, resources: Resources) -> dict[str, Any]:
    settings = {name: values[name] for name in ("max_epochs", "batch_size", "lr")}
    return settings | {"seed": seed, "device": resources.device}


def _load(values: Mapping[str, Any], resources: Resources) -> tuple[TensorPair, TensorPair]:
    """Return training and test data, flat for dense graphs; always the same split."""
    generator, size = torch.Generator().manual_seed(0), values["train_size"]
    if values["data"] == "digits":
        data = vds.datasets.digits(train_size=size, generator=generator)
    elif values["pixels"] == 32:
        data = vds.datasets.cifar10(resources.data_root, train_size=size, generator=generator)
    else:
        how: dict[str, Any] = {"train_size": size, "test_size": values["test_size"], "validation": 0.0}
        data = small_images(values["data"], resources.data_root, 0, **how)
    train, test = data.train, data.test
    if values["dense"]:
        train, test = ((x.flatten(1), y) for x, y in (train, test))
    return train, test


def _graph(values: Mapping[str, Any], train: TensorPair, seed: int, resources: Resources) -> vds.SearchGraph:
    torch.manual_seed(seed)
    sizes = {name: values[name] for name in ("layers", "channels", "merge", "pool")}
    return vds.connectivity(train[0].shape[1:], 10, **sizes).to(resources.device)


def _edges(trained: Trained) -> list[tuple[int, int]]:
    graph = trained.model.backbone
    assert isinstance(graph, vds.SearchGraph)
    return graph.edges


def _retrained(
    values: Mapping[str, Any], trained: Trained, data: tuple[TensorPair, TensorPair], resources: Resources
) -> dict[str, Any]:
    """Return the scores of what the search keeps, cut out and trained alone, of random graphs, and of all edges."""
    edges, counts = _edges(trained), values["alone"]
    probs = trained.guide.probs()["gate"][:, 1].detach().cpu().numpy()
    kept = probs > (0.5 if values["method"] != "sigmoid" else np.sort(probs)[len(probs) // 2 - 1])
    rng = np.random.default_rng(values["seed"])

    def alone(opened: tuple[bool, ...], number: int) -> dict[str, float]:
        seed = AGAIN + number
        network = _graph(values, data[0], seed, resources).restrict(gate=opened)
        return scores(train_alone(network, data[0], **_how(values, seed, resources)), None, data[1])

    def several(count: int, draw: Callable[[], tuple[bool, ...]]) -> list[dict[str, float]]:
        return [alone(draw(), number) for number in range(count)]

    opened = tuple(kept.tolist())
    trained.guide.set_probs({"gate": torch.stack([torch.tensor(1.0 - kept), torch.tensor(1.0 * kept)], -1)})
    network = vds.VDSModel(Network(cut(trained.model, trained.guide)), num_data=len(data[0][0]))
    found: dict[str, Any] = {"kept": list(opened), "cut": scores(network, None, data[1])}
    found["alone"] = several(counts[0], lambda: opened)
    found["all"] = several(counts[0], lambda: (True,) * len(edges))
    size = int(kept.sum())
    found["random"] = several(counts[1] if size else 0, lambda: connected_at_random(edges, size, rng))
    return found


DENSE: dict[str, Any] = {
    "data": "digits", "dense": True, "layers": 2, "channels": 16, "merge": "squeeze", "pool": (), "train_size": 1000,
    "max_epochs": 15, "batch_size": 100, "lr": 0.01, "price": 20.0, "start": 0.0, "guide_from": 0, "alone": (),
}  # fmt: skip
CONV = DENSE | {"dense": False, "layers": 3, "channels": 8, "pool": (1,), "max_epochs": 40}
IMAGES = DENSE | {
    "data": "cifar10", "dense": False, "pixels": 16, "layers": 5, "channels": 16, "pool": (2, 4), "merge": "concat",
    "train_size": 2000, "test_size": 1000, "max_epochs": 20, "lr": 0.003, "alone": (1, 2),
}  # fmt: skip
FULL = IMAGES | {"pixels": 32, "channels": 32, "train_size": None, "max_epochs": 200, "batch_size": 128}
TINY = {"data": "digits", "layers": 2, "channels": 2, "max_epochs": 2, "train_size": 150}
SIZES = {
    "core": {
        "gates": DENSE,
        "start": DENSE,
        "retrain": DENSE | {"layers": 3, "alone": (3, 6)},
        "merges": CONV,
        "images": IMAGES,
    },
    "full": {"images": FULL},
    "tiny": {
        "gates": DENSE | TINY,
        "start": DENSE | TINY,
        "retrain": DENSE | TINY | {"alone": (2, 2)},
        "merges": CONV | TINY,
        "images": IMAGES | TINY | {"pool": (1,)},
    },
}


def _points(seeds: int, few: int, starts: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the points on digits.

    Args:
        seeds: Number of seeds whose answers are compared.
        few: Number of seeds elsewhere.
        starts: Where gates start.
    """
    gates = [
        *product({"method": ("exact", "rloo", "sigmoid"), "price": (0.0,), "seed": range(few)}),
        *product({"method": ("exact", "rloo", "sigmoid"), "price": (20.0,), "seed": range(seeds)}),
        *product({"method": ("linear",), "price": (0.0,), "seed": range(few)}),
        *product({"method": ("sigmoid_slow", "exact_slow", "rloo_slow"), "price": (20.0,), "seed": range(seeds)}),
    ]
    start = product({"method": ("exact", "rloo", "sigmoid"), "start": starts, "seed": (0,)})
    searches = [("exact", 20.0), ("exact", 60.0), ("rloo", 60.0), ("sigmoid", 0.0)]
    retrain = product([{"method": method, "price": price} for method, price in searches], {"seed": range(few)})
    merges = [{"merge": merge, "method": "rloo"} for merge in ("squeeze", "concat", "max", "sum")]
    cases = [*merges, {"merge": "squeeze", "method": "exact"}]
    merges = product(cases, {"guide_from": (0, 20 if few > 1 else 1), "seed": range(min(2, few))})
    parts = {"gates": gates, "start": start, "retrain": retrain, "merges": merges}
    return [{"part": part} | point for part, points in parts.items() for point in points]


def _images(seeds: int, late: int, **how: Any) -> list[dict[str, Any]]:
    """Return the points of the blog's own experiment.

    Args:
        seeds: Number of seeds.
        late: First epoch in which gates move.
        how: The size.
    """
    soft = product({"method": ("sigmoid",), "start": (0.0, 0.5, 1.0)})
    cases = [*soft, {"method": "rloo", "guide_from": late}]
    return [{"part": "images"} | case | how for case in product(cases, {"seed": range(seeds)})]


SMALL = _points(6, 3, (-2.0, 0.5, 1.0, 2.0, "normal", "chain"))
SCAN = Scan(
    measure=measure,
    paper=Grid(SMALL + _images(2, 100, size="full"), {"size": "core"}),
    cpu=Grid(SMALL + _images(2, 10), {"size": "core"}),
    tiny=Grid(_points(2, 1, (0.5, 1.0, "chain")) + _images(1, 1), {"size": "tiny"}),
)
