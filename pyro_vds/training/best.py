"""The best state of a training run."""

import math

import torch
from torch import Tensor

from pyro_vds.ops.compat import copy_tensors


class BestState:
    """A copy of the training state at the best value so far, of each replicate.

    Args:
        state: The tensors that training changes in place; with replicates each has one row for each of them.
        rows: Number of replicates; 1 without.
    """

    def __init__(self, state: list[Tensor], rows: int) -> None:
        self.state = state
        self.best = [t.clone() for t in state]
        self.candidate = [t.clone() for t in state]
        self.values = torch.full((rows,), -math.inf, dtype=torch.float64)
        self.epochs = torch.full((rows,), -1)

    def remember(self, tensors: list[Tensor] | None = None) -> None:
        """Copy the current state, whose value is not known yet.

        Args:
            tensors: What stands for the state, such as its average; the state itself unless given.
        """
        copy_tensors(self.candidate, self.state if tensors is None else tensors)

    def consider(self, epoch: int, values: Tensor, active: Tensor) -> None:
        """Keep the state remembered last, of the active replicates whose value is the largest so far."""
        better = active & (values > self.values)
        if not better.any():
            return
        best, spare = self.candidate, self.best
        if not better.all():
            mask = better.to(self.state[0].device)
            best = [
                torch.where(mask.view(-1, *[1] * (one.ndim - 1)), one, other)
                for one, other in zip(self.candidate, self.best, strict=True)
            ]
        epochs = self.epochs.masked_fill(better, epoch)
        # One statement: an interrupt cannot leave a mixture of two states.
        self.best, self.candidate, self.values, self.epochs = best, spare, values.where(better, self.values), epochs

    def forget_values(self) -> None:
        """Let any later state be better than those until now."""
        self.values = torch.full_like(self.values, -math.inf)

    def restore(self) -> None:
        """Write the best state back."""
        copy_tensors(self.state, self.best)
