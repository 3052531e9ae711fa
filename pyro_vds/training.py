"""Training: gradient steps on weights and guide together, on the same exact objective."""

import logging
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import MultiStepLR
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from pyro_vds.batches import IndexBatches, LoaderBatches, in_order
from pyro_vds.elbo import EnumELBO, enum_elbo, guide_or_empty
from pyro_vds.guides import AutoCategorical
from pyro_vds.history import History, Stopped
from pyro_vds.likelihoods import Classification
from pyro_vds.memory import check_memory
from pyro_vds.model import VDSModel, eval_mode
from pyro_vds.predictive import BATCH_SIZE, mixture_log_weights
from pyro_vds.randomness import isolated_rng
from pyro_vds.typing import Data
from pyro_vds.validation import check_data

logger = logging.getLogger(__name__)


class NonFiniteLossError(ArithmeticError):
    """The ELBO became NaN or infinite; the model and guide hold the best state before that.

    Attributes:
        history: The record up to the last finite epoch.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


def fit(
    model: VDSModel,
    guide: AutoCategorical | None,
    data: Data | DataLoader,
    max_epochs: int = 8000,
    batch_size: int = 512,
    lr: float = 0.1,
    momentum: float = 0.5,
    patience: int = 500,
    validation: Data | None = None,
    device: torch.device | str | None = None,
    seed: int = 0,
    progress: bool = True,
    *,
    weight_decay: float = 0.0,
    milestones: Sequence[int] = (),
    gamma: float = 0.1,
) -> History:
    """Learn the weights and the guide by gradient steps on the exact ELBO (paper, eq. 2).

    The optimiser is SGD on ``loss / num_data``. The best state is restored at the end: by the train ELBO,
    or by the mean log predictive density of the validation data where they are given. Ctrl-C ends training
    early in the same way. The defaults are the paper's for small data.

    Args:
        model: The model, moved to ``device``.
        guide: Its guide; ``None`` for a model without axes (a DDN).
        data: Inputs and targets, or a ``DataLoader`` of pairs. Tensors are moved to the device once and
            batches drawn from them by index.
        max_epochs: Passes over the data at most.
        batch_size: Points in a batch (a ``DataLoader`` brings its own).
        lr: Learning rate.
        momentum: Momentum of SGD.
        patience: Epochs without a better value before training stops.
        validation: Held-out inputs and targets that decide early stopping instead of the train ELBO.
        device: Where to train; the model's device unless given.
        seed: Seeds the order of batches and any randomness of the network's own; the global generator is
            left as it was.
        progress: Whether to show a progress bar with the ELBO and the most probable architecture.
        weight_decay: L2 penalty on the weights; the guide has none.
        milestones: Epochs at which the learning rate is multiplied by ``gamma``.
        gamma: Factor of the learning rate at each milestone.

    Returns:
        The record of the run.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If data or a setting are out of range or do not fit each other.
        MemoryError: If training cannot fit the device.
        NonFiniteLossError: If the loss becomes NaN or infinite.
    """
    _check_settings(max_epochs=max_epochs, batch_size=batch_size, patience=patience, lr=lr, gamma=gamma)
    if not 0 <= momentum < 1:
        raise ValueError(f"Expected 0 <= momentum < 1, got {momentum}.")
    guide = guide_or_empty(model, guide)
    elbo = enum_elbo(model, guide).to(device)
    target = model.device_tensor().device
    batches = _prepare(model, data, batch_size, target, seed)
    if validation is not None:
        check_data(model, *validation)
        validation = (validation[0].to(target), validation[1].to(target))
    groups = [
        {"params": list(model.parameters()), "weight_decay": weight_decay},
        {"params": list(guide.parameters())},
    ]
    optimizer = SGD([g for g in groups if g["params"]], lr=lr, momentum=momentum)
    schedule = MultiStepLR(optimizer, list(milestones), gamma)
    run = _Run(elbo, guide, batches, optimizer, validation, patience)
    with isolated_rng(target, seed), warnings.catch_warnings():
        # Pyro's warning comes at every step; the error below comes once, with the step and a remedy.
        warnings.filterwarnings("ignore", message="Encountered NaN")
        run.train(max_epochs, schedule, progress=progress)
    return run.history()


def recalibrate_batch_norm(model: VDSModel, data: Data | DataLoader, *, batch_size: int = 512, seed: int = 0) -> None:
    """Recompute the running statistics of batch norm on the training data with the final weights.

    During training the statistics average over weights that have since moved. The new ones are plain means
    over one pass (``torch.optim.swa_utils.update_bn``).

    Args:
        model: The trained model, changed in place.
        data: The training data.
        batch_size: Points in a batch, best the one of training.
        seed: Seeds the order of the points.

    Raises:
        TypeError: If inputs or targets have the wrong type.
        ValueError: If the data do not fit the model.
    """
    batches = _prepare(model, data, batch_size, model.device_tensor().device, seed, check=False)
    update_bn(cast(Iterable, batches), model.backbone)


class _Run:
    """The state of one training run."""

    def __init__(
        self,
        elbo: EnumELBO,
        guide: AutoCategorical,
        batches: IndexBatches | LoaderBatches,
        optimizer: SGD,
        validation: Data | None,
        patience: int,
    ) -> None:
        self.elbo = elbo
        self.model = elbo.model
        self.guide = guide
        self.batches = batches
        self.optimizer = optimizer
        self.validation = validation
        self.patience = patience
        self.best = _BestState(elbo)
        self.steps = 0
        self.stopped: Stopped = "max_epochs"
        self.elbos: list[float] = []
        self.kls: list[Tensor] = []
        self.probs: list[dict[str, Tensor]] = []
        self.metrics: list[dict[str, float]] = []

    def train(self, max_epochs: int, schedule: MultiStepLR, *, progress: bool) -> None:
        """Train until an end is reached, and restore the best state."""
        mode = self.elbo.training
        self.elbo.train()
        bar = tqdm(range(max_epochs), desc="fit", unit="epoch", disable=not progress, mininterval=0.5)
        try:
            for epoch in bar:
                self._epoch(epoch)
                schedule.step()
                if progress:
                    bar.set_postfix(self._progress(), refresh=False)
                if epoch - self.best.epoch >= self.patience:
                    self.stopped = "patience"
                    break
        except KeyboardInterrupt:
            self.stopped = "interrupted"
            logger.warning("Interrupted after %d epochs: the best state so far is kept.", len(self.elbos))
        finally:
            bar.close()
            self.best.restore()
            self.elbo.train(mode)

    def _epoch(self, epoch: int) -> None:
        losses, kls = [], []
        for number, (x, y) in enumerate(self.batches, start=1):
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.elbo(x, y)
            (loss / self.model.num_data).backward()
            with torch.no_grad():
                losses.append(loss.detach())
                kls.append(self.guide.kl(self.model))
            if number == len(self.batches):
                # The parameters as the epoch's last loss saw them, before they move on.
                self._record(epoch, torch.stack(losses), torch.stack(kls).mean())
            self.optimizer.step()
        self.steps += len(losses)
        if self.validation is not None:
            self.metrics.append(self._validate(*self.validation))
            self.best.consider(epoch, self.metrics[-1]["log_prob"])

    def _record(self, epoch: int, losses: Tensor, kl: Tensor) -> None:
        mean = -float(losses.mean())
        if not math.isfinite(mean):
            self._stop_non_finite(losses)
        self.elbos.append(mean)
        self.kls.append(kl)
        self.probs.append(self.guide.probs())
        if self.validation is None:
            self.best.consider(epoch, mean)

    def _stop_non_finite(self, losses: Tensor) -> None:
        step = self.steps + int((~torch.isfinite(losses)).nonzero()[0])
        self.stopped = "non_finite"
        raise NonFiniteLossError(
            f"Expected a finite ELBO, got {-float(losses[step - self.steps])} at step {step} (epoch "
            f"{len(self.elbos)}). The model holds the best state so far (epoch {self.best.epoch}; -1 is the "
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
        modes = {axis: str(int(q.argmax())) for axis, q in self.probs[-1].items()}
        return {"ELBO": f"{self.elbos[-1]:.2f}", **modes}

    def history(self) -> History:
        """Return the record so far."""
        epochs = len(self.elbos)
        kl = torch.stack(self.kls).cpu() if epochs else torch.zeros(0)
        elbo = torch.tensor(self.elbos, dtype=kl.dtype)
        probs = {
            axis: torch.stack([p[axis] for p in self.probs]).cpu() if epochs else torch.zeros(0, size)
            for axis, size in zip(self.model.axes, self.model.sizes, strict=True)
        }
        names = self.metrics[0] if self.metrics else {}
        validation = {name: torch.tensor([m[name] for m in self.metrics], dtype=kl.dtype) for name in names}
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
            for kept, tensor in zip(self.copies, self.current, strict=True):
                kept.copy_(tensor)

    @torch.no_grad()
    def restore(self) -> None:
        """Write the best state back."""
        for kept, tensor in zip(self.copies, self.current, strict=True):
            tensor.copy_(kept)


def _prepare(
    model: VDSModel,
    data: Data | DataLoader,
    batch_size: int,
    device: torch.device,
    seed: int,
    *,
    check: bool = True,
) -> IndexBatches | LoaderBatches:
    """Check the data once and put them where training needs them."""
    if isinstance(data, DataLoader):
        first = next(iter(data), None)
        if first is None:
            raise ValueError("Expected a DataLoader with at least one batch, got none.")
        check_data(model, *first)
        if check:
            _check_num_data(model, len(data.dataset))  # pyright: ignore[reportArgumentType]
            check_memory(model, (first[0], first[1]), batch_size=len(first[0]), device=device)
        return LoaderBatches(data, device)
    x, y = data
    check_data(model, x, y)
    if check:
        _check_num_data(model, len(x))
        check_memory(model, (x, y), batch_size=batch_size, device=device)
    generator = torch.Generator().manual_seed(seed)
    return IndexBatches((x.to(device), y.to(device)), batch_size, generator)


def _check_num_data(model: VDSModel, size: int) -> None:
    if size != model.num_data:
        raise ValueError(
            f"Expected {model.num_data} training points, the model's num_data, got {size}. Build the model with "
            f"num_data={size}: the likelihood is scaled to it."
        )


def _check_settings(**settings: float) -> None:
    for name, value in settings.items():
        if not 0 < value < math.inf:
            raise ValueError(f"Expected a positive, finite {name}, got {value}.")
