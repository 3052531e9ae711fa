"""How a model in training is judged by held-out data."""

import pyro
import torch
from torch import Tensor

from pyro_vds.infer.mixture import BATCH_SIZE, marginal_of, weigher
from pyro_vds.likelihoods.classification import Classification
from pyro_vds.ops.modes import eval_mode
from pyro_vds.spaces.typing import Data
from pyro_vds.training.objective import Objective


def validate(objective: Objective, data: Data) -> dict[str, Tensor]:
    """Return the mean log predictive density, and for classes the error, in one pass.

    Args:
        objective: Holds model and guide.
        data: Held-out inputs and targets, ``(*replicate, N, ...)``, on the model's device.

    Returns:
        ``"log_prob"`` in nats per point, and for classes ``"error"``, the fraction misclassified: a number for each
        replicate, or scalars.
    """
    (x, y), model, point_dim = data, objective.elbo.model, 0 if objective.elbo.model.replicates is None else 1
    weigh, likelihood = weigher(model, objective.guide), model.likelihood
    total = model.device_tensor().new_zeros(x.shape[:point_dim], device=x.device)
    wrong = torch.zeros_like(total)
    size = x.shape[point_dim]
    # A NaN ends the run afterwards; Pyro's argument checks would raise first.
    with eval_mode(objective), torch.inference_mode(), pyro.validation_enabled(False):
        for inputs, targets in zip(*(t.split(BATCH_SIZE, point_dim) for t in (x, y)), strict=True):
            outputs, log_weights = model.outputs(inputs), weigh(inputs)
            by_point = log_weights if model.per_input else log_weights[..., None]
            total += (likelihood(outputs).log_prob(targets) + by_point).logsumexp(0).sum(-1)
            if isinstance(likelihood, Classification):
                mixed = marginal_of(model, likelihood.marginal)(outputs, log_weights)
                wrong += (mixed.argmax(-1) != targets).sum(-1)
    metrics = {"log_prob": total, "error": wrong} if isinstance(likelihood, Classification) else {"log_prob": total}
    return {name: value.double().cpu() / size for name, value in metrics.items()}
