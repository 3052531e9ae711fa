"""Averages of the weights over training."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from pyro_vds.ops.compat import copy_tensors
from pyro_vds.ops.tensors import at_least_float32
from pyro_vds.training.config import Averaging


class WeightAverage:
    """The average of a training state, as ``torch.optim.swa_utils.AveragedModel(use_buffers=True)`` keeps it.

    All floating-point tensors are averaged, including the running statistics of batch norm; counters are not. Until
    the first update the average is the state itself.

    Args:
        state: The tensors that training changes in place.
        kind: ``"ema"``, an exponential mean over updates, or ``"swa"``, a plain mean.
        decay: Weight of the old value of the exponential mean in an update.
    """

    def __init__(self, state: list[Tensor], kind: Averaging, decay: float) -> None:
        self.state = state
        self.kind = kind
        self.current = [t for t in state if t.is_floating_point()]
        # In 16 bit a small step of the mean would be rounded away.
        self.averages = [at_least_float32(t).clone() for t in self.current]
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
        """Add the current state to the average."""
        if self.count:
            current = [at_least_float32(t) for t in self.current]
            self._update(self.averages, current, self.count)
        else:
            copy_tensors(self.averages, self.current)
        self.count += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Replace the state by the average, and restore the state afterwards."""
        if not self.count:
            yield
            return
        backup = [t.clone() for t in self.current]
        copy_tensors(self.current, self.averages)
        try:
            yield
        finally:
            copy_tensors(self.current, backup)
