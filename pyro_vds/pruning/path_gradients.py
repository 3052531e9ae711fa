"""How much gradient reaches the stem along single paths."""

import math
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_vds.backbones.lesions import deletable, gradients_along, require_blocks
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.models.checks import check_data
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.inputs import moved, split
from pyro_vds.ops.modes import eval_mode
from pyro_vds.ops.subsets import subsets
from pyro_vds.ops.tensors import at_least_float32
from pyro_vds.spaces.typing import InputsLike, TargetsLike


def path_gradients(
    model: VDSModel, x: InputsLike, y: TargetsLike, *, draws: int = 10, seed: int = 0
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
    pair = model.as_pair((x, y), "data")
    check_data(model, *pair)
    device, generator = model.device_tensor().device, np.random.default_rng(seed)
    paths = [
        tuple(i in chosen for i in range(count))
        for length in range(count + 1)
        for chosen in subsets(range(count), length, draws, generator)
    ]
    norms = torch.zeros(count + 1, dtype=torch.float64)
    with eval_mode(model), torch.enable_grad():
        for inputs, targets in zip(*(split(part, BATCH_SIZE) for part in pair), strict=True):
            log_prob = partial(_log_prob, model, targets.to(device))
            start = network.stem(moved(inputs, device))
            for path, gradient in gradients_along(network, start, paths, log_prob):
                norms[sum(path)] += gradient.double().flatten(1).norm(dim=1).sum().cpu()
    return norms / torch.tensor([len(pair[1]) * min(draws, math.comb(count, length)) for length in range(count + 1)])


def _log_prob(model: VDSModel, y: Tensor, outputs: Tensor) -> Tensor:
    """Return the log likelihood of targets given outputs of one depth, nats."""
    return model.likelihood(at_least_float32(outputs)).log_prob(y).sum()
