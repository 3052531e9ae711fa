"""Metrics of held-out data during training."""

import torch
from torch import Tensor

from pyro_vds.infer.drawn import drawn
from pyro_vds.infer.mixture import Mixture
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.infer.uncertainty import mean_over_targets
from pyro_vds.infer.weigher import weigher
from pyro_vds.ops.compat import without_checks_of_arguments
from pyro_vds.ops.inputs import points, split
from pyro_vds.ops.modes import eval_mode
from pyro_vds.spaces.typing import Data, WeightedData
from pyro_vds.training.objective import Objective


def validate(objective: Objective, data: Data | WeightedData) -> dict[str, Tensor]:
    """Return the means of the likelihood's metrics over points and targets, from one pass.

    Args:
        objective: The objective, with model and guide.
        data: Held-out inputs and targets, and weights if they have any, ``(*batch_shape, N, ...)``, on the model's
            device. With weights the means are weighted.

    Returns:
        ``"log_prob"`` in nats per point, and the other metrics of
        :meth:`pyro_vds.likelihoods.Likelihood.metrics`, as scalars or ``(replicate,)``.
    """
    model, guide = objective.elbo.model, objective.guide
    if objective.elbo.samples is not None:
        model, guide = drawn(model, guide, samples=objective.elbo.samples)
    weigh, dim = weigher(model, guide), len(model.batch_shape)
    sums: dict[str, Tensor] = {}
    # A NaN ends the run afterwards; Pyro's argument checks would raise first.
    with eval_mode(objective), eval_mode(model), torch.inference_mode(), without_checks_of_arguments():
        for inputs, targets, *weight in zip(*(split(part, BATCH_SIZE, dim) for part in data), strict=True):
            mixture = Mixture(model, model.outputs(inputs), weigh(inputs))
            for name, values in model.likelihood.metrics(mixture.distribution, targets).items():
                by_point = mean_over_targets(values, dim + 1)
                total = (by_point * weight[0] if weight else by_point).sum(-1)
                sums[name] = sums.get(name, torch.zeros((), device=total.device)) + total
    count = data[2].double().sum(-1).cpu() if len(data) == 3 else points(data[0], dim)
    return {name: total.double().cpu() / count for name, total in sums.items()}
