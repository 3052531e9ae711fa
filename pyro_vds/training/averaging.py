"""Averages of the weights over training."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from pyro_vds.ops.compat import copy_tensors
from pyro_vds.training.config import Averaging


class WeightAverage:
    """The average of a training state, as ``torch.optim.swa_utils.AveragedModel(use_buffers=True)`` keeps it.

    Everything with a fraction is averaged, the running statistics of batch norm too; counters are as they are. Until
    the first update the average is the state itself.

    Args:
        state: The tensors that training changes in place.
        kind: An exponential mean over updates, or a plain one.
        decay: What the exponential mean keeps of itself in an update.
    """

    def __init__(self, state: list[Tensor], kind: Averaging, decay: float) -> None:
        self.state = state
        self.kind = kind
        self.current = [t for t in state if t.is_floating_point()]
        self.averages = [t.clone() for t in self.current]
        self.count = 0
        self._update = get_ema_multi_avg_fn(decay) if kind == "ema" else get_swa_multi_avg_fn()

    @property
    def tensors(self) -> list[Tensor]:
        """The average, in the order of the state."""
        if not self.count:
            return self.state
        averages = iter(self.averages)
        return [next(averages) if t.is_floating_point() else t for t in self.state]

    def update(self) -> None:
        """Take the state as it is into the average."""
        if self.count:
            self._update(self.averages, self.current, self.count)
        else:
            copy_tensors(self.averages, self.current)
        self.count += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the average be the state for a while."""
        if not self.count:
            yield
            return
        backup = [t.clone() for t in self.current]
        copy_tensors(self.current, self.averages)
        try:
            yield
        finally:
            copy_tensors(self.current, backup)
