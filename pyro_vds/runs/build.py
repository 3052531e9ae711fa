"""The model and the guide of some settings, and their training."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from pyro_vds.backbones.normalisation import Standardise
from pyro_vds.backbones.width import WithWidths
from pyro_vds.datasets.dataset import DataSet
from pyro_vds.guides.categorical import AutoCategorical, AutoConditionalCategorical, AutoJointCategorical, Guide
from pyro_vds.guides.per_input import AutoPerInput
from pyro_vds.likelihoods.classification import Classification
from pyro_vds.likelihoods.gaussian import Gaussian
from pyro_vds.models.vds_model import VDSModel
from pyro_vds.ops.rng import isolated_rng
from pyro_vds.runs.settings import Settings
from pyro_vds.spaces.axis import DATA
from pyro_vds.training.batch_norm import recalibrate_batch_norm
from pyro_vds.training.fit import fit
from pyro_vds.training.history import History

GUIDES = {
    "independent": AutoCategorical,
    "conditional": AutoConditionalCategorical,
    "joint": AutoJointCategorical,
}


HIDDEN = 32


@dataclass(frozen=True)
class DataSummary:
    """What a run needs to know of its data to build its network again.

    Attributes:
        input_shape: Shape of one input.
        outputs: Number of outputs of the network.
        classes: Number of classes; ``None`` for regression.
        num_data: Number of training points.
        mean: What was subtracted from each channel or feature.
        std: What it was divided by then.
        target_mean: What was subtracted from each column of regression targets; ``None`` for classes.
        target_std: What it was divided by then. A prediction ``m`` of the network is
            ``target_mean + target_std * m`` in the units of the data.
    """

    input_shape: tuple[int, ...]
    outputs: int
    classes: int | None
    num_data: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    target_mean: tuple[float, ...] | None
    target_std: tuple[float, ...] | None

    def moments(self) -> list[tuple[float, ...]]:
        """Return the means and standard deviations."""
        return [self.mean, self.std, self.target_mean or (), self.target_std or ()]

    @classmethod
    def of(cls, data: DataSet) -> "DataSummary":
        """Summarise a data set."""
        x, y = data.train
        outputs = data.classes or (1 if y.ndim == 1 else y.shape[1])
        return cls(
            input_shape=tuple(x.shape[1:]),
            outputs=outputs,
            classes=data.classes,
            num_data=len(x),
            mean=tuple(data.mean.tolist()),
            std=tuple(data.std.tolist()),
            target_mean=None if data.target_mean is None else tuple(data.target_mean.tolist()),
            target_std=None if data.target_std is None else tuple(data.target_std.tolist()),
        )


def build(settings: Settings, data: DataSummary) -> tuple[VDSModel, Guide]:
    """Return the untrained model and guide of some settings and data."""
    likelihood = Classification() if data.classes else Gaussian(learn_scale=True)
    backbone = settings.build_backbone(data.input_shape, data.outputs)
    if settings.pixels == "uint8":
        backbone.stem = nn.Sequential(Standardise(torch.tensor(data.mean), torch.tensor(data.std)), backbone.stem)
    network = WithWidths(backbone, settings.widths) if settings.widths else backbone
    priors = {"depth": settings.prior, "width": settings.width_prior}
    model = VDSModel(
        network,
        priors={axis: priors[axis] for axis in network.space},
        likelihood=likelihood,
        num_data=data.num_data,
        learn_prior=settings.learn_prior,
        plate=DATA if settings.guide == "per_input" else None,
    )
    if settings.guide == "per_input":
        return model, _guide_of_inputs(settings, data, model)
    return model, GUIDES[settings.guide](model)


def _guide_of_inputs(settings: Settings, data: DataSummary, model: VDSModel) -> AutoPerInput:
    """Return the guide that predicts a depth from each input: one hidden layer, small beside the network."""
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
) -> History:
    """Train a model as some resolved settings say.

    Args:
        settings: Settings with the data set's defaults filled in.
        model: The model that :func:`build` returned.
        guide: Its guide.
        data: The data.
        device: Where to train; the model's device unless given.
        progress: Whether to show a progress bar.
    """
    history = fit(
        model, guide, data.train, validation=data.validation, device=device, progress=progress, config=settings
    )
    if settings.recalibrate:
        recalibrate_batch_norm(model, data.train, batch_size=settings.batch_size, seed=settings.seed)
    return history
