"""How much gradient reaches the stem along single paths."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.backbones.lesions import deletable, path_outputs, require_blocks
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.models.checks import check_data
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.subsets import subsets
from pyro_vds.spaces.typing import Inputs, Targets


def path_gradients(
    model: VDSModel, x: Inputs, y: Targets, *, draws: int = 10, seed: int = 0
) -> Float[Tensor, " length"]:
    """Return the mean norm of the gradient that reaches the stem's output through one path of each length.

    ``g_k = mean_n mean_p || d log p(y_n | x_n, D) / d a_0n ||``, where the gradient goes along one path ``p``: through
    the branches of ``k`` of the ``D`` blocks and the skips of the others. ``p(y | x, D)`` is the prediction of the last
    depth in eval mode (Veit et al. 2016, section 5). There are ``C(D, k)`` paths of length ``k``, so that all of them
    carry ``C(D, k) g_k``.

    It takes the model, not the network alone, because the gradient is one of a loss: the model has the likelihood with
    its learnt parameters, and knows which data fit.

    Args:
        model: A trained model of a :class:`pyro_vds.PerDepth`, whose blocks keep the shape of the activations.
        x: Inputs ``(N, ...)``; Veit et al. take training data.
        y: Targets ``(N, ...)``.
        draws: Number of different paths of each length. Lengths with no more paths than that are exact: their mean is
            over all paths.
        seed: Seed of the paths.

    Returns:
        For each length ``0..D`` the mean norm, nats per unit of activation, on the CPU.

    Raises:
        TypeError: If the network is no ``PerDepth``, or the data have the wrong type.
        ValueError: If the network has no block, a block changes the shape of the activations, the data do not fit the
            model, or ``draws`` is not positive.
    """
    network = require_blocks(model.backbone)
    count = network.max_depth
    if changing := sorted(set(range(count)) - set(deletable(network))):
        raise ValueError(
            f"Expected blocks that keep the shape of the activations, so that paths lead around them; block "
            f"{changing[0]}, counted from 0, changes it."
        )
    if draws < 1:
        raise ValueError(f"Expected a positive number of draws, got {draws}.")
    check_data(model, x, y)
    device, generator = model.device_tensor().device, np.random.default_rng(seed)
    paths = [subsets(range(count), length, draws, generator) for length in range(count + 1)]
    norms = torch.zeros(count + 1, dtype=torch.float64)
    with eval_mode(model), torch.enable_grad():
        for inputs, targets in zip(x.split(BATCH_SIZE), y.split(BATCH_SIZE), strict=True):
            inputs, targets = inputs.to(device), targets.to(device)
            with torch.no_grad():
                start = network.stem(inputs)
            for length, chosen in enumerate(paths):
                found = [_norms(model, start, targets, path).sum() for path in chosen]
                norms[length] += torch.stack(found).mean().cpu()
    return norms / len(x)


def _norms(model: VDSModel, start: Tensor, y: Tensor, path: tuple[int, ...]) -> Float[Tensor, " batch"]:
    """Return the norm of each point's gradient along one path, double precision."""
    network = model.backbone
    activations = start.detach().requires_grad_()
    outputs = path_outputs(network, activations, [i in path for i in range(network.max_depth)])
    log_prob = model.likelihood(outputs).log_prob(y).sum()
    (gradient,) = torch.autograd.grad(log_prob, activations, materialize_grads=True)
    return gradient.double().flatten(1).norm(dim=1)
