"""Normalisation of inputs within the network, and batch norm in a head that all depths share.

In training, each depth is normalised by its own batch. At test time a single set of running statistics, as in the
paper's code, matches none of the depths; by default each depth has its own set.
"""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from pyro_vds.ops.compat import BatchNorm
from pyro_vds.ops.parts import require_known_shapes

HeadStatistics = Literal["per_depth", "shared"]


class Standardise(nn.Module):
    """``(x - mean) / std`` for each channel, within the network; pixels may be bytes.

    Data of type uint8 take a quarter of the memory on the device. If the module is part of the stem, pruned and
    exported networks take pixels too: ``net.stem = nn.Sequential(Standardise(data.mean, data.std), net.stem)``.

    Args:
        mean: Means ``(channels,)`` in the units of the inputs.
        std: Standard deviations ``(channels,)``.

    Raises:
        ValueError: If shapes differ, a number is not finite, or a standard deviation is not positive.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Float[Tensor, " channels"], std: Float[Tensor, " channels"]) -> None:
        super().__init__()
        if mean.ndim != 1 or mean.shape != std.shape:
            raise ValueError(
                f"Expected a mean and a std for each channel, got {tuple(mean.shape)}, {tuple(std.shape)}."
            )
        if not bool(mean.isfinite().all() & std.isfinite().all() & (std > 0).all()):
            raise ValueError(f"Expected finite means and positive stds, got {mean.tolist()} and {std.tolist()}.")
        dtype = torch.get_default_dtype()
        self.register_buffer("mean", mean.to(dtype, copy=True))
        self.register_buffer("std", std.to(dtype, copy=True))

    def forward(self, x: Shaped[Tensor, "batch channels *space"]) -> Float[Tensor, "batch channels *space"]:
        """Return the standardised inputs, in the type of ``mean``."""
        shape = (-1, *[1] * (x.ndim - 2))
        return (x.to(self.mean.dtype) - self.mean.view(shape)) / self.std.view(shape)


class ReadoutBatchNorm(BatchNorm):
    """Batch norm over a batch in which each point appears once for each of ``readouts`` depths.

    The read-outs of one point are neighbours in the batch, so viewing ``(batch * readouts, C)`` as
    ``(batch, readouts * C)`` costs nothing and normalises each depth by its own statistics in one call.
    All depths share the affine parameters.

    With ``statistics="shared"`` the running statistics are those of a plain batch norm that is called once for each
    depth, in order.

    Args:
        norm: The batch norm whose settings, parameters and device are used.
        readouts: Number of depths, ``D + 1``.
        statistics: ``"per_depth"`` keeps running statistics ``(readouts, C)``, ``"shared"`` keeps ``(C,)``.
    """

    def __init__(self, norm: BatchNorm, readouts: int, statistics: HeadStatistics = "per_depth") -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, False, norm.track_running_stats)
        self.affine = norm.affine
        self.weight, self.bias = norm.weight, norm.bias
        self.readouts = readouts
        self.widths = 1
        self.statistics: HeadStatistics = statistics
        self.num_batches_tracked = norm.num_batches_tracked
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        if norm.running_mean is not None and norm.running_var is not None and statistics == "per_depth":
            self.running_mean = norm.running_mean.expand(readouts, -1).clone()
            self.running_var = norm.running_var.expand(readouts, -1).clone()

    def forward(self, input: Float[Tensor, "points_and_depths channels *space"]) -> Tensor:
        """Normalise each depth.

        Args:
            input: Activations with ``batch * readouts`` leading entries; read-outs vary fastest.

        Returns:
            The normalised activations, in the same shape.
        """
        grouped = input.reshape(-1, self.readouts * self.num_features, *input.shape[2:])
        mean, var = self._repeat(self.running_mean), self._repeat(self.running_var)
        if self.training and mean is not None and var is not None:
            # Momentum 1 replaces the statistics passed in by the statistics of this batch.
            mean, var = torch.zeros_like(mean), torch.ones_like(var)
        weight, bias = self._repeat(self.weight), self._repeat(self.bias)
        output = F.batch_norm(grouped, mean, var, weight, bias, self.training or mean is None, 1.0, self.eps)
        if self.training and mean is not None and var is not None:
            self._track(mean, var)
        return output.reshape(input.shape)

    def keep_first(self, depths: int) -> None:
        """Drop the running statistics of all but the first depths, in place."""
        rows = torch.arange(self.readouts).view(self.widths, -1)[:, :depths].flatten()
        self.keep(rows, self.num_features)

    def keep(self, rows: Int[Tensor, " kept"], channels: int) -> None:
        """Keep only some read-outs and the first channels, in place.

        Args:
            rows: The read-outs to keep.
            channels: Number of channels to keep.
        """
        self.readouts, self.num_features = len(rows), channels
        for name in ("weight", "bias"):
            values = getattr(self, name)
            if values is not None:
                setattr(self, name, nn.Parameter(values.detach()[:channels].clone(), values.requires_grad))
        for name in ("running_mean", "running_var"):
            values = getattr(self, name)
            if values is not None:
                values = values[rows] if self.statistics == "per_depth" else values
                setattr(self, name, values[..., :channels].clone())

    def repeat_widths(self, widths: int) -> None:
        """Keep statistics for each width and depth, in place; depths vary fastest."""
        self.widths, self.readouts = widths, widths * self.readouts
        for name in ("running_mean", "running_var"):
            values = getattr(self, name)
            if values is not None:
                setattr(self, name, values.repeat(widths, 1))

    def _repeat(self, values: Tensor | None) -> Tensor | None:
        """Return values for each (depth, channel) pair, flattened."""
        return None if values is None else values.expand(self.readouts, -1).reshape(-1)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor) -> None:
        """Update the running statistics with the statistics of a batch, ``(readouts * C,)``."""
        assert self.num_batches_tracked is not None
        seen = self.num_batches_tracked.clone()
        self.num_batches_tracked += 1
        for running, batch in ((self.running_mean, mean), (self.running_var, var)):
            assert running is not None
            batch = batch.view(self.readouts, -1)
            if self.statistics == "per_depth":
                rate = 1 / (seen + 1) if self.momentum is None else self.momentum
                running.add_(rate * (batch - running))  # vmap does not support lerp_
            elif self.momentum is None:
                running.add_((batch.mean(0) - running) / (seen + 1))
            else:
                keep = 1 - self.momentum
                powers = keep ** torch.arange(self.readouts - 1, -1, -1, device=batch.device)
                running.mul_(keep**self.readouts).add_(self.momentum * (powers[:, None] * batch).sum(0))


def keep_readout_statistics(head: nn.Module, readouts: int, statistics: HeadStatistics) -> nn.Module:
    """Replace each batch norm in a head by a :class:`ReadoutBatchNorm` that shares its parameters.

    Like ``torch.nn.SyncBatchNorm.convert_sync_batchnorm``, this changes the children of ``head`` in place.

    Args:
        head: The module that reads out every depth.
        readouts: Number of depths, ``D + 1``.
        statistics: Whether running statistics are kept ``"per_depth"`` or ``"shared"``.

    Returns:
        The converted head (a new module if ``head`` is itself a batch norm).

    Raises:
        ValueError: If ``statistics`` is unknown, a batch norm is lazy, or the head is already converted.
    """
    if statistics not in ("per_depth", "shared"):
        raise ValueError(f"Expected head_statistics 'per_depth' or 'shared', got {statistics!r}.")
    if isinstance(head, BatchNorm):
        require_known_shapes(head)
    if isinstance(head, ReadoutBatchNorm):
        raise ValueError("Expected a new head for each backbone, got the head of another one. Copy it with deepcopy.")
    if isinstance(head, BatchNorm):
        return ReadoutBatchNorm(head, readouts, statistics)
    for name, child in head.named_children():
        head.add_module(name, keep_readout_statistics(child, readouts, statistics))
    return head
