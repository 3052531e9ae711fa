"""One training step: eager, or traced as a whole and compiled into one graph."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.fx.experimental.proxy_tensor import make_fx
from torch.optim import SGD

from pyro_vds.guides.categorical import Guide
from pyro_vds.infer.elbo import EnumELBO


@dataclass(frozen=True)
class StepResult:
    """What a step found before it moved the parameters.

    Attributes:
        loss: Full-data negative ELBO, nats; a scalar, or ``(replicate,)``.
        kl: ``KL(q || prior)``, nats, in the same shape.
        log_probs: ``log q`` of each entry of each axis, nats.
    """

    loss: Tensor
    kl: Tensor
    log_probs: dict[str, Tensor]


class Objective(nn.Module):
    """The loss with everything that a training run records of a step."""

    def __init__(self, elbo: EnumELBO) -> None:
        super().__init__()
        self.elbo = elbo

    @property
    def guide(self) -> Guide:
        """The guide; a property, because functional_call needs each tensor to have one name only."""
        return cast(Guide, self.elbo.guide)

    def tensors(self) -> dict[str, Tensor]:
        """Return the parameters, and the buffers that training may change: all but the priors."""
        model = self.elbo.model
        fixed = {model.get_buffer(f"prior_logits_{axis}") for axis in model.axes}
        buffers = {name: b for name, b in self.named_buffers() if b not in fixed}
        return dict(self.named_parameters()) | buffers

    def forward(self, x: Tensor, y: Tensor) -> StepResult:
        """Return the loss, differentiable, and KL and the guide's log probabilities for the record."""
        loss = self.elbo.losses(x, y)
        with torch.no_grad():
            return StepResult(loss, self.guide.kl(self.elbo.model, x).expand_as(loss), self.guide.log_probs(x))


class EagerStep:
    """A step of autograd and a torch optimiser.

    Args:
        objective: What is minimised, divided by the number of data.
        optimizer: Holds the parameters.
    """

    compile_seconds = 0.0

    def __init__(self, objective: Objective, optimizer: SGD) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.num_data = objective.elbo.model.num_data

    @property
    def state(self) -> list[Tensor]:
        """All that a step changes and the best state keeps."""
        return [t.detach() for t in self.objective.tensors().values()]

    def __call__(self, x: Tensor, y: Tensor) -> StepResult:
        """Run one step on a batch."""
        self.optimizer.zero_grad(set_to_none=True)
        result = self.objective(x, y)
        (result.loss.sum() / self.num_data).backward()
        self.optimizer.step()
        return _detached(result)

    def release(self) -> None:
        """Do nothing: the module's tensors are its own."""


class CompiledStep:
    """The whole step, forward, backward and update, as one compiled graph for one shape of batch.

    ``make_fx`` traces it through Pyro in fake mode, and ``torch.compile`` turns the graph into a few kernels.
    Parameters, momentum and buffers lie in one flat tensor each, of which the module's tensors are views, so that
    the graph has few inputs and the update is one kernel. Batches of another shape (the last of an epoch) run the
    same function without compilation.

    Args:
        objective: What is minimised, divided by the number of data.
        optimizer: Holds the settings: learning rate, momentum, weight decay of each group.
    """

    def __init__(self, objective: Objective, optimizer: SGD) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.num_data = objective.elbo.model.num_data
        tensors = objective.tensors()
        trained = {name: t for name, t in tensors.items() if t.requires_grad}
        buffers = {name: t for name, t in tensors.items() if not isinstance(t, nn.Parameter)}
        rows = objective.elbo.model.batch_shape.numel()
        self.parameters = FlatTensors(trained, rows)
        self.buffers = [
            FlatTensors({name: b for name, b in buffers.items() if b.dtype == dtype}, rows)
            for dtype in sorted({b.dtype for b in buffers.values()}, key=str)
        ]
        self.momentum = torch.zeros_like(self.parameters.flat)
        self.decay = self._by_number(trained, "weight_decay", 0.0)
        # The rates change over training, their ratios do not.
        rate = optimizer.param_groups[0]["lr"]
        rates = self._by_number(trained, "lr", rate)
        self.scale = None if rates is None else rates / rate
        self.lr = torch.zeros((), dtype=self.momentum.dtype, device=self.momentum.device)
        self.compiled: Callable[..., list[Tensor]] | None = None
        self.shapes: tuple[torch.Size, torch.Size] | None = None
        self.compile_seconds = 0.0

    @property
    def state(self) -> list[Tensor]:
        """All that a step changes and the best state keeps."""
        return [self.parameters.flat, *(group.flat for group in self.buffers)]

    def __call__(self, x: Tensor, y: Tensor) -> StepResult:
        """Run one step on a batch; the first call compiles.

        Raises:
            Exception: Whatever tracing or compiling the first batch raises; no tensor has changed then.
        """
        self.lr.fill_(self.optimizer.param_groups[0]["lr"])
        inputs = [self.parameters.flat, self.momentum, self.lr, x, y, *(group.flat for group in self.buffers)]
        with torch.no_grad():
            if self.compiled is None:
                with _checks_of_distributions():
                    self._compile(inputs)
            same = self.shapes == (x.shape, y.shape)
            function = self.compiled if same and self.compiled is not None else self._step
            loss, kl, *log_probs = function(*inputs)
        axes = self.objective.elbo.model.axes
        # A copy: a graph may reuse the memory of its outputs in the next step.
        return StepResult(loss.clone(), kl.clone(), {a: p.clone() for a, p in zip(axes, log_probs, strict=True)})

    def release(self) -> None:
        """Give the module's tensors memory of their own again."""
        for group in (self.parameters, *self.buffers):
            group.release()

    def _compile(self, inputs: list[Tensor]) -> None:
        started = time.perf_counter()
        self.objective.elbo.check(inputs[3], inputs[4])  # looks at values, which the trace must not
        graph = make_fx(self._step, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
        on_gpu = inputs[0].is_cuda
        for tensor in self.state if on_gpu else []:
            torch._dynamo.mark_static_address(tensor)
        compiled = torch.compile(graph, fullgraph=True, dynamic=False, mode="reduce-overhead" if on_gpu else None)
        changed = [*self.state, self.momentum]
        before = [t.clone() for t in changed]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler, about Python and hardware
                compiled(*inputs)
        finally:
            torch._foreach_copy_(changed, before)
        self.compiled = compiled
        self.shapes = (inputs[3].shape, inputs[4].shape)
        self.compile_seconds = time.perf_counter() - started

    def _step(
        self, parameters: Tensor, momentum: Tensor, lr: Tensor, x: Tensor, y: Tensor, *buffers: Tensor
    ) -> list[Tensor]:
        """Update the flat tensors in place, and return loss, KL and log probabilities from before."""
        leaves = {name: view.detach().requires_grad_() for name, view in self.parameters.views(parameters).items()}
        changing = {
            name: view.clone()
            for group, flat in zip(self.buffers, buffers, strict=True)
            for name, view in group.views(flat).items()
        }
        with torch.enable_grad():
            result = torch.func.functional_call(self.objective, leaves | changing, (x, y))
            gradients = torch.autograd.grad(result.loss.sum() / self.num_data, list(leaves.values()))
        gradient = self.parameters.joined(gradients)
        if self.decay is not None:
            gradient = gradient + self.decay * parameters
        velocity = self.optimizer.param_groups[0]["momentum"] * momentum + gradient
        momentum.copy_(velocity)
        change = velocity if self.scale is None else self.scale * velocity
        parameters.copy_(parameters - lr * change)
        for group, flat in zip(self.buffers, buffers, strict=True):
            flat.copy_(group.joined([changing[name] for name in group.names]))
        result = _detached(result)
        return [result.loss, result.kl, *result.log_probs.values()]

    def _by_number(self, trained: dict[str, Tensor], setting: str, usual: float) -> Tensor | None:
        """Return a setting of the optimiser for each number, or ``None`` where it is the usual one for all."""
        by_parameter = {p: group[setting] for group in self.optimizer.param_groups for p in group["params"]}
        if all(value == usual for value in by_parameter.values()):
            return None
        return self.parameters.joined([torch.full_like(p, by_parameter[p]) for p in trained.values()])


class FlatTensors:
    """Named tensors that are views of one tensor ``(rows, numbers)``.

    Args:
        tensors: Tensors of one type and device; they become views.
        rows: Number of replicates, the first dimension of every tensor; 1 without replicates.

    Raises:
        TypeError: If their types differ.
    """

    def __init__(self, tensors: dict[str, Any], rows: int = 1) -> None:
        if len({t.dtype for t in tensors.values()}) > 1:
            raise TypeError("the parameters have different types")
        self.tensors = tensors
        self.rows = rows
        self.names = list(tensors)
        self.shapes = [t.shape for t in tensors.values()]
        self.sizes = [t.numel() // rows for t in tensors.values()]
        self.flat = self.joined([t.detach() for t in tensors.values()])
        for tensor, view in zip(tensors.values(), self.views(self.flat).values(), strict=True):
            tensor.data = view

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return the named parts of a flat tensor."""
        parts = zip(self.names, flat.split(self.sizes, dim=1), self.shapes, strict=True)
        return {name: part.view(shape) for name, part, shape in parts}

    def joined(self, parts: Any) -> Tensor:
        """Return parts in the order of the names as one flat tensor."""
        return torch.cat([part.reshape(self.rows, -1) for part in parts], dim=1)

    def release(self) -> None:
        """Give each tensor memory of its own."""
        for tensor in self.tensors.values():
            tensor.data = tensor.data.clone()


@contextmanager
def _checks_of_distributions() -> Iterator[None]:
    """Keep the argument checks of ``torch.distributions``, which the compiler turns off for good."""
    validate = Distribution._validate_args
    try:
        yield
    finally:
        Distribution.set_default_validate_args(validate)


def _detached(result: StepResult) -> StepResult:
    log_probs = {axis: p.detach() for axis, p in result.log_probs.items()}
    return StepResult(result.loss.detach(), result.kl.detach(), log_probs)
