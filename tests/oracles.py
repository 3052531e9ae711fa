"""Brute force over depths in plain torch: the truth that the package is compared with.

Nothing here uses Pyro, or the package's own way to read out all depths at once.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

import pyro_vds as vds


def outputs(backbone: vds.PerDepth, x: Tensor) -> Tensor:
    """Each depth by a forward pass of its own, ``(depth, batch, event)``; for heads without batch norm."""
    found = []
    for depth in range(len(backbone.blocks) + 1):
        activations = backbone.stem(x)
        for block in list(backbone.blocks)[:depth]:
            activations = activations + block(activations)
        found.append(backbone.head(backbone.pool(activations)))
    return torch.stack(found)


def log_probs(outputs: Tensor, y: Tensor) -> Tensor:
    """``log p(y_n | x_n, d)``, ``(depth, batch)``: classes for integer targets, else unit normal."""
    if y.is_floating_point():
        return -0.5 * (outputs.squeeze(-1) - y) ** 2 - 0.5 * torch.log(torch.tensor(2 * torch.pi))
    return torch.stack([-F.cross_entropy(f, y, reduction="none") for f in outputs])


def elbo(log_probs: Tensor, log_q: Tensor, log_prior: Tensor, num_data: int) -> Tensor:
    """``sum_n sum_i q_i log p(y_n|x_n,d=i) N / B - KL(q || p)``, by a loop over depths and points."""
    total = torch.zeros(())
    batch = log_probs.shape[1]
    for i in range(len(log_q)):
        for n in range(batch):
            total = total + log_q[i].exp() * log_probs[i, n] * num_data / batch
        total = total - log_q[i].exp() * (log_q[i] - log_prior[i])
    return total


def log_evidence(log_probs: Tensor, log_prior: Tensor) -> Tensor:
    """``log sum_i beta_i prod_n p(y_n|x_n,d=i)``."""
    return torch.logsumexp(log_prior + log_probs.sum(1), 0)


def posterior(log_probs: Tensor, log_prior: Tensor) -> Tensor:
    """``p(d=i | data)``."""
    joint = (log_prior + log_probs.sum(1)).exp()
    return joint / joint.sum()


def predictive(outputs: Tensor, q: Tensor, depth: int | None = None) -> Tensor:
    """``sum_i q_i softmax(f_i(x))``; with a depth, the mass above moves to it first."""
    if depth is not None:
        q = torch.cat([q[:depth], q[depth:].sum()[None]])
    return sum((q[i] * outputs[i].softmax(-1) for i in range(len(q))), start=torch.zeros(()))


def disagreement(outputs: Tensor, depth: int | None = None) -> Tensor:
    """``I(y; d | x)`` with each depth up to one counted the same, by a loop over depths: nats, ``(batch,)``."""
    kept = [f.softmax(-1) for f in (outputs if depth is None else outputs[: depth + 1])]
    mean = sum(kept, start=torch.zeros(())) / len(kept)
    each = sum((-(p * p.log()).sum(-1) for p in kept), start=torch.zeros(())) / len(kept)
    return -(mean * mean.log()).sum(-1) - each


def prior(decay: float, size: int) -> Tensor:
    """The paper's prior, ``beta_i ∝ decay ** (1 + i)``."""
    weights = torch.tensor([decay ** (1 + i) for i in range(size)])
    return weights / weights.sum()


def problem(
    max_depth: int, num_data: int = 12, *, classes: int = 3
) -> tuple[vds.VDSModel, vds.AutoCategorical, Tensor, Tensor]:
    """A small classification problem with random weights and a guide away from uniform."""
    generator = torch.Generator().manual_seed(max_depth)
    torch.manual_seed(max_depth)
    net = vds.ResidualMLP(in_features=2, out_features=classes, width=5, max_depth=max_depth)
    model = vds.VDSModel(net, priors=vds.priors.Geometric(0.7), num_data=num_data)
    guide = vds.AutoCategorical(model)
    nn.init.normal_(guide.logits["depth"], generator=generator)
    x = torch.randn(num_data, 2, generator=generator)
    y = torch.randint(0, classes, (num_data,), generator=generator)
    return model, guide, x, y
