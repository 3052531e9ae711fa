"""The training loop: steps, the best state, and the end of a run."""

import logging
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from typing import Any

import torch
from torch import Tensor

from pyro_vds.ops.inputs import points
from pyro_vds.ops.modes import train_mode
from pyro_vds.spaces.typing import Data, WeightedData
from pyro_vds.training.averaging import WeightAverage
from pyro_vds.training.batches import Batches
from pyro_vds.training.best import BestState
from pyro_vds.training.callbacks import Callback, call
from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.history import History
from pyro_vds.training.objective import Objective, StepResult
from pyro_vds.training.optim import Schedule
from pyro_vds.training.progress import each_epoch
from pyro_vds.training.recorder import Recorder
from pyro_vds.training.steps import CompiledStep, EagerStep
from pyro_vds.training.validation import validate

logger = logging.getLogger(__name__)


class NonFiniteLossError(ArithmeticError):
    """The ELBO became NaN or infinite; model and guide hold the best state before that.

    Attributes:
        history: The record up to the last finite epoch.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


class TrainingLoop:
    """One training run.

    Args:
        objective: The objective to minimise.
        batches: The training data.
        config: The settings of training.
        validation: Held-out data that decide early stopping instead of the train ELBO.
        callbacks: Called with the record so far after each epoch.
    """

    def __init__(
        self,
        objective: Objective,
        batches: Batches,
        config: TrainingConfig,
        *,
        validation: Data | WeightedData | None,
        callbacks: Sequence[Callback],
    ) -> None:
        self.objective = objective
        self.batches = batches
        self.config = config
        self.validation = validation
        self.callbacks = callbacks
        batch_shape = objective.elbo.model.batch_shape
        self.point_dim = len(batch_shape)
        self.steps = 0
        self.stopped = ["max_epochs"] * batch_shape.numel()
        self.active = torch.ones(batch_shape.numel(), dtype=torch.bool)
        self.recorder = Recorder(objective.elbo.model)
        self._take((CompiledStep if config.compile else EagerStep)(objective, config))

    def _take(self, step: EagerStep | CompiledStep) -> None:
        """Use a step for training, starting from its state."""
        config = self.config
        self.step = step
        self.schedule = Schedule(step.optimizer, config, replicates=bool(self.point_dim))
        self.best = BestState(step.state, len(self.active))
        kind = config.averaging
        self.average = None if kind is None else WeightAverage(step.state, kind, config.averaging_decay)

    def run(self, *, progress: bool) -> History:
        """Train until training stops, restore the best state, and return the record."""
        epochs = each_epoch(self.config.max_epochs, self._progress, show=progress)
        try:
            with closing(epochs), train_mode(self.objective):
                for epoch in epochs:
                    self._epoch(epoch)
                    if not self.active.any():
                        break
        except KeyboardInterrupt:
            self._stop(self.active, "interrupted")
            logger.warning("Interrupted after %d epochs: the best state so far is kept.", len(self.recorder))
        except BaseException as error:
            self._stop(self.active, "error")
            vars(error).setdefault("history", self.history())
            raise
        finally:
            self.best.restore()
            self.step.release()
        return self.history()

    def history(self) -> History:
        """Return the record so far."""
        return self.recorder.history(self.best, self.stopped, self.step.compile_seconds)

    def _epoch(self, epoch: int) -> None:
        """Train for one pass over the data, evaluate the state, and call the callbacks."""
        if self.average is not None and epoch == self.config.averaged_from > 0:
            self.best.forget_values()
        annealed = self.config.annealed_epochs if self.objective.closed_form is not None else 0
        if 0 < epoch <= max(annealed, self.config.guide_from):
            self.best.forget_values()  # those of the annealing, or before the guide moved, do not count
        self.objective.guide_waits = epoch < self.config.guide_from
        results, sizes = self._pass(epoch)
        value = self._record(results, sizes)
        self.best.consider(epoch, value.reshape(-1), self.active)
        if self.callbacks:
            reason = call(self.callbacks, self.recorder.epoch(self.best, self.step.compile_seconds))
            if reason is not None:
                self._stop(self.active, reason)
        if self.config.patience is not None:
            self._stop(epoch - self.best.epochs >= self.config.patience, "patience")
        if epoch + 1 < self.config.max_epochs:
            self.schedule.step(value)

    def _pass(self, epoch: int) -> tuple[list[StepResult], list[int]]:
        """Make the steps of an epoch, and return the result and the number of points of each."""
        average = self.average if self.average is not None and epoch >= self.config.averaged_from else None
        results, sizes = [], []
        for batch, last in _mark_last(self.batches):
            if last and self.validation is None:
                # The state that the epoch's last loss belongs to.
                self._remember()
            results.append(self._step(batch))
            sizes.append(points(batch[0], self.point_dim))
            if average is not None and (last or average.kind == "ema"):
                average.update()
        if not results:
            raise ValueError("Expected a DataLoader with at least one batch in each epoch, got none.")
        return results, sizes

    def _record(self, results: list[StepResult], sizes: list[int]) -> Tensor:
        """Record the means of an epoch over its points, and return the value that decides early stopping.

        Only here an epoch waits for the device.
        """
        shares = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
        losses, kls, tables = (
            torch.stack([getattr(r, name) for r in results]).double().cpu() for name in ("loss", "kl", "log_likelihood")
        )
        elbo = -(shares @ losses)
        first = (losses.reshape(len(losses), -1).isfinite().all(1)).cumprod(0).sum()
        self._check_finite("ELBO", elbo, self.steps + int(first))
        metrics = {} if self.validation is None else self._validate(self.validation, self.steps + len(results) - 1)
        self.steps += len(results)
        probs = {axis: log_prob.exp() for axis, log_prob in results[-1].log_probs.items()}
        numbers = {"elbo": elbo, "kl": shares @ kls, "gap": self._log_evidence(tables, shares) - elbo}
        self.recorder.add(numbers | {"tempered_num_data": results[-1].counted}, probs, metrics)
        return metrics["log_prob"] if metrics else elbo

    def _log_evidence(self, tables: Tensor, shares: Tensor) -> Tensor:
        """Return the log evidence for the mean log likelihood of each architecture over an epoch, nats."""
        model = self.objective.elbo.model
        if model.by_input or not self.objective.elbo.exact:
            return torch.tensor(torch.nan)
        mean = torch.tensordot(shares, tables, 1) + model.log_prior().detach().double().cpu()
        return mean.flatten(-len(model.space)).logsumexp(-1) if model.space else mean

    def _validate(self, data: Data | WeightedData, step: int) -> dict[str, Tensor]:
        self._remember()
        with nullcontext() if self.average is None else self.average.in_place():
            metrics = validate(self.objective, data)
        self._check_finite("log predictive density of the validation data", metrics["log_prob"], step)
        return metrics

    def _remember(self) -> None:
        self.best.remember(None if self.average is None else self.average.tensors)

    def _stop(self, which: Tensor, reason: str) -> None:
        """Stop some replicates, if they are still active, for a reason; they keep their best state."""
        for replicate in (which & self.active).nonzero().flatten().tolist():
            self.stopped[replicate] = reason
        self.active = self.active & ~which

    def _step(self, batch: tuple[Any, ...]) -> StepResult:
        """Run a step; if the first step cannot be compiled, continue without compilation."""
        try:
            return self.step(*batch)
        except Exception as error:
            if not isinstance(self.step, CompiledStep) or self.step.compiled is not None:
                raise
            reason = _described(error)
        warnings.warn(
            f"Expected a training step that can be compiled, got an error ({reason}). Training continues without "
            "compilation.",
            RuntimeWarning,
            stacklevel=2,
        )
        self.step.release()
        self._take(EagerStep(self.objective, self.config))
        self._remember()
        return self.step(*batch)

    def _check_finite(self, what: str, values: Tensor, step: int) -> None:
        """Stop replicates whose value is NaN or infinite; raise if no other replicate is left."""
        values = values.reshape(-1)
        which = ~values.isfinite() & self.active
        if not bool(which.any()):
            return
        self._stop(which, "non_finite")
        replicate = int(which.nonzero()[0])
        name = f" in replicate {replicate}" if self.point_dim else ""
        message = (
            f"Expected a finite {what}, got {float(values[replicate])} at step {step} (epoch {len(self.recorder)})"
            f"{name}. The model holds the best state so far (epoch {int(self.best.epochs[replicate])}; -1 is the "
            "initial state). Try a smaller lr or max_depth, or look for extreme input values."
        )
        if all(reason == "non_finite" for reason in self.stopped):
            raise NonFiniteLossError(message, self.history())
        logger.warning(message)

    def _progress(self) -> dict[str, str]:
        elbo, probs = self.recorder.latest()
        modes = {axis: ",".join(str(int(k)) for k in q.argmax(-1).reshape(-1)) for axis, q in probs.items()}
        return {"ELBO": f"{float(elbo.mean()):.2f}", **modes}


def _described(error: Exception) -> str:
    """Return the kind of an error, its first line, and the last line of code outside torch that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if "site-packages" not in f.filename and f.line), frames[-1])
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{': '.join([type(error).__name__, *lines[:1]])}, at {place.filename}:{place.lineno}: {place.line}"


def _mark_last(batches: Batches) -> Iterator[tuple[Data | WeightedData, bool]]:
    """Yield each batch, and whether it is the last one."""
    iterator = iter(batches)
    batch = next(iterator, None)
    while batch is not None:
        following = next(iterator, None)
        yield batch, following is None
        batch = following
