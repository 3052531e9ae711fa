"""The settings of training, for ``fit``, run folders, the command line and the experiments."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, TypedDict, get_args

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pyro_vds.ops.checks import check_optimiser, check_positive
from pyro_vds.training.precision import Precision

MakeOptimizer = Callable[[Iterable[Any]], Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler]
ScheduleName = Literal["cosine"]
Averaging = Literal["ema", "swa"]
GuideUpdate = Literal["closed_form", "gradient"]
AnnealStart = Literal["deep", "uniform"]
BlockRate = Literal["full", "paper"]

ANNEALED_SHARE = 0.3


@dataclass(frozen=True)
class TrainingConfig:
    """The settings of training. The defaults are the paper's for small data.

    Args:
        max_epochs: Largest number of passes over the data.
        batch_size: Points in a batch. A DataLoader has its own.
        optimizer: A torch optimiser: its class, a functools.partial of it with its settings, or any function from
            parameter groups to an optimiser. The default is SGD with lr 0.1 and momentum 0.5.
        scheduler: The learning rate over epochs: cosine lets it fall to 0 at max_epochs, along half a cosine; or a
            torch schedule, a functools.partial of its class with its settings, or any function from an optimiser to a
            schedule. It takes a step after each epoch; ReduceLROnPlateau gets the value that decides early stopping.
            The default follows milestones and gamma.
        lr: Learning rate; None is the optimiser's own.
        momentum: Momentum of SGD or RMSprop. The default is the optimiser's own.
        guide_lr: Learning rate of the guide. The default is that of the network; ten times as much follows the exact
            posterior more closely.
        guide_update: How the guide learns: gradient steps on its logits as in the paper, or in closed_form, which sets
            it after each batch to the optimum for a running mean of the log likelihoods, annealed at first; at the end
            it is the exact posterior of the kept weights. guide_lr is then without effect.
        anneal_epochs: Closed form: epochs in which the number of points that the posterior counts grows from 1 to all.
            Patience and the best state count from then on. The default is 30 % of max_epochs.
        anneal_start: Closed form: start the annealing from deep architectures, weights (i + 1)**4 along nested axes,
            or from uniform weights.
        tempered_num_data: Closed form: largest number of points that the posterior counts (a tempered posterior).
            The default is all.
        block_rate: The gradient of a block that only some read-outs use: paper is that of the ELBO, which is small
            where q gives these read-outs little weight; full divides it by their weight (at least 0.02), so that the
            block learns at the rate of a plain network. Both have the same stationary points.
        weight_floor: Share of the weight in training that all architectures get alike: weights learn from
            (1 - floor) q + floor / K in place of q. With 1 it is deep supervision. The guide follows the ELBO.
        samples: Architectures to draw in each step for axes with sites, such as the gates of edges: the ELBO is then an
            unbiased estimate. The default sums over all architectures exactly.
        guide_from: First epoch in which the guide moves; before, the weights learn under the guide's start. A price for
            open edges closes all of them if the guide moves before the weights have learnt anything.
        weight_decay: Weight decay of the network (not of guide, noise scale and priors). The default is the
            optimiser's own.
        milestones: Increasing epochs at which the learning rate is multiplied by gamma.
        gamma: Factor of the learning rate at each milestone.
        clip_norm: Largest norm of the gradient of loss / num_data over network and guide; larger gradients are scaled
            down to it. Each replicate has its own norm.
        averaging: Average the weights of network and guide: ema is an exponential mean over the steps, swa a plain mean
            over the ends of epochs. The average is validated and kept in place of the weights, so that the model ends
            with the average of the best epoch.
        averaging_decay: Weight of the old value of the exponential mean in each step.
        averaging_start: First epoch with averaging; earlier states are then not kept.
        patience: Epochs without a better value before training stops. It does not stop early with max_epochs or more
            (or with None in fit).
        seed: Seed of the order of batches and of randomness in the network; in a run also of data and weights.
        compile: Compile forward and backward pass into one graph: the first step takes up to a minute, the others are
            faster. A step that cannot be traced runs without compilation, with a warning that says why.
        precision: Precision of the network: float32, tf32 (CUDA) or bf16; likelihood and sums have the dtype of the
            weights.
        channels_last: Store images and convolutions with the channels last.

    Raises:
        ValueError: If a number is out of range, milestones do not increase from 1, or two settings exclude each other.
    """

    max_epochs: int = 8000
    batch_size: int = 512
    optimizer: MakeOptimizer | None = None
    scheduler: MakeScheduler | ScheduleName | None = None
    lr: float | None = None
    momentum: float | None = None
    guide_lr: float | None = None
    guide_update: GuideUpdate = "gradient"
    anneal_epochs: int | None = None
    anneal_start: AnnealStart = "deep"
    tempered_num_data: float | None = None
    block_rate: BlockRate = "paper"
    weight_floor: float = 0.0
    samples: int | None = None
    guide_from: int = 0
    weight_decay: float | None = None
    milestones: Sequence[int] = ()
    gamma: float = 0.1
    clip_norm: float | None = None
    averaging: Averaging | None = None
    averaging_decay: float = 0.999
    averaging_start: int = 0
    patience: int | None = 500
    seed: int = 0
    compile: bool = False
    precision: Precision = "float32"
    channels_last: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.milestones, list):
            object.__setattr__(self, "milestones", tuple(self.milestones))
        names = (
            "max_epochs", "batch_size", "patience", "lr", "guide_lr", "gamma", "clip_norm", "tempered_num_data"
        )  # fmt: skip
        check_positive(**{name: getattr(self, name) for name in names if getattr(self, name) is not None})
        check_optimiser(self.momentum or 0.0, self.weight_decay or 0.0)
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"Expected a seed in 0..2**63 - 1, got {self.seed}.")
        if self.averaging not in (None, "ema", "swa"):
            raise ValueError(f"Expected averaging 'ema', 'swa' or None, got {self.averaging!r}.")
        if not 0 <= self.averaging_decay < 1 or self.averaging_start < 0:
            got = f"{self.averaging_decay} and {self.averaging_start}"
            raise ValueError(f"Expected averaging_decay in [0, 1) and averaging_start of at least 0, got {got}.")
        self._check_guide()
        self._check_samples()
        self._check_schedule()

    @property
    def annealed_epochs(self) -> int:
        """The number of epochs in which a closed-form posterior is annealed; 0 with gradient steps."""
        if self.guide_update == "gradient":
            return 0
        return round(ANNEALED_SHARE * self.max_epochs) if self.anneal_epochs is None else self.anneal_epochs

    @property
    def averaged_from(self) -> int:
        """The first epoch whose weights are averaged: not before the guide moves."""
        return max(self.averaging_start, self.guide_from)

    def _check_guide(self) -> None:
        for name, kind in (("guide_update", GuideUpdate), ("anneal_start", AnnealStart), ("block_rate", BlockRate)):
            if getattr(self, name) not in (*get_args(kind), None):  # a run's settings fill it in later
                raise ValueError(f"Expected {name} as one of {get_args(kind)}, got {getattr(self, name)!r}.")
        if self.weight_floor is not None and not 0 <= self.weight_floor <= 1:
            raise ValueError(f"Expected a weight_floor in [0, 1], got {self.weight_floor}.")
        last = None if self.max_epochs is None else self.max_epochs - 1  # a run's settings fill it in later
        if self.anneal_epochs is not None and (
            self.anneal_epochs < 0 or (last is not None and self.anneal_epochs > last)
        ):
            raise ValueError(f"Expected anneal_epochs in 0..{last}, fewer than max_epochs, got {self.anneal_epochs}.")

    def _check_samples(self) -> None:
        for name in ("samples", "guide_from"):
            if type(value := getattr(self, name)) is not int and value is not None:
                raise TypeError(f"Expected {name} as an int, got {value!r}.")
        if self.samples is not None and (self.samples < 2 or self.guide_update == "closed_form" or self.weight_floor):
            raise ValueError(
                f"Expected at least 2 samples, guide_update='gradient' and weight_floor=0, which need no table of all "
                f"architectures; got {self.samples}, {self.guide_update!r} and {self.weight_floor}."
            )
        last = None if self.max_epochs is None else self.max_epochs - 1
        if self.guide_from and (self.guide_from < 0 or (last is not None and self.guide_from > last)):
            raise ValueError(f"Expected guide_from in 0..{last}, fewer than max_epochs, got {self.guide_from}.")
        if self.guide_from and (self.compile or self.guide_update == "closed_form"):
            raise ValueError(
                f"Expected compile=False and guide_update='gradient' with guide_from={self.guide_from}; in closed form "
                "anneal_epochs does the same."
            )

    def _check_schedule(self) -> None:
        milestones = list(self.milestones or ())
        if any(type(m) is not int or m < 1 for m in milestones) or any(a >= b for a, b in pairwise(milestones)):
            raise ValueError(f"Expected milestones as increasing epochs of at least 1, got {milestones}.")
        if milestones and self.scheduler is not None:
            raise ValueError(f"Expected a scheduler or milestones, got both: milestones {milestones}. Leave one out.")
        makers = {"optimizer": self.optimizer, "scheduler": None if self.scheduler == "cosine" else self.scheduler}
        for name, make in makers.items():
            if make is not None and not callable(make):
                raise TypeError(
                    f"Expected {name} as a class of torch.optim or a function that returns an instance, got {make!r}. "
                    "Use for example functools.partial(torch.optim.AdamW, lr=0.003)."
                )

    def changed(self, **settings: Any) -> "TrainingConfig":
        """Return a copy with some settings changed.

        Args:
            settings: New values by name.

        Raises:
            TypeError: If there is no setting of a name.
        """
        known = [field.name for field in fields(TrainingConfig)]
        for name in settings:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=3) or known
                raise TypeError(f"Expected a setting of training, got {name!r}. Did you mean {' or '.join(near)}?")
        return replace(self, **settings)


class TrainingSettings(TypedDict, total=False):
    """The fields of :class:`TrainingConfig` as keywords of :func:`pyro_vds.fit`, for type checkers and editors."""

    max_epochs: int
    batch_size: int
    optimizer: MakeOptimizer | None
    scheduler: MakeScheduler | ScheduleName | None
    lr: float | None
    momentum: float | None
    guide_lr: float | None
    guide_update: GuideUpdate
    anneal_epochs: int | None
    anneal_start: AnnealStart
    tempered_num_data: float | None
    block_rate: BlockRate
    weight_floor: float
    samples: int | None
    guide_from: int
    weight_decay: float | None
    milestones: Sequence[int]
    gamma: float
    clip_norm: float | None
    averaging: Averaging | None
    averaging_decay: float
    averaging_start: int
    patience: int | None
    seed: int
    compile: bool
    precision: Precision
    channels_last: bool
