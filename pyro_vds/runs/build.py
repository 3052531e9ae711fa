"""The model and the guide of a run, and their training."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import nn

from pyro_vds.backbones.graph import SearchGraph
from pyro_vds.backbones.graphs import cell, connectivity
from pyro_vds.backbones.named import TIMM, NetworkName, timm_network, torchvision_network
from pyro_vds.backbones.normalisation import Standardise
from pyro_vds.backbones.per_depth import PerDepth
from pyro_vds.backbones.replicated import Replicated
from pyro_vds.backbones.residual import ResidualConvNet, ResidualMLP
from pyro_vds.backbones.width import WithWidths
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.categorical import AutoCategorical, Guide
from pyro_vds.guides.dependent import AutoGenerator, AutoMixture
from pyro_vds.guides.joint import AutoConditionalCategorical, AutoJointCategorical
from pyro_vds.guides.per_input import AutoPerInput
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.freezing import freeze
from pyro_vds.ops.inputs import split
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.priors.base import Prior
from pyro_vds.runs.data import DataSummary
from pyro_vds.runs.frozen import frozen_features
from pyro_vds.runs.likelihoods import likelihood_kind
from pyro_vds.runs.networks import GRAPHS
from pyro_vds.runs.settings import Settings
from pyro_vds.spaces.axis import DATA
from pyro_vds.training.batch_norm import recalibrate_batch_norm
from pyro_vds.training.callbacks import Callback
from pyro_vds.training.fit import fit, weigh_architectures
from pyro_vds.training.history import History
from pyro_vds.training.preflight import moved

GUIDES = {
    "independent": AutoCategorical,
    "conditional": AutoConditionalCategorical,
    "joint": AutoJointCategorical,
}
DEPENDENT: dict[str, Callable[[VDSModel, int], Guide]] = {"mixture": AutoMixture, "generator": AutoGenerator}


HIDDEN = 32


# The axis whose prior is another setting than that of the others.
PRIOR_SETTINGS = {"width": "width_prior"}


def priors_of(settings: Settings, axes: Iterable[str]) -> dict[str, Prior]:
    """Return the prior over each axis from the settings.

    Args:
        settings: The settings of a run.
        axes: Names of the axes of the network.
    """
    resolved = settings.resolved()
    return {axis: getattr(resolved, PRIOR_SETTINGS.get(axis, "prior")) for axis in axes}


def build_backbone(settings: Settings, input_shape: tuple[int, ...], outputs: int) -> PerDepth:
    """Return the network for inputs of a shape, with weights drawn from the seed.

    Args:
        settings: The settings of a run.
        input_shape: Shape of one input: ``(features,)`` or ``(channels, height, width)``.
        outputs: Number of outputs.
    """
    settings = settings.resolved()
    with isolated_rng(seed=settings.seed):
        if settings.network != "residual":
            return _named_backbone(settings, input_shape, outputs)
        max_depth, channels = settings.max_depth, settings.channels
        assert max_depth is not None
        assert channels is not None
        options: dict[str, Any] = {"readout": settings.readout, "head_statistics": settings.head_statistics}
        widest = max(settings.widths) if settings.widths else None
        if len(input_shape) == 1:
            return ResidualMLP(input_shape[0], outputs, widest or settings.width, max_depth, **options)
        return ResidualConvNet(input_shape[0], outputs, max_depth, widest or channels, settings.bottleneck, **options)


def build_graph(settings: Settings, input_shape: tuple[int, ...], outputs: int) -> SearchGraph:
    """Return the graph for inputs of a shape, with weights drawn from the seed.

    Args:
        settings: The settings of a run.
        input_shape: Shape of one input: ``(features,)`` or ``(channels, height, width)``.
        outputs: Number of outputs.

    Raises:
        ValueError: If the graph does not take inputs of this shape, or training would have to sum over more
            architectures than a table should have.
    """
    settings = settings.resolved()
    images = len(input_shape) == 3
    if settings.network == "cell" and not images:
        raise ValueError(f"Expected images for the graph cell, got inputs of shape {input_shape}. Use connectivity.")
    names = ("layers", "merge", "pool", "operations")
    given: dict[str, Any] = {name: getattr(settings, name) for name in names if getattr(settings, name) is not None}
    units = settings.channels if images else settings.width
    assert units is not None
    with isolated_rng(seed=settings.seed):
        make = cell if settings.network == "cell" else connectivity
        graph = make(input_shape, outputs, channels=units, **given)
    if settings.samples is None:
        graph.space.require_table("to sum over in each step", "Draw some of them: --samples 4.")
    return graph


def _named_backbone(settings: Settings, input_shape: tuple[int, ...], outputs: int) -> PerDepth:
    """Return a network of torchvision or timm, frozen except for its heads if the settings ask for it."""
    usual: dict[str, Any] = {name: getattr(settings, name) for name in ("image_size", "pretrained", "readout")}
    if settings.network.startswith(TIMM):
        network = timm_network(settings.network.removeprefix(TIMM), input_shape, outputs, **usual)
    else:
        assert settings.max_depth is not None
        sizes = {"max_depth": settings.max_depth, "channels": settings.channels or 64}
        network = torchvision_network(cast(NetworkName, settings.network), input_shape, outputs, **sizes, **usual)
    for part in (network.stem, network.blocks, network.pool) if settings.frozen else ():
        freeze(part)
    return network


def build(settings: Settings, data: DataSummary, *, repeats: int | None = None) -> tuple[VDSModel, Guide]:
    """Return the untrained model and guide for settings and data.

    Args:
        settings: The settings of a run.
        data: The summary of its data.
        repeats: Number of replicates; replicate ``r`` has the weights drawn from the seed ``settings.seed + r``.
            ``None`` builds a single model.

    Raises:
        ValueError: If the settings do not fit each other or the data, or do not allow replicates.
    """
    kind = likelihood_kind(settings.likelihood, data.classes)
    outputs = kind.outputs or data.outputs
    likelihood = kind.make(data)
    likelihood.meet(outputs)
    make = build_graph if settings.network in GRAPHS else build_backbone
    backbone = make(settings, data.input_shape, outputs)
    if settings.pixels == "uint8":
        backbone.stem = nn.Sequential(Standardise(torch.tensor(data.mean), torch.tensor(data.std)), backbone.stem)
    network = WithWidths(cast(PerDepth, backbone), settings.widths) if settings.widths else backbone
    per_input = settings.guide == "per_input"
    if repeats is not None:
        if per_input:
            raise ValueError("Expected the guide independent, conditional or joint to train repeats, got per_input.")
        if settings.network in GRAPHS:
            raise ValueError(f"Expected a network of blocks to train repeats, got the graph {settings.network}.")
        network = Replicated(network, repeats, seed=settings.seed)
    model = VDSModel(
        network,
        priors=priors_of(settings, network.space),
        likelihood=likelihood,
        num_data=data.num_data,
        learn_prior=settings.learn_prior,
        plate=DATA if per_input else None,
    )
    return model, _guide_of_inputs(settings, data, model) if per_input else _guide(settings, model)


def _guide(settings: Settings, model: VDSModel) -> Guide:
    """Return the guide of a model with one architecture for all inputs; a random start is drawn from the seed."""
    if settings.guide not in DEPENDENT:
        return GUIDES[settings.guide](model)
    components = settings.resolved().components
    assert components is not None
    with isolated_rng(seed=settings.seed):
        return DEPENDENT[settings.guide](model, components)


def _guide_of_inputs(settings: Settings, data: DataSummary, model: VDSModel) -> AutoPerInput:
    """Return the guide that predicts an entry from each input, by a small network with one hidden layer."""
    prepare: list[nn.Module] = [nn.Flatten()]
    if settings.pixels == "uint8":
        prepare.insert(0, Standardise(torch.tensor(data.mean), torch.tensor(data.std)))
    with isolated_rng(seed=settings.seed):
        layers = [nn.Linear(math.prod(data.input_shape), HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, model.sizes[0])]
    return AutoPerInput(model, nn.Sequential(*prepare, *layers))


def train(
    settings: Settings,
    model: VDSModel,
    guide: Guide,
    data: DataSet,
    *,
    device: torch.device | None = None,
    progress: bool = True,
    on_epoch: Callback | Sequence[Callback] | None = None,
) -> History:
    """Train a model with resolved settings; weights of the architectures are those of the network as it is at the end.

    Args:
        settings: Settings with the data set's defaults filled in.
        model: The model from :func:`build`.
        guide: The guide of the model.
        data: The data.
        device: The device to train on; ``None`` is the model's device.
        progress: Whether to show a progress bar.
        on_epoch: Functions that are called with the record after each epoch, as by :func:`pyro_vds.fit`.
    """
    how: dict[str, Any] = {"device": device, "progress": progress, "on_epoch": on_epoch, "config": settings}
    stored = frozen_features(settings, model, data, device)
    if stored is None:
        history = fit(model, guide, data.train, validation=data.validation, **how)
    else:
        heads, train_features, held_out = stored
        history = fit(heads, guide, train_features, validation=held_out, **how)
    if settings.recalibrate:
        recalibrate_batch_norm(model, data.train, batch_size=settings.batch_size, seed=settings.seed)
        _weigh_again(settings, model, guide, data)
    return history


def _weigh_again(settings: Settings, model: VDSModel, guide: Guide, data: DataSet) -> None:
    """Set the guide in closed form, and keep stacked weights, as ``fit`` does, after a change of the network."""
    device = model.device_tensor().device
    parts = (split(part, settings.batch_size or len(data.train[1])) for part in moved(data.train, device))
    held_out = None if data.validation is None else moved(data.validation, device)
    guide.forget_weights()
    weigh_architectures(model, guide, zip(*parts, strict=True), held_out, settings)
