"""One training step: eager, or with its forward and backward pass compiled into one graph."""

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.optim import Optimizer

from pyro_vds.ops.compat import checks_of_distributions, copy_tensors, fix_address
from pyro_vds.ops.inputs import in_the_kind_of, parts, tensors
from pyro_vds.spaces.typing import Inputs
from pyro_vds.training.block_rate import BlockRate
from pyro_vds.training.config import TrainingConfig
from pyro_vds.training.flat import FlatTensors
from pyro_vds.training.objective import Objective, StepResult
from pyro_vds.training.optim import ELEMENTWISE, clipped, make_optimizer, merged, parameter_groups, prefer_fused


class _Step:
    """What both kinds of step know of the objective and the settings."""

    def __init__(self, objective: Objective, config: TrainingConfig) -> None:
        self.objective = objective
        model = objective.elbo.model
        self.replicates = bool(model.batch_shape)
        self.num_data = model.num_data
        self.clip_norm = config.clip_norm
        self.block_rate = BlockRate(model, config)
        self.groups = parameter_groups(model, objective.guide, config)
        if not any(parameter.requires_grad for group in self.groups for parameter in group["params"]):
            raise ValueError(
                "Expected parameters that learn, got none. With fixed weights the best guide needs no training: "
                "guide.follow(pyro_vds.exact_posterior(model, data).log_joint_probs), several times for several axes."
            )


class EagerStep(_Step):
    """A step of autograd and a torch optimiser.

    Args:
        objective: What is minimised, divided by the number of data.
        config: The settings of training.
    """

    compile_seconds = 0.0

    def __init__(self, objective: Objective, config: TrainingConfig) -> None:
        super().__init__(objective, config)
        self.parameters = [parameter for group in self.groups for parameter in group["params"]]
        self.optimizer = make_optimizer(self.groups, config, replicates=self.replicates)

    @property
    def state(self) -> list[Tensor]:
        """All that a step changes and the best state keeps."""
        return [t.detach() for t in self.objective.tensors().values()]

    def __call__(self, x: Inputs, *others: Tensor) -> StepResult:
        """Run one step on a batch: inputs, targets, and weights if there are any."""
        self.optimizer.zero_grad(set_to_none=True)
        minimised, result = self.objective(x, *others)
        (minimised.sum() / self.num_data).backward()
        for logits in self.objective.guide.parameters() if self.objective.guide_waits else ():
            logits.grad = None
        if self.clip_norm is not None or self.block_rate.first:
            self._change_gradients(result)
        self.optimizer.step()
        return result.detached()

    def release(self) -> None:
        """Do nothing: the module's tensors are its own."""

    def _change_gradients(self, result: StepResult) -> None:
        gradients = {p: p.grad for p in self.parameters if p.grad is not None}
        gradients = self.block_rate.scaled(gradients, result.log_probs)
        found = list(gradients.values())
        if self.clip_norm is not None:
            found = clipped(found, self.clip_norm, replicates=self.replicates)
        for parameter, gradient in zip(gradients, found, strict=True):
            parameter.grad = gradient


class CompiledStep(_Step):
    """A step whose forward and backward pass are one compiled graph for one shape of batch.

    ``make_fx`` traces the graph through Pyro in fake mode, and ``torch.compile`` turns it into a few kernels.
    Parameters, gradients and buffers lie in few flat tensors, of which the module's tensors are views, so that the
    graph has few inputs. Torch's own optimiser then makes its step on the flat tensors, if it treats each number by
    itself, and else on the parameters; nothing is compiled again when a schedule changes its learning rate. Batches
    of another shape (the last of an epoch) run the same function without compilation.

    Args:
        objective: What is minimised, divided by the number of data.
        config: The settings of training.
    """

    def __init__(self, objective: Objective, config: TrainingConfig) -> None:
        super().__init__(objective, config)
        rows = objective.elbo.model.batch_shape.numel()
        tensors = objective.tensors()
        names = {tensor: name for name, tensor in tensors.items()}
        optimizer = make_optimizer(self.groups, config, replicates=self.replicates)
        groups = merged(self.groups, optimizer, config)
        self.parameters = [FlatTensors({names[p]: p for p in group["params"]}, rows) for group in groups]
        changed = objective.set_in_place()
        buffers = {name: t for name, t in tensors.items() if not isinstance(t, nn.Parameter) or t in changed}
        self.buffers = [
            FlatTensors({name: b for name, b in buffers.items() if b.dtype == dtype}, rows)
            for dtype in sorted({b.dtype for b in buffers.values()}, key=str)
        ]
        self.gradients = [torch.zeros_like(group.flat) for group in self.parameters]
        flat = self._flat_optimizer(groups, config) if type(optimizer) in ELEMENTWISE else None
        self.optimizer = flat or self._fed(optimizer)
        self.compiled: Callable[..., list[Tensor]] | None = None
        self.shapes: list[tuple[str, torch.Size]] = []
        self.compile_seconds = 0.0

    @property
    def state(self) -> list[Tensor]:
        """All that a step changes and the best state keeps."""
        return [group.flat for group in (*self.parameters, *self.buffers)]

    def __call__(self, x: Inputs, *others: Tensor) -> StepResult:
        """Run one step on a batch: inputs, targets, and weights if there are any; the first call compiles.

        Raises:
            Exception: Whatever tracing or compiling the first batch raises; no tensor has changed then.
        """
        inputs = [*tensors(x), *others, *self.state, *self.gradients]
        shapes = [(name, part.shape) for name, part in (*parts(x).items(), *zip(("y", "weight"), others, strict=False))]
        gradients = partial(self._gradients, x)
        with torch.no_grad():
            if self.compiled is None:
                with checks_of_distributions():
                    self._compile(gradients, (x, *others), inputs)
                self.shapes = shapes
            function = self.compiled if self.shapes == shapes and self.compiled is not None else gradients
            values = function(*inputs)
        self.optimizer.step()
        # A copy: a graph may reuse the memory of its outputs in the next step.
        return StepResult.of([value.clone() for value in values], self.objective.elbo.model.axes)

    def release(self) -> None:
        """Give the module's tensors memory of their own again."""
        for group in (*self.parameters, *self.buffers):
            group.release()
        for parameter in (p for group in self.parameters for p in group.tensors.values()):
            parameter.grad = None  # which may be a view too

    def _flat_optimizer(self, groups: list[dict[str, Any]], config: TrainingConfig) -> Optimizer | None:
        """Return an optimiser of the flat tensors; ``None`` if it takes other parameters than those it is given."""
        flat = [nn.Parameter(group.flat) for group in self.parameters]
        for tensor, gradient in zip(flat, self.gradients, strict=True):
            tensor.grad = gradient
        groups = [group | {"params": [tensor]} for group, tensor in zip(groups, flat, strict=True)]
        optimizer = make_optimizer(groups, config, replicates=self.replicates)
        prefer_fused(optimizer)
        return optimizer if {p for group in optimizer.param_groups for p in group["params"]} == set(flat) else None

    def _fed(self, optimizer: Optimizer) -> Optimizer:
        """Return an optimiser of the parameters themselves, whose gradients become views of the flat ones."""
        for group, gradient in zip(self.parameters, self.gradients, strict=True):
            for name, view in group.views(gradient).items():
                group.tensors[name].grad = view
        return optimizer

    def _compile(self, gradients: Callable[..., list[Tensor]], batch: tuple[Any, ...], inputs: list[Tensor]) -> None:
        started = time.perf_counter()
        self.objective.elbo.check(*batch)  # looks at values, which the trace must not
        graph = make_fx(gradients, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
        on_gpu = inputs[0].is_cuda
        for tensor in (*self.state, *self.gradients) if on_gpu else ():
            fix_address(tensor)
        compiled = torch.compile(graph, fullgraph=True, dynamic=False, mode="reduce-overhead" if on_gpu else None)
        before = [t.clone() for t in self.state]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler, about Python and hardware
                compiled(*inputs)
        finally:
            copy_tensors(self.state, before)
        self.compiled = compiled
        self.compile_seconds = time.perf_counter() - started

    def _gradients(self, like: Inputs, *given: Tensor) -> list[Tensor]:
        """Write gradients and buffers into the flat tensors, and return the record of the step as a list.

        A graph takes tensors only: the parts of the inputs, the targets, the weights of the points if there are any,
        and the flat tensors; ``like`` says how the parts of the inputs belong together.
        """
        count, end = len(tensors(like)), len(given) - len(self.state) - len(self.gradients)
        batch = (in_the_kind_of(like, given[:count]), *given[count:end])
        parameters, buffers, gradients = self._parted(given[end:])
        leaves = {
            name: view.detach().requires_grad_()
            for group, tensor in zip(self.parameters, parameters, strict=True)
            for name, view in group.views(tensor).items()
        }
        changing = {
            name: view.clone()
            for group, tensor in zip(self.buffers, buffers, strict=True)
            for name, view in group.views(tensor).items()
        }
        with torch.enable_grad():
            minimised, result = torch.func.functional_call(self.objective, leaves | changing, batch)
            found = torch.autograd.grad(minimised.sum() / self.num_data, list(leaves.values()))
        own = {name: p for group in self.parameters for name, p in group.tensors.items()}
        by_parameter = dict(zip((own[name] for name in leaves), found, strict=True))
        found = list(self.block_rate.scaled(by_parameter, result.log_probs).values())
        if self.clip_norm is not None:
            found = clipped(found, self.clip_norm, replicates=self.replicates)
        by_name = dict(zip(leaves, found, strict=True)) | changing
        for group, tensor in zip((*self.parameters, *self.buffers), (*gradients, *buffers), strict=True):
            tensor.copy_(group.joined([by_name[name] for name in group.names]))
        return result.flattened()

    def _parted(self, flat: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
        """Return the flat tensors of parameters, of buffers, and of gradients."""
        parameters, buffers = len(self.parameters), len(self.buffers)
        return flat[:parameters], flat[parameters : parameters + buffers], flat[parameters + buffers :]
