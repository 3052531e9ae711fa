"""Time of learning depth behind a frozen trunk: through the trunk in each step, or on features stored once."""

import time
from collections.abc import Callable
from functools import partial

import torch
import torchvision
from torch import Tensor

import pyro_vds as vds
from benchmarks.measure import Comparison


def probe(device: torch.device, *, tiny: bool) -> Comparison:
    """Compare the seconds of a whole training run, the one pass that stores the features included.

    Raises:
        RuntimeError: If the two do not learn the same.
    """
    points, side, epochs = (8, 32, 2) if tiny else (256, 64, 100)
    torch.manual_seed(0)
    x, y = torch.randn(points, 3, side, side, device=device), torch.randint(10, (points,), device=device)
    network = torchvision.models.resnet18(num_classes=10).to(device)
    runs: dict[str, Callable[[vds.FromModules], list[float]]] = {
        "through the frozen trunk": partial(_through, x=x, y=y, epochs=epochs),
        "on stored features (probe)": partial(_stored, x=x, y=y, epochs=epochs),
    }
    values, elbos = {}, []
    for case, run in runs.items():
        torch.manual_seed(1)  # the adapters and the head
        net = vds.from_resnet(network, 10)
        for part in (net.stem, net.blocks, net.pool):
            vds.freeze(part)
        started = time.perf_counter()
        elbos.append(run(net))
        values[case] = time.perf_counter() - started
    if not torch.allclose(*map(torch.tensor, elbos), rtol=1e-3):
        raise RuntimeError(f"Expected the same ELBO in each epoch, got {elbos}.")
    return Comparison("probe", "s", f"ResNet-18, {points} images of {side} x {side}, {epochs} epochs", values)


def _through(net: vds.FromModules, *, x: Tensor, y: Tensor, epochs: int) -> list[float]:
    return _fit(vds.VDSModel(net, num_data=len(x)), x, y, epochs)


def _stored(net: vds.FromModules, *, x: Tensor, y: Tensor, epochs: int) -> list[float]:
    features, heads = vds.probe(net, x)
    return _fit(vds.VDSModel(heads, num_data=len(x)), features, y, epochs)


def _fit(model: vds.VDSModel, x: Tensor, y: Tensor, epochs: int) -> list[float]:
    guide = vds.AutoCategorical(model.to(x.device))
    history = vds.fit(model, guide, (x, y), max_epochs=epochs, batch_size=64, lr=0.01, progress=False)
    return [float(elbo) for elbo in history.elbo]
