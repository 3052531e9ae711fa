"""The settings of a run: one flat object, filled in from Python, a YAML file or options."""

import inspect
import re
from dataclasses import dataclass, field, fields, make_dataclass, replace
from typing import TYPE_CHECKING, Literal

from pyro_vds.backbones.graphs import ConnectivityMerge
from pyro_vds.backbones.normalisation import HeadStatistics
from pyro_vds.backbones.per_depth import Readout
from pyro_vds.datasets import Noise, Pixels, UCIName
from pyro_vds.ops.checks import check_positive
from pyro_vds.priors.base import Prior
from pyro_vds.priors.families import Uniform
from pyro_vds.pruning.rules import Rule
from pyro_vds.runs.likelihoods import LIKELIHOODS, LikelihoodName
from pyro_vds.runs.networks import DEPTH_PRIOR, NetworkName, check_network, network_defaults, usual_prior
from pyro_vds.runs.presets import DECIDED, PresetName, defaults, described
from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.optim import check_makers
from pyro_vds.training.recipe import SGD_SETTINGS

GuideName = Literal["independent", "conditional", "joint", "per_input", "mixture", "generator"]


DataName = Literal[
    "spirals", "digits", "diabetes", "gap_1d", "mnist", "fashion_mnist", "svhn", "cifar10", "uci", "npz", "table"
]


if TYPE_CHECKING:
    _TrainingConfig = TrainingConfig
else:
    # The fields of TrainingConfig; None is the default of preset and data set.
    _TrainingConfig = make_dataclass(
        "_TrainingConfig",
        [(f.name, f.type | None, field(default=None)) for f in fields(TrainingConfig) if f.name in DECIDED],
        bases=(TrainingConfig,),
        frozen=True,
    )


@dataclass(frozen=True)
class Settings(_TrainingConfig):
    """The settings of data, network, model and training.

    Args:
        preset: Where the defaults of training come from: the recipe of :func:`pyro_vds.recipe`, or the paper. A
            setting that is given counts more.
        data: The data set. Spirals, digits, diabetes and gap_1d come with the package; npz and table
            are your own, see data_path.
        data_root: Folder of MNIST, Fashion-MNIST, SVHN or CIFAR-10 in torchvision's layout; missing files are
            downloaded to it. For uci the folder that holds uci/, which is not downloaded.
        data_path: The npz file with arrays x and y (and x_test, y_test) for the data set npz; the csv, tsv or parquet
            file for table.
        target: Table: name of the column to predict.
        uci_name: UCI: name of the set.
        split: UCI: number of the standard split, 0 to 19 (protein 0 to 4).
        num_points: Spirals: number of points.
        train_fraction: Spirals: share of the points to train on.
        rotation: Spirals: angle over which an arm turns, degrees.
        noise: Spirals: standard deviation of the noise.
        noise_kind: Spirals: gaussian, or uniform as in the paper's code.
        train_size: Number of training points to use. Default: all. Not for spirals.
        validation_fraction: Share of the training points that decides early stopping; with 0 the train ELBO
            decides. Default: 0.1 for images, digits, diabetes and uci, else 0.
        pixels: Images of MNIST, Fashion-MNIST, SVHN or CIFAR-10 on the device: float32, or uint8 in a quarter of the
            memory, which the network normalises.
        likelihood: What the targets are: classification; ordinal, classes in their order; gaussian, numbers with noise;
            poisson or negative_binomial, counts, which are not standardised (lr 0.01 and clip_norm 1 by default).
            Default: classification or gaussian, as the data set has integers or numbers.
        network: residual, of Linear layers for points and convolutions for images; or, for images, a network of
            torchvision: resnet18, resnet34, resnet50, vit_b_16, or vit, a small transformer of max_depth layers; or
            timm:NAME, a ResNet, ViT, Swin transformer or ConvNeXt of timm. Or a graph: connectivity, a network of some
            layers whose connections are learnt, each open or closed; for images, cell, a cell of NAS-Bench-201 with an
            operation to learn on each of six edges.
        pretrained: Start a network of torchvision or timm from its weights, which are downloaded once.
        frozen: Learn only the heads and the posterior, and freeze the rest of the network, which then runs only once
            over the training data.
        image_size: Height and width to resize images to, in a network of torchvision or timm.
        max_depth: Number of residual blocks D. Default: 20 for spirals, 50 for images, 8 for digits, 10 for
            npz and table, 5 for diabetes, gap_1d and uci, 6 for vit; other networks of torchvision, and those of
            timm, have their own.
        width: Units of each layer of the fully connected network (spirals, tables).
        channels: Channels of the convolutional network (images), or width of vit. Default: 64; 8 for graphs.
        bottleneck: Channels inside the blocks of the convolutional network.
        widths: Learn the width too: increasing numbers of units or channels; the last one replaces width or channels.
        layers: Graph connectivity: number of layers between stem and head. Default: 3, with 10 connections.
        merge: Graph connectivity: how a layer merges its inputs: squeeze, a 1x1 convolution of them; concat, a 3x3
            convolution of them; sum or max of them as they are. Default: squeeze.
        pool: Graph connectivity: the layers, from 1, that end with a 2x2 max pooling. Default: none.
        operations: Graph cell: the operations to choose from. Default: all of NAS-Bench-201.
        readout: all depths, or only the last one (a plain network, the paper's DDN).
        head_statistics: Running batch-norm statistics of the head for each depth, or one shared set.
        prior: Prior over depth: Geometric, Uniform, Poisson, NegativeBinomial, Weights, Cost, Dirichlet or
            Hierarchical. Or over the connections of a graph: Price, in nats for each that is open, or Exchangeable; or
            over operations. Default: Geometric(0.85); Price(20) for connectivity, Uniform for cell.
        width_prior: Prior over widths.
        learn_prior: Learn the parameters of the priors with the weights (empirical Bayes).
        guide: With widths: independent axes, conditional q(width | depth), or one joint table. Or per_input: a small
            network predicts a depth for each input. For graphs: independent edges; or, for edges that depend on each
            other, a mixture of products or a generator, whose products a network makes from noise.
        components: Guide mixture: number of products. Generator: of noise inputs. Default: 8 and 16.
        threshold: With guide per_input: probability that may lie above the depth where an input stops.
        recalibrate: Recompute batch-norm statistics on the training data after training.
        rule: The rule that chooses the architecture to prune to from the posterior. Default: 95; argmax, the most
            probable one, for graphs.
        device: Device to train on: auto, cpu, cuda, ...

    Raises:
        ValueError: If a number is out of range, or milestones do not increase from 1.
    """

    preset: PresetName = "recipe"
    data: DataName = "spirals"
    data_root: str = "data"
    data_path: str | None = None
    target: str | None = None
    uci_name: UCIName = "boston"
    split: int = 0
    num_points: int = 2000
    train_fraction: float = 0.1
    rotation: float = 720.0
    noise: float = 0.2
    noise_kind: Noise = "gaussian"
    train_size: int | None = None
    validation_fraction: float | None = None
    pixels: Pixels = "float32"
    likelihood: LikelihoodName | None = None
    network: NetworkName | str = "residual"
    pretrained: bool = False
    frozen: bool = False
    image_size: int | None = None
    max_depth: int | None = None
    width: int = 20
    channels: int | None = None
    bottleneck: int = 32
    widths: tuple[int, ...] | None = None
    layers: int | None = None
    merge: ConnectivityMerge | None = None
    pool: tuple[int, ...] | None = None
    operations: tuple[str, ...] | None = None
    readout: Readout = "all"
    head_statistics: HeadStatistics = "per_depth"
    prior: Prior = DEPTH_PRIOR
    width_prior: Prior = Uniform()  # noqa: RUF009 (immutable)
    learn_prior: bool = False
    guide: GuideName = "independent"
    components: int | None = None
    threshold: float = 0.05
    recalibrate: bool = False
    rule: Rule | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = ("channels", "image_size", "layers", "components")
        check_positive(**{name: getattr(self, name) for name in sizes if getattr(self, name) is not None})
        check_network(self)
        if self.widths and self.readout == "last":
            raise ValueError("Expected readout 'all' to learn the width with the depth, got 'last'.")
        if self.guide == "per_input" and (self.widths or self.readout == "last"):
            raise ValueError("Expected readout 'all' and no widths for the guide per_input, got others.")
        if self.guide == "per_input" and (self.guide_update == "closed_form" or self.weight_floor):
            raise ValueError("Expected guide_update gradient and weight_floor 0 for the guide per_input, got others.")
        if not 0 <= self.threshold < 1:
            raise ValueError(f"Expected a threshold in [0, 1), got {self.threshold}.")
        if self.widths and self.rule == "expected":
            raise ValueError("Expected the rule '95' or 'argmax' with widths, got 'expected'.")

    def resolved(self) -> "Settings":
        """Return the settings with the defaults of the data set and the network filled in.

        Raises:
            TypeError: If optimizer does not make an optimiser, or scheduler does not make a schedule.
            ValueError: If a setting of the optimiser or the schedule is out of range.
        """
        usual = defaults(self.preset, self.data)
        if self.likelihood is not None:
            usual |= LIKELIHOODS[self.likelihood].training
        if self.optimizer is not None:
            usual |= dict.fromkeys(("lr", *SGD_SETTINGS))
        if self.guide == "per_input":
            usual |= {"guide_update": "gradient", "block_rate": "paper", "weight_floor": 0.0}
        if self.scheduler is not None:
            usual["milestones"] = ()
        elif self.milestones:
            usual["scheduler"] = None
        usual |= network_defaults(self, usual)
        if usual["patience"] is None:
            usual["patience"] = self.max_epochs or usual["max_epochs"]
        missing = {name: value for name, value in usual.items() if getattr(self, name) is None}
        full = replace(self, **missing, prior=usual_prior(self))
        check_makers(full)
        return full


def _training_help() -> str:
    """Return the documentation of the settings of training, with the defaults of the data sets."""
    text = inspect.cleandoc(TrainingConfig.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
    lines = []
    for entry in re.split(r"\n(?=    \w+: )", text):
        name = entry.strip().partition(":")[0]
        lines.append(f"    {' '.join(entry.split())}{described(name)}")
    return "\n".join(lines)


# For help and editors, all settings of a run are in one docstring.
_TEXT = inspect.cleandoc(Settings.__doc__ or "")
Settings.__doc__ = _TEXT.replace("\n\nRaises:", f"\n{_training_help()}\n\nRaises:")
