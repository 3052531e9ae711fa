"""The training loop: steps, records, the best state, and the ways in which a run ends."""

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import MultiStepLR
from tqdm.auto import tqdm

from pyro_vds.batches import IndexBatches, LoaderBatches, in_order
from pyro_vds.elbo import EnumELBO
from pyro_vds.guides import AutoCategorical
from pyro_vds.history import History, Stopped
from pyro_vds.likelihoods import Classification
from pyro_vds.model import eval_mode, train_mode
from pyro_vds.predictive import BATCH_SIZE, mixture_log_weights
from pyro_vds.typing import Data

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
    """The record of one epoch."""

    elbo: float
    kl: float
    probs: dict[str, Tensor]
    metrics: dict[str, float]


class TrainingLoop:
    """One training run.

    Args:
        elbo: The objective.
        guide: The guide within it.
        batches: The training data.
        optimizer: Holds the parameters.
        schedule: Its learning rate over the epochs.
        validation: Held-out data that decide early stopping instead of the train ELBO.
        patience: Epochs without a better value before training stops.
    """

    def __init__(
        self,
        elbo: EnumELBO,
        guide: AutoCategorical,
        batches: IndexBatches | LoaderBatches,
        optimizer: SGD,
        schedule: MultiStepLR,
        validation: Data | None,
        patience: int,
    ) -> None:
        self.elbo = elbo
        self.model = elbo.model
        self.guide = guide
        self.batches = batches
        self.optimizer = optimizer
        self.schedule = schedule
        self.validation = validation
        self.patience = patience
        self.best = _BestState(elbo)
        self.steps = 0
        self.stopped: Stopped = "max_epochs"
        self.epochs: list[_Epoch] = []

    def run(self, max_epochs: int, *, progress: bool) -> History:
        """Train until an end is reached, restore the best state, and return the record."""
        bar = tqdm(range(max_epochs), desc="fit", unit="epoch", disable=not progress, mininterval=0.5)
        try:
            with train_mode(self.elbo):
                for epoch in bar:
                    self.epochs.append(self._epoch(epoch))
                    self.schedule.step()
                    if progress:
                        bar.set_postfix(self._progress(), refresh=False)
                    if epoch - self.best.epoch >= self.patience:
                        self.stopped = "patience"
                        break
        except KeyboardInterrupt:
            self.stopped = "interrupted"
            logger.warning("Interrupted after %d epochs: the best state so far is kept.", len(self.epochs))
        finally:
            bar.close()
            self.best.restore()
        return self.history()

    def _epoch(self, epoch: int) -> _Epoch:
        losses, kls, sizes = [], [], []
        record = None
        for (x, y), last in _mark_last(self.batches):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.elbo(x, y)
            (loss / self.model.num_data).backward()
            with torch.no_grad():
                losses.append(loss.detach())
                kls.append(self.guide.kl(self.model))
            sizes.append(len(x))
            if last:
                # The guide and the best state as the epoch's last loss saw them, before they move on.
                record = self._record(epoch, torch.stack(losses), torch.stack(kls), sizes)
            self.optimizer.step()
        if record is None:
            raise ValueError("Expected a DataLoader with at least one batch in each epoch, got none.")
        self.steps += len(losses)
        if self.validation is not None:
            record.metrics.update(self._validate(*self.validation))
            self.best.consider(epoch, record.metrics["log_prob"])
        return record

    def _record(self, epoch: int, losses: Tensor, kls: Tensor, sizes: list[int]) -> _Epoch:
        """Weigh each batch by its points; the one moment of an epoch that waits for the device."""
        shares = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
        losses, kls = losses.double().cpu(), kls.double().cpu()
        elbo = -float(losses @ shares)
        if not math.isfinite(elbo):
            self._stop_non_finite(losses)
        if self.validation is None:
            self.best.consider(epoch, elbo)
        return _Epoch(elbo, float(kls @ shares), self.guide.probs(), {})

    def _stop_non_finite(self, losses: Tensor) -> NoReturn:
        first = int((~torch.isfinite(losses)).nonzero()[0])
        self.stopped = "non_finite"
        raise NonFiniteLossError(
            f"Expected a finite ELBO, got {-float(losses[first])} at step {self.steps + first} (epoch "
            f"{len(self.epochs)}). The model holds the best state so far (epoch {self.best.epoch}; -1 is the "
            "initial state). Try a smaller lr or max_depth, or look for extreme input values.",
            self.history(),
        )

    def _validate(self, x: Tensor, y: Tensor) -> dict[str, float]:
        """Return the mean log predictive density, and for classes the error, in one pass."""
        log_weights = mixture_log_weights(self.model, self.guide)
        likelihood = self.model.likelihood
        total, wrong = torch.zeros((), device=x.device), torch.zeros((), device=x.device)
        with eval_mode(self.elbo), torch.inference_mode():
            for part, batch in in_order(x, BATCH_SIZE):
                outputs = self.model.outputs(batch)
                total += (likelihood(outputs).log_prob(y[part]) + log_weights[:, None]).logsumexp(0).sum()
                if isinstance(likelihood, Classification):
                    wrong += (likelihood.marginal(outputs, log_weights).argmax(-1) != y[part]).sum()
        metrics = {"log_prob": float(total) / len(x)}
        return metrics | ({"error": float(wrong) / len(x)} if isinstance(likelihood, Classification) else {})

    def _progress(self) -> dict[str, str]:
        latest = self.epochs[-1]
        modes = {axis: str(int(q.argmax())) for axis, q in latest.probs.items()}
        return {"ELBO": f"{latest.elbo:.2f}", **modes}

    def history(self) -> History:
        """Return the record so far."""
        dtype = self.model.device_tensor().dtype
        elbo = torch.tensor([e.elbo for e in self.epochs], dtype=dtype)
        kl = torch.tensor([e.kl for e in self.epochs], dtype=dtype)
        probs = {
            axis: torch.stack([e.probs[axis] for e in self.epochs]).cpu() if self.epochs else torch.zeros(0, size)
            for axis, size in zip(self.model.axes, self.model.sizes, strict=True)
        }
        names = self.epochs[0].metrics if self.epochs else {}
        validation = {name: torch.tensor([e.metrics[name] for e in self.epochs], dtype=dtype) for name in names}
        return History(elbo, elbo + kl, kl, probs, validation, self.best.epoch, self.stopped)


class _BestState:
    """A copy of all parameters and buffers at the best value so far."""

    def __init__(self, module: nn.Module) -> None:
        self.current = [t.detach() for t in (*module.parameters(), *module.buffers())]
        self.copies = [t.clone() for t in self.current]
        self.value = -math.inf
        self.epoch = -1

    @torch.no_grad()
    def consider(self, epoch: int, value: float) -> None:
        """Copy the current state if its value is the largest so far."""
        if value > self.value:
            self.value, self.epoch = value, epoch
            # One call: an interrupt cannot leave a mixture of two states.
            torch._foreach_copy_(self.copies, self.current)

    @torch.no_grad()
    def restore(self) -> None:
        """Write the best state back."""
        torch._foreach_copy_(self.current, self.copies)


def _mark_last(batches: IndexBatches | LoaderBatches) -> Iterator[tuple[Data, bool]]:
    """Yield each batch, and whether it is the last one."""
    iterator = iter(batches)
    batch = next(iterator, None)
    while batch is not None:
        following = next(iterator, None)
        yield batch, following is None
        batch = following
