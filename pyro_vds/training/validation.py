"""Metrics of held-out data during training."""

import torch
from torch import Tensor

from pyro_vds.infer.drawn import drawn
from pyro_vds.infer.mixture import Mixture
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.infer.weigher import weigher
from pyro_vds.ops.compat import without_checks_of_arguments
from pyro_vds.ops.inputs import split
from pyro_vds.ops.modes import eval_mode
from pyro_vds.spaces.typing import Data
from pyro_vds.training.objective import Objective


def validate(objective: Objective, data: Data) -> dict[str, Tensor]:
    """Return the means of the likelihood's metrics over points and targets, from one pass.

    Args:
        objective: The objective, with model and guide.
        data: Held-out inputs and targets, ``(*batch_shape, N, ...)``, on the model's device.

    Returns:
        ``"log_prob"`` in nats per point, and the other metrics of
        :meth:`pyro_vds.likelihoods.Likelihood.metrics`, as scalars or ``(replicate,)``.
    """
    (x, y), model, guide = data, objective.elbo.model, objective.guide
    if objective.elbo.samples is not None:
        model, guide = drawn(model, guide, samples=objective.elbo.samples)
    weigh, dim = weigher(model, guide), len(model.batch_shape)
    sums: dict[str, Tensor] = {}
    # A NaN ends the run afterwards; Pyro's argument checks would raise first.
    with eval_mode(objective), eval_mode(model), torch.inference_mode(), without_checks_of_arguments():
        for inputs, targets in zip(*(split(t, BATCH_SIZE, dim) for t in (x, y)), strict=True):
            mixture = Mixture(model, model.outputs(inputs), weigh(inputs))
            for name, values in model.likelihood.metrics(mixture.distribution, targets).items():
                total = values.flatten(dim).mean(-1) * targets.shape[dim]  # the mean over targets, too
                sums[name] = sums.get(name, torch.zeros((), device=y.device)) + total
    return {name: total.double().cpu() / y.shape[dim] for name, total in sums.items()}
