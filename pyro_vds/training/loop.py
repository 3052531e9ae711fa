"""The training loop: steps, records, the best state, and the ways in which a run ends."""

import logging
import math
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyro
import torch
from torch import Tensor
from torch.optim import SGD
from tqdm.auto import tqdm

from pyro_vds.infer.mixture import Mixture, weigher
from pyro_vds.infer.passes import BATCH_SIZE
from pyro_vds.ops.modes import eval_mode, train_mode
from pyro_vds.spaces.typing import Data
from pyro_vds.training.batches import Batches
from pyro_vds.training.history import History, Stopped
from pyro_vds.training.steps import CompiledStep, EagerStep, Objective, StepResult

logger = logging.getLogger(__name__)


class NonFiniteLossError(ArithmeticError):
    """The ELBO became NaN or infinite; the model and guide hold the best state before that.

    Attributes:
        history: The record up to the last finite epoch.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


@dataclass(frozen=True)
class _Epoch:
    """The record of one epoch; a value for each replicate, or scalars."""

    elbo: Tensor
    kl: Tensor
    probs: dict[str, Tensor]
    metrics: dict[str, Tensor]


class TrainingLoop:
    """One training run.

    Args:
        objective: What is optimised.
        batches: The training data.
        optimizer: Holds the parameters.
        milestones: Epochs at which the learning rate is multiplied by ``gamma``.
        gamma: Factor of the learning rate at each milestone.
        compile: Whether the step is compiled.
        validation: Held-out data that decide early stopping instead of the train ELBO.
        patience: Epochs without a better value before training stops.
        on_epoch: Called with the number of each epoch after it.
    """

    def __init__(
        self,
        objective: Objective,
        batches: Batches,
        optimizer: SGD,
        *,
        milestones: Sequence[int],
        gamma: float,
        compile: bool,
        validation: Data | None,
        patience: int,
        on_epoch: Callable[[int], None] | None,
    ) -> None:
        self.objective = objective
        self.model = objective.elbo.model
        self.guide = objective.guide
        self.batches = batches
        self.optimizer = optimizer
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.milestones = milestones
        self.gamma = gamma
        self.step = _first_step(objective, optimizer, compile=compile)
        self.validation = validation
        self.patience = patience
        self.on_epoch = on_epoch
        replicates = self.model.batch_shape.numel()
        self.best = _BestState(self.step.state, replicates)
        self.steps = 0
        self.stopped: list[Stopped] = ["max_epochs"] * replicates
        self.active = torch.ones(replicates, dtype=torch.bool)
        self.point_dim = len(self.model.batch_shape)
        self.epochs: list[_Epoch] = []

    def run(self, max_epochs: int, *, progress: bool) -> History:
        """Train until an end is reached, restore the best state, and return the record."""
        bar = tqdm(range(max_epochs), desc="fit", unit="epoch", disable=not progress, mininterval=0.5)
        try:
            with train_mode(self.objective):
                for epoch in bar:
                    self.epochs.append(self._epoch(epoch))
                    if self.on_epoch is not None:
                        self.on_epoch(epoch)
                    if progress:
                        bar.set_postfix(self._progress(), refresh=False)
                    self._stop(epoch - self.best.epochs >= self.patience, "patience")
                    if not self.active.any():
                        break
        except KeyboardInterrupt:
            self._stop(self.active, "interrupted")
            logger.warning("Interrupted after %d epochs: the best state so far is kept.", len(self.epochs))
        finally:
            bar.close()
            self.best.restore()
            self.step.release()
        return self.history()

    def _epoch(self, epoch: int) -> _Epoch:
        factor = self.gamma ** sum(epoch >= milestone for milestone in self.milestones)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        results, sizes = [], []
        for (x, y), last in _mark_last(self.batches):
            if last and self.validation is None:
                # The state that the epoch's last loss belongs to.
                self.best.remember()
            results.append(self._step(x, y))
            sizes.append(x.shape[self.point_dim])
        if not results:
            raise ValueError("Expected a DataLoader with at least one batch in each epoch, got none.")
        record = self._record(results, sizes)
        value = record.elbo
        if self.validation is not None:
            self.best.remember()
            record.metrics.update(self._validate(*self.validation))
            value = record.metrics["log_prob"]
            self._check_finite("log predictive density of the validation data", value, self.steps + len(results) - 1)
        self.steps += len(results)
        self.best.consider(epoch, value.reshape(-1), self.active)
        return record

    def _stop(self, which: Tensor, how: Stopped) -> None:
        """Note how those of some replicates that are still active end; they keep their best state."""
        for replicate in (which & self.active).nonzero().flatten().tolist():
            self.stopped[replicate] = how
        self.active = self.active & ~which

    def _step(self, x: Tensor, y: Tensor) -> StepResult:
        """Run a step; go on without compilation where it fails, which shows in the first step."""
        try:
            return self.step(x, y)
        except Exception as error:
            if not isinstance(self.step, CompiledStep) or self.step.compiled is not None:
                raise
            reason = _described(error)
        warnings.warn(
            f"Expected a training step that can be compiled, but it cannot ({reason}); training goes on without "
            "compilation.",
            RuntimeWarning,
            stacklevel=2,
        )
        self.step.release()
        self.step = EagerStep(self.objective, self.optimizer)
        self.best = _BestState(self.step.state, len(self.active))
        self.best.remember()
        return self.step(x, y)

    def _record(self, results: list[StepResult], sizes: list[int]) -> _Epoch:
        """Weigh each batch by its points; the one moment of an epoch that waits for the device."""
        shares = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
        losses, kls = (torch.stack([getattr(r, name) for r in results]).double().cpu() for name in ("loss", "kl"))
        elbo = -(shares @ losses)
        first = (losses.reshape(len(losses), -1).isfinite().all(1)).cumprod(0).sum()
        self._check_finite("ELBO", elbo, self.steps + int(first))
        probs = {axis: log_prob.exp() for axis, log_prob in results[-1].log_probs.items()}
        return _Epoch(elbo, shares @ kls, probs, {})

    def _check_finite(self, what: str, values: Tensor, step: int) -> None:
        """End what has become NaN or infinite; replicates that are still finite go on."""
        values = values.reshape(-1)
        which = ~values.isfinite() & self.active
        if not bool(which.any()):
            return
        self._stop(which, "non_finite")
        replicate = int(which.nonzero()[0])
        name = f" in replicate {replicate}" if self.point_dim else ""
        message = (
            f"Expected a finite {what}, got {float(values[replicate])} at step {step} (epoch {len(self.epochs)})"
            f"{name}. The model holds the best state so far (epoch {int(self.best.epochs[replicate])}; -1 is the "
            "initial state). Try a smaller lr or max_depth, or look for extreme input values."
        )
        if all(how == "non_finite" for how in self.stopped):
            raise NonFiniteLossError(message, self.history())
        logger.warning(message)

    def _validate(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Return the mean log predictive density, and for classes the error, in one pass."""
        weigh, dim = weigher(self.model, self.guide), self.point_dim
        sums: dict[str, Tensor] = {}
        # A NaN ends the run below; Pyro's argument checks would raise first.
        with eval_mode(self.objective), torch.inference_mode(), pyro.validation_enabled(False):
            for inputs, targets in zip(*(t.split(BATCH_SIZE, dim) for t in (x, y)), strict=True):
                mixture = Mixture(self.model, self.model.outputs(inputs), weigh(inputs))
                for name, values in self.model.likelihood.metrics(mixture.distribution, targets).items():
                    total = values.flatten(dim).sum(-1)
                    sums[name] = sums[name] + total if name in sums else total
        return {name: value.double().cpu() / x.shape[dim] for name, value in sums.items()}

    def _progress(self) -> dict[str, str]:
        latest = self.epochs[-1]
        modes = {axis: ",".join(str(int(k)) for k in q.argmax(-1).reshape(-1)) for axis, q in latest.probs.items()}
        return {"ELBO": f"{float(latest.elbo.mean()):.2f}", **modes}

    def history(self) -> History:
        """Return the record so far."""
        dtype = self.model.device_tensor().dtype
        rows = tuple(self.model.batch_shape)

        def stacked(values: list[Tensor], *shape: int) -> Tensor:
            return torch.stack(values).cpu().to(dtype) if values else torch.zeros(0, *rows, *shape, dtype=dtype)

        elbo, kl = stacked([e.elbo for e in self.epochs]), stacked([e.kl for e in self.epochs])
        probs = {
            axis: stacked([e.probs[axis] for e in self.epochs], size)
            for axis, size in zip(self.model.axes, self.model.sizes, strict=True)
        }
        names = self.epochs[0].metrics if self.epochs else {}
        validation = {name: stacked([e.metrics[name] for e in self.epochs]) for name in names}
        best, stopped = tuple(self.best.epochs.tolist()), tuple(self.stopped)
        seconds = self.step.compile_seconds
        if not rows:
            return History(elbo, elbo + kl, kl, probs, validation, best[0], stopped[0], seconds)
        return History(elbo, elbo + kl, kl, probs, validation, best, stopped, seconds)


class _BestState:
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

    def remember(self) -> None:
        """Copy the current state, whose value is not known yet."""
        torch._foreach_copy_(self.candidate, self.state)

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

    def restore(self) -> None:
        """Write the best state back."""
        torch._foreach_copy_(self.state, self.best)


def _first_step(objective: Objective, optimizer: SGD, *, compile: bool) -> EagerStep | CompiledStep:
    return CompiledStep(objective, optimizer) if compile else EagerStep(objective, optimizer)


def _described(error: Exception) -> str:
    """Return the kind of an error, its first line, and the last line of code outside torch that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if "site-packages" not in f.filename and f.line), frames[-1])
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{': '.join([type(error).__name__, *lines[:1]])}, at {place.filename}:{place.lineno}: {place.line}"


def _mark_last(batches: Batches) -> Iterator[tuple[Data, bool]]:
    """Yield each batch, and whether it is the last one."""
    iterator = iter(batches)
    batch = next(iterator, None)
    while batch is not None:
        following = next(iterator, None)
        yield batch, following is None
        batch = following
