"""What is trained in place of the exact sum over depths: draws, relaxations, averaged features, shrinkage, dropout.

Each is a module with the model and the guide of a network that reads out every depth. Its ``forward`` is a number to
minimise, in nats, and stands where the negative ELBO stands; one call runs the network once, or twice for two draws.
With gates ``g`` the network is ``a_i = a_{i-1} + g_i f_i(a_{i-1})``, read out at the end.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

import pyro_vds as vds

AXIS = "depth"
DRAWS = 50  # of soft gates, in a prediction


class Objective(nn.Module):
    """A number to minimise, and the prediction that belongs to it.

    Attributes:
        learns_q: Whether it moves the guide.
        reads_out: Whether it predicts by the mixture of read-outs under ``q``, and not by a network of its own.
        deterministic: Whether it draws nothing.
    """

    deterministic = False
    learns_q = True
    reads_out = True

    def __init__(self, model: vds.VDSModel, guide: vds.AutoCategorical) -> None:
        super().__init__()
        self.model, self.guide = model, guide

    def forward(self, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Return the number to minimise, nats of all data.

        Args:
            x: Inputs ``(batch, ...)``.
            y: Targets.
        """
        raise NotImplementedError

    def log_predictive(self, x: Tensor) -> Float[Tensor, "batch classes"]:
        """Return log probabilities of the classes.

        Args:
            x: Inputs ``(batch, ...)``.
        """
        weights = self.guide.joint_log_probs()[:, None, None]
        return (self.model.outputs(x).log_softmax(-1) + weights).logsumexp(0)

    def gated(self, x: Tensor, gates: Float[Tensor, " block"]) -> Tensor:
        """Return the outputs of the network whose blocks have gates."""
        network = self.model.backbone
        activations = network.stem(x)
        for gate, block in zip(gates, network.blocks, strict=True):
            activations = activations + gate * block(activations)
        return network.head(network.pool(activations))

    def log_likelihood(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the log likelihood of a batch, scaled to all data, nats."""
        return self.model.likelihood(outputs).log_prob(y).sum(-1) * (self.model.num_data / len(y))


class Exact(Objective):
    """The library's negative ELBO: all depths, weighted by ``q``."""

    deterministic = True

    def __init__(self, model: vds.VDSModel, guide: vds.AutoCategorical) -> None:
        super().__init__(model, guide)
        self.elbo = vds.elbo(model, guide)

    def forward(self, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Return the negative ELBO."""
        return self.elbo(x, y)


class ClosedForm(Objective):
    """The same written out, ``KL(q || p) - sum_d q_d log p(data | d)``, without Pyro: what the sum itself costs."""

    deterministic = True

    def forward(self, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Return the negative ELBO."""
        q = self.guide.joint_log_probs().exp()
        return self.guide.kl(self.model) - (q * self.log_likelihood(self.model.outputs(x), y)).sum()


class Score(Objective):
    """Drawn depths with the score function: REINFORCE (Williams 1992), or with the mean of the others as baseline.

    The latter is RLOO (Kool et al. 2019, "Buy 4 REINFORCE Samples, Get a Baseline for Free!"). The library has it for
    axes with sites; a depth is always summed there.

    Args:
        model: The model.
        guide: Its guide.
        samples: Number of draws, at least 2 with a baseline.
        baseline: Whether there is one.
    """

    def __init__(
        self, model: vds.VDSModel, guide: vds.AutoCategorical, *, samples: int = 2, baseline: bool = True
    ) -> None:
        super().__init__(model, guide)
        self.samples, self.baseline = samples, baseline

    def forward(self, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Return a number whose gradient is an unbiased estimate of that of the negative ELBO."""
        drawn = self.guide.sample(self.samples)
        costs = torch.stack([-self.log_likelihood(self._truncated(x, depth), y) for depth in drawn[AXIS].tolist()])
        fixed = costs.detach()
        baseline = (fixed.sum() - fixed) / (self.samples - 1) if self.baseline else 0.0
        score = ((fixed - baseline) * self.guide.log_prob(drawn)).mean()
        return self.guide.kl(self.model) + costs.mean() + score

    def _truncated(self, x: Tensor, depth: int) -> Tensor:
        network = self.model.backbone
        activations = network.stem(x)
        for block in network.blocks[:depth]:
            activations = activations + block(activations)
        return network.head(network.pool(activations))


class Concrete(Objective):
    """Gates of a relaxed depth, ``g_i = sum_{d >= i} z_d`` with ``z`` a Concrete variable (Dikov et al. 2019).

    "Bayesian Learning of Neural Network Architectures" (arXiv 1901.04436); the KL is that of the categorical ``q``.

    Args:
        model: The model.
        guide: Its guide.
        temperature: Of the Concrete distribution; small is nearly hard and noisy.
        hard: Straight-through: gates are 0 or 1 in the forward pass and relaxed in the backward pass.
    """

    def __init__(
        self, model: vds.VDSModel, guide: vds.AutoCategorical, *, temperature: float, hard: bool = False
    ) -> None:
        super().__init__(model, guide)
        self.temperature, self.hard = temperature, hard
        self.reads_out = hard

    def forward(self, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Return the KL minus the log likelihood under one draw of gates."""
        return self.guide.kl(self.model) - self.log_likelihood(self.gated(x, self._gates()), y)

    def log_predictive(self, x: Tensor) -> Float[Tensor, "batch classes"]:
        """Return log probabilities: the mean over draws of soft gates, or the read-outs of hard ones."""
        if self.hard:
            return super().log_predictive(x)
        draws = [self.gated(x, self._gates()).log_softmax(-1) for _ in range(DRAWS)]
        return torch.stack(draws).logsumexp(0) - math.log(DRAWS)

    def _gates(self) -> Float[Tensor, " block"]:
        z = F.gumbel_softmax(self.guide.logits[AXIS], self.temperature, hard=self.hard)
        return z.flip(0).cumsum(0).flip(0)[1:]


class Averaged(Objective):
    """Features averaged with softmax weights, ``head(sum_d q_d a_d)``, as DARTS mixes operations (Liu et al. 2019)."""

    deterministic = True
    reads_out = False

    def forward(self, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Return minus the log likelihood; there is neither a draw nor a KL."""
        return -self.log_likelihood(self._outputs(x), y)

    def log_predictive(self, x: Tensor) -> Float[Tensor, "batch classes"]:
        """Return log probabilities of the averaged features."""
        return self._outputs(x).log_softmax(-1)

    def _outputs(self, x: Tensor) -> Tensor:
        network, q = self.model.backbone, self.guide.joint_log_probs().exp()
        activations = network.stem(x)
        features = q[0] * network.pool(activations)
        for weight, block in zip(q[1:], network.blocks, strict=True):
            activations = activations + block(activations)
            features = features + weight * network.pool(activations)
        return network.head(features)


class Shrinkage(Objective):
    """A scale for each block with a sparse prior, ``g_i ~ HalfCauchy`` (Nalisnick et al. 2019, arXiv 1810.04045).

    The guide of the scales is log-normal, with one draw a step.

    Args:
        model: The model, whose depth is not used.
        guide: Its guide, which stays as it is.
        prior_scale: Scale of the half-Cauchy prior.
    """

    learns_q = False
    reads_out = False

    def __init__(self, model: vds.VDSModel, guide: vds.AutoCategorical, *, prior_scale: float = 0.1) -> None:
        super().__init__(model, guide)
        blocks = len(model.backbone.blocks)
        self.location = nn.Parameter(model.device_tensor().new_zeros(blocks))
        self.raw_deviation = nn.Parameter(model.device_tensor().new_full((blocks,), -2.0))
        self.prior_scale = prior_scale

    def forward(self, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Return the negative ELBO over scales, with one draw."""
        q = torch.distributions.LogNormal(self.location, F.softplus(self.raw_deviation))
        scales = q.rsample()
        kl = (q.log_prob(scales) - torch.distributions.HalfCauchy(self.prior_scale).log_prob(scales)).sum()
        return kl - self.log_likelihood(self.gated(x, scales), y)

    def log_predictive(self, x: Tensor) -> Float[Tensor, "batch classes"]:
        """Return log probabilities at the median scales."""
        return self.gated(x, self.scales).log_softmax(-1)

    @property
    def scales(self) -> Float[Tensor, " block"]:
        """The medians of the scales."""
        return self.location.exp()


class PathDropout(Objective):
    """Blocks that are left out at random with a fixed rate (Bender et al. 2018, one-shot architecture search).

    "Understanding and Simplifying One-Shot Architecture Search", ICML. There is no ``q``; the whole network predicts.

    Args:
        model: The model.
        guide: Its guide, which stays as it is.
        rate: Probability that a block is left out; 0 is a plain network.
    """

    learns_q = False
    reads_out = False

    def __init__(self, model: vds.VDSModel, guide: vds.AutoCategorical, *, rate: float) -> None:
        super().__init__(model, guide)
        self.rate = rate
        self.deterministic = rate == 0

    def forward(self, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        """Return minus the log likelihood with some blocks left out."""
        kept = torch.full((len(self.model.backbone.blocks),), 1 - self.rate).bernoulli()
        return -self.log_likelihood(self.gated(x, kept.to(x)), y)

    def log_predictive(self, x: Tensor) -> Float[Tensor, "batch classes"]:
        """Return log probabilities of the whole network."""
        return self.model.outputs(x)[-1].log_softmax(-1)


@torch.no_grad()
def recompute_statistics(objective: Objective, x: Tensor) -> None:
    """Set batch-norm statistics to the means over the passes of a prediction, and leave the model in eval mode.

    Args:
        objective: The trained method.
        x: The training inputs, one batch.
    """
    norms = [module for module in objective.model.backbone.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean
    objective.model.train()
    objective.log_predictive(x)
    objective.model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


Make = Callable[[vds.VDSModel, vds.AutoCategorical], Objective]
METHODS: dict[str, Make] = {
    "exact": Exact,
    "exact, written out": ClosedForm,
    "REINFORCE, S = 2": partial(Score, baseline=False),
    "RLOO, S = 2": Score,
    "straight-through Concrete 0.5": partial(Concrete, temperature=0.5, hard=True),
    "Concrete 0.1": partial(Concrete, temperature=0.1),
    "Concrete 0.5": partial(Concrete, temperature=0.5),
    "Concrete 1": partial(Concrete, temperature=1.0),
    "averaged features": Averaged,
    "shrinkage": Shrinkage,
    "path dropout 0.1": partial(PathDropout, rate=0.1),
    "plain network": partial(PathDropout, rate=0.0),
}
