"""A cell of NAS-Bench-201 with shared weights: searches that train weights and guide together, and single cells."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor, nn

import pyro_vds as vds
from experiments.engine.soft_choices import SoftChoices, softmax_weights
from pyro_vds.guides.base import Guide
from pyro_vds.spaces.typing import TensorPair

AXIS = "op"
SAMPLES = 4


@dataclass(frozen=True)
class Search:
    """What trains a supernet.

    Attributes:
        guide: Makes the guide of the model.
        objective: Makes what is minimised.
        guide_lr: Learning rate of the guide; 0 leaves it as it starts.
    """

    guide: Callable[[vds.VDSModel], Guide]
    objective: Callable[[vds.VDSModel, Guide], nn.Module]
    guide_lr: float


_drawn = partial(vds.elbo, samples=SAMPLES)
SEARCHES = {
    "mean-field": Search(vds.AutoCategorical, _drawn, 0.2),
    "generator of 1 input": Search(partial(vds.AutoGenerator, inputs=1), _drawn, 0.025),
    "generator of 16 inputs": Search(partial(vds.AutoGenerator, inputs=16), _drawn, 0.025),
    "DARTS": Search(vds.AutoCategorical, partial(SoftChoices, weigh=softmax_weights, kl=False), 0.025),
    "exact mean-field": Search(vds.AutoCategorical, vds.elbo, 0.2),
    "uniform": Search(vds.AutoCategorical, _drawn, 0.0),
}


def build(search: Search, data: TensorPair, channels: int, classes: int, *, seed: int) -> tuple[vds.VDSModel, Guide]:
    """Return a supernet with a uniform prior over cells, and its guide.

    Args:
        search: The search.
        data: The training data.
        channels: Channels of every node.
        classes: Number of classes.
        seed: Seed of weights and guide, set in the global generator, from which the search goes on.
    """
    torch.manual_seed(seed)
    network = vds.cell(tuple(data[0].shape[1:]), classes, channels=channels)
    model = vds.VDSModel(network, priors=vds.priors.Uniform(), num_data=len(data[0]))
    return model, search.guide(model)


def steps(
    search: Search, model: vds.VDSModel, guide: Guide, data: TensorPair, *, epochs: int, batch_size: int, lr: float
) -> Iterator[int]:
    """Train weights and guide together with Adam, and yield the number of each step after it.

    Args:
        search: The search.
        model: The supernet.
        guide: Its guide.
        data: The training data.
        epochs: Passes over the data.
        batch_size: Points in a batch.
        lr: Learning rate of the weights.
    """
    objective = search.objective(model, guide)
    groups = [{"params": model.backbone.parameters()}, {"params": guide.parameters(), "lr": search.guide_lr}]
    optimiser = torch.optim.Adam(groups, lr)
    done = 0
    for _ in range(epochs):
        for batch in torch.randperm(len(data[0])).split(batch_size):
            optimiser.zero_grad()
            (objective(data[0][batch], data[1][batch]) / model.num_data).backward()
            optimiser.step()
            done += 1
            yield done


@torch.no_grad()
def shared_log_likelihood(
    model: vds.VDSModel, data: TensorPair, cells: Int[Tensor, "cell edge"]
) -> Float[Tensor, " cell"]:
    """Return the log likelihood of some cells with the shared weights, nats per point.

    Args:
        model: The supernet.
        data: Points to measure it on.
        cells: The operation on each edge of each cell.
    """
    outputs = model.backbone.at(data[0], {AXIS: cells})
    return model.likelihood(outputs).log_prob(data[1]).mean(-1)


@torch.no_grad()
def divergence(model: vds.VDSModel, guide: Guide, data: TensorPair) -> float:
    """Return ``KL(q || exact posterior)`` for the shared weights, nats, with some points counted as all.

    Args:
        model: The supernet.
        guide: Its guide.
        data: The points.
    """
    exact = vds.exact_posterior(model, data)
    counted = exact.log_likelihood * (model.num_data / len(data[0]))
    log_p = (exact.log_prior + counted).flatten().log_softmax(0)
    log_q = guide.joint_log_probs().double().flatten().log_softmax(0)
    return float((log_q.exp() * (log_q - log_p)).sum())


def train_alone(
    cell: Sequence[int], train: TensorPair, test: TensorPair, channels: int, classes: int, *, epochs: int, seed: int
) -> dict[str, float]:
    """Train one cell from scratch with Adam (rate 0.01, cosine, batches of 50), and return its test scores.

    Args:
        cell: The operation on each edge.
        train: Training data.
        test: Test data.
        channels: Channels of every node.
        classes: Number of classes.
        epochs: Passes over the data.
        seed: Seed of weights and batches.
    """
    torch.manual_seed(seed)
    labels = tuple(vds.NAS_BENCH_201[entry] for entry in cell)
    network = vds.cell(tuple(train[0].shape[1:]), classes, channels=channels).restrict(**{AXIS: labels})
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    batches = [batch for _ in range(epochs) for batch in torch.randperm(len(train[0])).split(50)]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(batches))
    for batch in batches:
        optimiser.zero_grad()
        F.cross_entropy(network(train[0][batch]), train[1][batch]).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        log_probs = network(test[0]).log_softmax(-1)
    correct = (log_probs.argmax(-1) == test[1]).double().mean()
    return {"accuracy": float(correct), "log_likelihood": -float(F.nll_loss(log_probs, test[1]))}
