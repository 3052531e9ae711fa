"""Every setting of training, once: ``fit``, run folders, the command line and the experiments read them here."""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Literal, TypedDict

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pyro_vds.ops.checks import check_optimiser, check_positive
from pyro_vds.training.precision import Precision

MakeOptimizer = Callable[[Iterable[Any]], Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler]
Averaging = Literal["ema", "swa"]


@dataclass(frozen=True)
class TrainingConfig:
    """How weights and guide are learnt. The defaults are the paper's for small data.

    Args:
        max_epochs: Passes over the data at most.
        batch_size: Points in a batch. A DataLoader brings its own.
        optimizer: A torch optimiser: its class, a functools.partial of it with its settings, or any function of
            parameter groups that returns one; SGD with lr 0.1 and momentum 0.5 unless given.
        scheduler: A torch schedule of the learning rate: its class with its settings as a functools.partial, or any
            function of the optimiser that returns one. It takes a step after each epoch; ReduceLROnPlateau sees the
            value that decides early stopping. Without it milestones and gamma hold.
        lr: Learning rate; the optimiser's own unless given.
        momentum: Momentum of SGD or RMSprop; the optimiser's own unless given.
        guide_lr: Learning rate of the guide; that of the network unless given. Ten times as much follows the exact
            posterior more closely.
        weight_decay: Weight decay of the network, the optimiser's own unless given; guide, noise scale and priors have
            none.
        milestones: Epochs, increasing, at which the learning rate is multiplied by gamma.
        gamma: Factor of the learning rate at each milestone.
        clip_norm: Largest norm of the gradient of loss / num_data, over network and guide; longer ones are scaled
            down to it. Each replicate has a norm of its own.
        averaging: Average the weights of network and guide: ema is an exponential mean over the steps, swa a plain mean
            over the ends of epochs. The average takes the place of the weights wherever a state is validated or
            kept, so the model ends with the average as it was at the best epoch.
        averaging_decay: What the exponential mean keeps of itself in each step.
        averaging_start: Epoch from which on weights are averaged; states from before are no candidates then.
        patience: Epochs without a better value before training stops; with as many as max_epochs, or None given to
            fit, it does not stop early.
        seed: Seeds the order of batches and any randomness of the network's own; in a run also data and weights.
        compile: Compile forward and backward pass into one graph: a wait of up to a minute the first time, faster then.
            A step that cannot be traced runs without compilation, after a warning that says why.
        precision: What the network computes in: float32, tf32 (CUDA) or bf16; likelihood and sums stay in the type of
            the weights.
        channels_last: Store images and convolutions with the channels last.

    Raises:
        ValueError: If a number is out of range, milestones do not increase from 1, or two settings exclude each other.
    """

    max_epochs: int = 8000
    batch_size: int = 512
    optimizer: MakeOptimizer | None = None
    scheduler: MakeScheduler | None = None
    lr: float | None = None
    momentum: float | None = None
    guide_lr: float | None = None
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
        names = ("max_epochs", "batch_size", "patience", "lr", "guide_lr", "gamma", "clip_norm")
        check_positive(**{name: getattr(self, name) for name in names if getattr(self, name) is not None})
        check_optimiser(self.momentum or 0.0, self.weight_decay or 0.0)
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"Expected a seed in 0..2**63 - 1, got {self.seed}.")
        if self.averaging not in (None, "ema", "swa"):
            raise ValueError(f"Expected averaging 'ema', 'swa' or None, got {self.averaging!r}.")
        if not 0 <= self.averaging_decay < 1 or self.averaging_start < 0:
            got = f"{self.averaging_decay} and {self.averaging_start}"
            raise ValueError(f"Expected an averaging_decay in [0, 1) and an averaging_start of at least 0, got {got}.")
        self._check_schedule()

    def _check_schedule(self) -> None:
        milestones = list(self.milestones or ())
        if any(type(m) is not int or m < 1 for m in milestones) or any(a >= b for a, b in pairwise(milestones)):
            raise ValueError(f"Expected milestones as increasing numbers of epochs, 1 or more each, got {milestones}.")
        if milestones and self.scheduler is not None:
            raise ValueError(f"Expected a scheduler or milestones, got both: milestones {milestones}. Leave one out.")
        for name, make in (("optimizer", self.optimizer), ("scheduler", self.scheduler)):
            if make is not None and not callable(make):
                raise TypeError(
                    f"Expected {name} as a class of torch.optim or a function that makes one, got {make!r}. Use for "
                    "example functools.partial(torch.optim.AdamW, lr=0.003)."
                )

    def changed(self, **settings: Any) -> "TrainingConfig":
        """Return the same settings with some of them changed.

        Args:
            settings: New values by name.

        Raises:
            TypeError: If a name is none of a setting.
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
    scheduler: MakeScheduler | None
    lr: float | None
    momentum: float | None
    guide_lr: float | None
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
